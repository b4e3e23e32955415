"""A stop under busy callers: nobody is cut off, for calls that cross the word of it on their way are answered too."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import grpc.aio

from gateway.rpc.connection import Connection
from gateway.rpc.service import INFERENCE
from tests.rpc.door import RpcDoor, message

if TYPE_CHECKING:
    import pytest

CALLERS = 16
GONE = grpc.StatusCode.UNAVAILABLE
"""What a call ends with that finds nobody to connect to."""


async def stopped_under_load(door: RpcDoor, details: set[str]) -> Counter[grpc.StatusCode]:
    """Stop *door* under busy callers; return what the calls ended with that got no answer, and add the *details*."""
    await door.open()
    answered = Counter[int]()
    failures = Counter[grpc.StatusCode]()

    async def keep_asking(number: int) -> None:
        async with grpc.aio.insecure_channel(door.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(f"/{INFERENCE}/ModelInfer")
            try:
                while True:
                    await call(message().SerializeToString(), timeout=20)
                    answered[number] += 1
            except grpc.aio.AioRpcError as failed:
                failures[failed.code()] += 1
                details.add(failed.details() or "")

    callers = [asyncio.create_task(keep_asking(number)) for number in range(CALLERS)]
    async with asyncio.timeout(20):
        while len(answered) < CALLERS or min(answered.values()) < 3:  # noqa: ASYNC110 - counts are no events
            await asyncio.sleep(0.01)
        door.server.stop()
        await asyncio.gather(*callers)
    await door.close()
    return failures


async def test_a_stop_cuts_no_busy_caller_off() -> None:
    details: set[str] = set()

    failures = await stopped_under_load(RpcDoor(), details)

    assert set(failures) == {GONE}  # each caller's next call, which found the port closed
    assert all("failed to connect" in each for each in details)


async def test_a_stop_cuts_no_caller_off_who_has_many_calls_under_way_on_one_connection() -> None:
    door = RpcDoor()
    await door.open()
    answered, failures = Counter[int](), Counter[grpc.StatusCode]()
    async with grpc.aio.insecure_channel(door.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary(f"/{INFERENCE}/ModelInfer")

        async def keep_asking(number: int) -> None:
            try:
                while True:
                    await call(message().SerializeToString(), timeout=20)
                    answered[number] += 1
            except grpc.aio.AioRpcError as failed:
                failures[failed.code()] += 1

        callers = [asyncio.create_task(keep_asking(number)) for number in range(CALLERS)]
        async with asyncio.timeout(20):
            while len(answered) < CALLERS or min(answered.values()) < 3:  # noqa: ASYNC110 - counts are no events
                await asyncio.sleep(0.01)
            door.server.stop()
            await asyncio.gather(*callers)
    await door.close()

    assert set(failures) == {GONE}


async def test_a_stop_that_does_not_say_so_first_does_cut_callers_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: what the goodbye is for. A stop may fall between all calls, ten do not."""
    monkeypatch.setattr(Connection, "leave", Connection.abort)

    details: set[str] = set()
    for _ in range(10):
        await stopped_under_load(RpcDoor(), details)
        if any("failed to connect" not in each for each in details):
            return

    raise AssertionError(f"nobody was cut off: {details}")
