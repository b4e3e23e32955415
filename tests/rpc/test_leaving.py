"""A stop under busy callers: nobody is cut off, because answers are held while the word of it travels."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import grpc.aio

from gateway.rpc.service import INFERENCE
from tests.rpc.door import RpcDoor, message

if TYPE_CHECKING:
    import pytest

CALLERS = 16
GONE = grpc.StatusCode.UNAVAILABLE
"""What a call ends with that finds nobody to connect to."""


async def stopped_under_load(door: RpcDoor) -> Counter[grpc.StatusCode]:
    """Stop *door* under busy callers; return what the calls ended with that got no answer."""
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

    callers = [asyncio.create_task(keep_asking(number)) for number in range(CALLERS)]
    async with asyncio.timeout(20):
        while len(answered) < CALLERS or min(answered.values()) < 3:  # noqa: ASYNC110 - counts are no events
            await asyncio.sleep(0.01)
        door.server.stop()
        await asyncio.gather(*callers)
    await door.close()
    return failures


async def test_a_stop_cuts_no_busy_caller_off() -> None:
    failures = await stopped_under_load(RpcDoor())

    assert set(failures) == {GONE}  # each caller's next call, which found the port closed


async def test_a_stop_that_holds_no_answers_does_cut_callers_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: what the holding is for."""
    door = RpcDoor()
    monkeypatch.setattr(door.service, "hold", lambda: None)

    failures = await stopped_under_load(door)

    assert failures[grpc.StatusCode.CANCELLED] > 0
