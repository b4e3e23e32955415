"""Bodies over 64 KiB find room in the worker, or are refused before they are read; both doors, every form of a body."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.core.limits import DEFAULT
from gateway.processes.http_server import HttpServer
from gateway.rest.guard import guarded
from gateway.rest.room import Room
from gateway.rest.shortcut import shortcut
from gateway.serving.bodies import Bodies
from tests.rest.door import ROW, FakeDoor, send_all_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LARGE = 100_000
MOST = 250_000
PATH = "/v2/models/fraud/infer"
BODY = json.dumps(ROW).encode().ljust(LARGE)
BINARY = b"inference-header-content-length: 50000\r\n"


class Listening(FakeDoor):
    """A fake worker that listens through one of both doors, with room for two large bodies."""

    def __init__(self, name: str, body_seconds: float) -> None:
        super().__init__(timeout=20.0, max_body=8 << 20)
        self.floor.held.hold("fraud", 1, lambda feeds: [feeds["x"] + 100])
        send_all_to(self, 1)
        self.inference.bodies = Bodies(MOST)
        self._callers: list[Caller] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        limits = replace(DEFAULT, body_seconds=body_seconds)
        protocol = shortcut(self.inference, limits) if name == "short cut" else guarded(limits)
        self.server = HttpServer(self._app, self.socket, protocol)

    @property
    def held(self) -> int:
        return self.inference.bodies.held

    async def connect(self) -> Caller:
        caller = Caller(*await asyncio.open_connection(*self.socket.getsockname()))
        self._callers.append(caller)
        return caller

    async def close(self) -> None:
        for caller in self._callers:
            caller.writer.close()
            with suppress(OSError):
                await caller.writer.wait_closed()
        self.server.stop()


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def begin(self, size: int, part: bytes = b"", more: bytes = b"") -> None:
        """Send a head that declares *size* bytes, and a *part* of the body."""
        self.writer.write(b"POST %b HTTP/1.1\r\nhost: g\r\n%bcontent-length: %d\r\n\r\n" % (PATH.encode(), more, size))
        self.writer.write(part)
        await self.writer.drain()

    async def begin_chunks(self, part: bytes) -> None:
        """Send a body of unknown length up to somewhere in its second chunk."""
        self.writer.write(b"POST %b HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n" % PATH.encode())
        self.writer.write(b"%x\r\n%b\r\n5\r\n" % (len(part), part))
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(10):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            return int(head[0].split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))


@asynccontextmanager
async def opened(name: str, body_seconds: float = 60.0) -> AsyncIterator[Listening]:
    door = Listening(name, body_seconds)
    task = asyncio.create_task(door.server.run())
    try:
        yield door
    finally:
        await door.close()
        await task


async def until_held(door: Listening, size: int) -> None:
    async with asyncio.timeout(10):
        while door.held != size:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


@pytest.fixture(params=["short cut", "plain"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_large_body_without_room_is_refused_before_it_is_read(name: str) -> None:
    async with opened(name) as door:
        first, second, third = [await door.connect() for _ in range(3)]
        await first.begin(LARGE)
        await second.begin(LARGE, more=BINARY)
        await until_held(door, 2 * LARGE)
        await third.begin(LARGE)

        status, headers, body = await third.answer()

        assert (status, json.loads(body)["code"]) == (503, "bodies_overloaded")
        assert int(headers["retry-after"]) >= 1
        assert door.outcomes("_none") == ["overload"]
        first.writer.close()
        second.writer.close()
        await until_held(door, 0)


async def test_a_small_body_passes_where_a_large_one_does_not(name: str) -> None:
    async with opened(name) as door:
        large, small = await door.connect(), await door.connect()
        await large.begin(MOST)
        await until_held(door, MOST)
        await small.begin(len(BODY.strip()), BODY.strip())

        status, _, _ = await small.answer()

        assert status == 200


async def test_a_refused_caller_may_send_the_rest_and_try_again_on_its_connection(name: str) -> None:
    async with opened(name) as door:
        large, other = await door.connect(), await door.connect()
        await large.begin(MOST)
        await until_held(door, MOST)
        await other.begin(LARGE)
        refused, _, _ = await other.answer()
        large.writer.close()
        await until_held(door, 0)
        other.writer.write(BODY)
        await other.begin(LARGE, BODY)

        status, _, _ = await other.answer()

        assert (refused, status) == (503, 200)


async def test_a_body_gives_its_room_back_with_its_answer(name: str) -> None:
    async with opened(name) as door:
        caller = await door.connect()
        for _ in range(5):
            await caller.begin(LARGE, BODY)
            assert (await caller.answer())[0] == 200

            await until_held(door, 0)


async def test_a_body_that_is_never_whole_gives_its_room_back_at_its_deadline(name: str) -> None:
    async with opened(name, body_seconds=0.2) as door:
        caller = await door.connect()
        await caller.begin(LARGE)
        await until_held(door, LARGE)

        await until_held(door, 0)


async def test_a_body_of_unknown_length_counts_as_it_comes(name: str) -> None:
    async with opened(name) as door:
        first, second = await door.connect(), await door.connect()
        await first.begin_chunks(bytes(2 * LARGE))
        await until_held(door, 2 * LARGE)
        await second.begin_chunks(bytes(LARGE))

        status, _, body = await second.answer()

        assert (status, json.loads(body)["code"]) == (503, "bodies_overloaded")


async def test_a_compressed_body_counts_as_it_inflates(name: str) -> None:
    async with opened(name) as door:
        large, packed = await door.connect(), await door.connect()
        await large.begin(LARGE)
        await until_held(door, LARGE)
        bomb = gzip.compress(bytes(MOST))
        await packed.begin(len(bomb) + 1, bomb, more=b"content-encoding: gzip\r\n")

        status, _, body = await packed.answer()

        assert (status, json.loads(body)["code"]) == (503, "bodies_overloaded")
        assert door.held == LARGE


async def test_a_connection_that_idles_keeps_nothing_of_its_last_large_body(name: str) -> None:
    async with opened(name) as door:
        caller = await door.connect()
        await caller.begin(LARGE, BODY, more=BINARY)
        await caller.answer()
        await until_held(door, 0)

        gc.collect()

        assert not [each for each in gc.get_objects() if isinstance(each, Room)]
