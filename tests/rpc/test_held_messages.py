"""Messages find room in the worker, or are refused before they are read; what comes whole at once needs none."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.core.limits import Limits
from gateway.rpc.messages import PREFIX
from gateway.rpc.status import Status
from gateway.serving.bodies import SMALL_BYTES
from tests.rpc.door import RpcDoor, message
from tests.rpc.raw import Raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LARGE = 100_000
MOST = 250_000


@asynccontextmanager
async def opened(**limits: float) -> AsyncIterator[tuple[RpcDoor, Raw]]:
    """Open a door with room for two large messages, and a connection to it; whatever is done, others are served."""
    door = RpcDoor(timeout=20.0, max_body=8 << 20, limits=Limits(**{"held_bytes": MOST, **limits}))  # type: ignore[arg-type]  # passed through
    await door.open()
    raw = await Raw.connect(door.port)
    try:
        yield door, raw
        assert (await door.infer_message(message())).code.name == "OK"
    finally:
        raw.close()
        await door.close()


def begin(raw: Raw, size: int, part: bytes = b"", *, flag: int = 0, coding: str = "identity") -> int:
    """Begin a call whose message is to have *size* bytes; return its stream."""
    number = raw.begin(raw.head(("grpc-encoding", coding)))
    raw.data(number, PREFIX.pack(flag, size) + part, ends=False)
    return number


async def until_held(door: RpcDoor, size: int) -> None:
    async with asyncio.timeout(10):
        while door.inference.bodies.held != size:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_a_large_message_without_room_is_refused_before_it_is_read() -> None:
    async with opened() as (door, raw):
        first, second = begin(raw, LARGE), begin(raw, LARGE)
        third = begin(raw, LARGE)

        headers, _ = await raw.answer(third)

        assert int(headers["grpc-status"]) == Status.UNAVAILABLE
        assert "held-bytes" in headers["grpc-message"]
        assert door.outcomes("_none", "_unknown") == ["overload"]
        assert door.inference.bodies.held == 2 * (LARGE + PREFIX.size)
        assert first < second


async def test_a_message_gives_its_room_back_with_its_answer_and_with_its_connection() -> None:
    async with opened() as (door, raw):
        number = begin(raw, 20_000, bytes(10_000))
        begin(raw, 20_000)
        await until_held(door, 2 * (20_000 + PREFIX.size))
        raw.data(number, bytes(10_000))

        await raw.answer(number)

        await until_held(door, 20_000 + PREFIX.size)
        raw.close()
        await until_held(door, 0)


async def test_a_message_that_is_never_whole_gives_its_room_back_at_its_deadline() -> None:
    async with opened(body_seconds=0.2) as (door, raw):
        number = begin(raw, LARGE)

        status = await raw.status(number)

        assert status == Status.DEADLINE_EXCEEDED
        await until_held(door, 0)


async def test_a_small_message_in_parts_passes_where_a_large_one_does_not() -> None:
    async with opened() as (door, raw):
        door.inference.bodies.change(0, MOST)
        small = begin(raw, SMALL_BYTES - PREFIX.size)
        await until_held(door, MOST + SMALL_BYTES)
        large = begin(raw, LARGE)

        assert await raw.status(large) == Status.UNAVAILABLE
        assert small < large


@pytest.mark.parametrize("plain", [MOST, 7 << 20], ids=["unpacked on the loop", "unpacked on a thread"])
async def test_a_packed_message_counts_as_what_it_unpacks_to(plain: int) -> None:
    async with opened() as (door, raw):
        door.inference.bodies.change(0, LARGE)
        packed = gzip.compress(bytes(plain))
        number = begin(raw, len(packed), packed[:-1], flag=1, coding="gzip")
        raw.data(number, packed[-1:])

        status = await raw.status(number)

        assert status == Status.UNAVAILABLE
        await until_held(door, LARGE)


async def test_a_message_alone_may_be_as_large_as_any() -> None:
    async with opened() as (door, raw):
        begin(raw, 8 << 20)

        await until_held(door, (8 << 20) + PREFIX.size)
