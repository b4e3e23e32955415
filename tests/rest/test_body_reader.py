"""A large body read in place is answered, limited and cut off like one that goes through the parser.

Every test is run both ways and on both event loops, over a real socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from gateway.core.limits import DEFAULT
from gateway.rest import shortcut as shortcut_module
from gateway.rest.body_reader import HEAD_BYTES, LARGE_BYTES, BodyReader
from gateway.rest.shortcut import shortcut
from tests.rest.door import FakeDoor, send_all_to
from tests.rest.in_memory import REQUEST
from tests.rest.wire import LENGTH, packed, sent
from tests.serving.fakes import ANY_WIDTH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from gateway.ports.engine import Tensor

VALUES: Final = np.arange(100_000, dtype=np.float32).reshape(-1, 1000)
BODY, [(_, JSON_BYTES)] = packed({"inputs": [sent("x", VALUES)], "parameters": {"binary_data_output": True}})
ROOMY: Final = replace(DEFAULT, body_seconds=30)
PATIENCE: Final = 10.0

LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
WAYS: Final = ("in place", "through the parser")


class Counted(BodyReader):
    """Counts how often a connection gets one, and the tensors' bytes that it read."""

    made = 0
    read_bytes = 0

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        Counted.made += 1

    def buffer_updated(self, nbytes: int) -> None:
        Counted.read_bytes += nbytes if self.room is not None else 0
        super().buffer_updated(nbytes)


class Place:
    """A worker's port, and one caller of it."""

    def __init__(self, door: FakeDoor, server: asyncio.Server, state: ServerState) -> None:
        self.door = door
        self.state = state
        self.server = server
        self.seen: list[Tensor] = []
        self._callers: list[Caller] = []

    async def connect(self) -> Caller:
        caller = Caller(*await asyncio.open_connection(*self.server.sockets[0].getsockname()[:2]))
        self._callers.append(caller)
        return caller

    async def is_empty(self) -> None:
        """Wait until the worker has ended every connection."""
        async with asyncio.timeout(PATIENCE):
            while self.state.connections:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        """End both sides of every connection."""
        self.server.close()
        for connection in list(self.state.connections):
            connection.transport.abort()
        for caller in self._callers:
            caller.writer.transport.abort()
            with contextlib.suppress(OSError):
                await caller.writer.wait_closed()


class Caller:
    """A raw socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the next answer."""
        async with asyncio.timeout(PATIENCE):
            top = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = top.strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            return int(first.split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def is_closed(self) -> bool:
        """Say whether the connection ends, with nothing more on it."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read(1) == b""


def head(body_bytes: int = len(BODY), *lines: str, path: str = "/v2/models/fraud/infer") -> bytes:
    named = [f"Content-Length: {body_bytes}", f"{LENGTH}: {JSON_BYTES}", *lines]
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: gateway", *named, "\r\n"]).encode()


WHOLE: Final = head() + BODY


def outputs(answer: tuple[int, dict[str, str], bytes]) -> Tensor:
    status, headers, body = answer
    assert status == 200, body[:300]
    return np.frombuffer(body[int(headers[LENGTH]) :], np.float32).reshape(-1, 1000)


@contextlib.asynccontextmanager
async def opened(limits: Any, **how: Any) -> AsyncIterator[Place]:
    door = FakeDoor(**how)
    place: Place

    def run(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        place.seen.append(feeds["x"])
        return [feeds["x"] * 2]

    door.floor.held.hold("fraud", 1, run, signature=ANY_WIDTH)
    send_all_to(door, 1)
    made = shortcut(door.inference, limits)
    config = uvicorn.Config(door._app, http=made, ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()

    def protocol() -> Any:
        return made(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    place = Place(door, server, state)
    try:
        yield place
    finally:
        await place.close()


@pytest.fixture(params=[(loop, way) for loop in LOOPS for way in WAYS], ids=" ".join)
def play(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plays a scene on one of the loops, one of the ways."""
    loop, way = request.param
    Counted.made = Counted.read_bytes = 0
    monkeypatch.setattr(shortcut_module, "BodyReader", Counted)
    if way != "in place":
        monkeypatch.setattr(shortcut_module, "LARGE_BYTES", 1 << 40)

    def go(
        scene: Callable[[Place], Awaitable[None]], *, limits: Any = ROOMY, in_place: int | None = None, **how: Any
    ) -> None:
        async def whole() -> None:
            async with opened(limits, **how) as place:
                await scene(place)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(whole())
        if in_place is not None:
            assert Counted.made == (in_place if way == "in place" else 0)

    return go


def test_a_large_body_is_answered_as_one_row_would_be(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(WHOLE)

        assert outputs(await caller.answer()).tolist() == (VALUES * 2).tolist()
        assert place.seen[0].flags.aligned
        assert not place.seen[0].flags.owndata

    play(scene, in_place=1)


def test_a_body_that_comes_in_odd_pieces_is_put_together_in_order(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        cuts = [0, 1, 50, len(head()), len(head()) + 7, 4096, 70_001, 70_002, 200_003, len(WHOLE) - 1, len(WHOLE)]
        for start, end in itertools.pairwise(cuts):
            caller.send(WHOLE[start:end])
            await asyncio.sleep(0.005)

        assert outputs(await caller.answer()).tolist() == (VALUES * 2).tolist()

    play(scene, in_place=1)


def test_what_is_pipelined_behind_a_large_body_is_answered_in_order(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        small = REQUEST.replace(b"\r\n\r\n", b"\r\nx-request-id: small\r\n\r\n", 1)
        caller.send(WHOLE + small + WHOLE + WHOLE + small)

        found = [await caller.answer() for _ in range(5)]

        assert [status for status, _, _ in found] == [200] * 5
        assert [headers["x-request-id"] == "small" for _, headers, _ in found] == [False, True, False, False, True]
        assert all(outputs(found[at]).tolist() == (VALUES * 2).tolist() for at in (0, 2, 3))

    play(scene)


def test_a_connection_takes_small_and_large_requests_in_any_order(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        for wanted in (WHOLE, REQUEST, REQUEST, WHOLE, WHOLE, REQUEST):
            caller.send(wanted)
            assert (await caller.answer())[0] == 200
        assert place.door.outcomes(1) == ["ok"] * 6
        assert place.door.inference.in_flight == 0

    play(scene, in_place=2)


def test_a_head_longer_than_what_is_read_between_bodies_is_read_whole(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        for _ in range(3):
            caller.send(head(len(BODY), f"x-long: {'a' * HEAD_BYTES}") + BODY)
            assert outputs(await caller.answer()).tolist() == (VALUES * 2).tolist()

    play(scene, in_place=1)


def test_bytes_behind_a_body_that_are_no_request_are_refused(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(WHOLE)
        assert (await caller.answer())[0] == 200
        caller.send(b"nonsense\r\n\r\n")

        assert (await caller.answer())[0] == 400
        assert await caller.is_closed()

    play(scene)


def test_a_caller_that_leaves_in_the_middle_is_counted_as_cancelled(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(WHOLE[:200_000])
        await asyncio.sleep(0.05)
        assert place.door.inference.in_flight == 1
        caller.writer.transport.abort()
        await asyncio.sleep(0.05)

        assert place.door.outcomes("_none") == ["cancelled"]
        assert (place.door.inference.in_flight, list(place.state.connections)) == (0, [])

    play(scene, in_place=1)


def test_a_caller_that_ends_its_side_in_the_middle_is_closed(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(WHOLE[:200_000])
        await asyncio.sleep(0.05)
        caller.writer.write_eof()

        assert await caller.is_closed()
        assert place.door.outcomes("_none") == ["cancelled"]

    play(scene, in_place=1)


def test_a_caller_that_ends_its_side_behind_the_body_is_answered(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(WHOLE)
        caller.writer.write_eof()

        assert outputs(await caller.answer()).tolist() == (VALUES * 2).tolist()
        assert await caller.is_closed()

    play(scene, in_place=1)


def test_a_body_that_drips_is_cut_off_in_time_for_all_of_it(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        loop = asyncio.get_running_loop()
        began = loop.time()
        caller.send(WHOLE[:100_000])
        answer = asyncio.ensure_future(caller.answer())
        while not answer.done():
            caller.send(b"x" * 100)
            await asyncio.sleep(0.02)
        caller.send(WHOLE)  # thrown away, not taken for the rest or for a request

        assert json.loads((await answer)[2])["code"] == "too_slow"
        assert 0.3 <= loop.time() - began < 3
        assert await caller.is_closed()
        await place.is_empty()
        assert place.door.outcomes("_none") == ["cancelled"]

    play(scene, limits=replace(DEFAULT, body_seconds=0.3), in_place=1)


def test_a_body_in_time_leaves_no_deadline_behind(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(WHOLE)
        await caller.answer()
        await asyncio.sleep(0.4)
        caller.send(WHOLE)

        assert (await caller.answer())[0] == 200

    play(scene, limits=replace(DEFAULT, body_seconds=0.3), in_place=1)


def test_a_body_over_the_limit_is_refused_before_it_comes(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(WHOLE[:100_000])

        assert (await caller.answer())[0] == 413
        assert await caller.is_closed()

    play(scene, max_body=len(BODY) - 1, in_place=0)


def test_a_connection_stays_framed_behind_a_large_body_that_nobody_takes(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(head(path="/v2/models/ghost/infer") + BODY + REQUEST)

        assert (await caller.answer())[0] == 404
        assert (await caller.answer())[0] == 200

    play(scene, in_place=0)


def test_a_caller_that_waits_to_be_asked_for_its_body_is_asked(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(head(len(BODY), "Expect: 100-continue"))
        assert (await caller.answer())[0] == 100
        caller.send(BODY)

        assert outputs(await caller.answer()).tolist() == (VALUES * 2).tolist()

    play(scene, in_place=0)


def test_a_body_of_unknown_length_and_a_compressed_one_go_through_the_parser(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        chunks = f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n"
        top = head().replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
        noise = np.random.default_rng(1).random((100, 1000), np.float32)
        body, [(_, size)] = packed({"inputs": [sent("x", noise)], "parameters": {"binary_data_output": True}})
        small = zlib.compress(body)
        assert len(small) > 2 * LARGE_BYTES
        caller.send(top + chunks)
        caller.send(head(len(small), "Content-Encoding: deflate").replace(JSON_BYTES.encode(), size.encode()) + small)

        assert outputs(await caller.answer()).tolist() == (VALUES * 2).tolist()
        assert outputs(await caller.answer()).tolist() == (noise * 2).tolist()

    play(scene, in_place=0)


def test_a_request_in_the_middle_of_its_body_is_answered_by_a_worker_that_stops(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.send(WHOLE[:200_000])
        await asyncio.sleep(0.05)
        place.door.inference.closing = True
        for connection in list(place.state.connections):
            connection.shutdown()
        caller.send(WHOLE[200_000:])

        answer = await caller.answer()

        assert outputs(answer).tolist() == (VALUES * 2).tolist()
        assert answer[1]["connection"] == "close"
        assert await caller.is_closed()

    play(scene, in_place=1)


def test_a_caller_that_never_reads_is_read_no_further_and_cut_off(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined] # a stream's transport reads too
        for _ in range(60):
            caller.send(WHOLE)
        await place.is_empty()

        assert 0 < len(place.seen) < 60
        assert place.door.inference.in_flight == 0

    play(scene, limits=replace(ROOMY, write_seconds=0.3))


def test_most_of_a_large_body_never_meets_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    Counted.made = Counted.read_bytes = 0
    monkeypatch.setattr(shortcut_module, "BodyReader", Counted)

    async def scene() -> None:
        async with opened(ROOMY) as place:
            caller = await place.connect()
            for _ in range(4):
                caller.send(WHOLE)
                await caller.answer()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())

    assert Counted.read_bytes > 3 * (len(BODY) - HEAD_BYTES)


def test_a_body_that_is_not_large_has_no_reader(play: Any) -> None:
    async def scene(place: Place) -> None:
        caller = await place.connect()
        body, [(_, size)] = packed({"inputs": [sent("x", VALUES[: LARGE_BYTES // 4000])]})
        caller.send(head(len(body)).replace(JSON_BYTES.encode(), size.encode()) + body)

        assert (await caller.answer())[0] == 200

    play(scene, in_place=0)
