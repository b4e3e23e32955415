"""A caller that hangs up is told apart from one that has sent all it had, on both event loops, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
import uvloop

from gateway.rest.departure import ANNOUNCEMENT, ANSWERED_SECONDS, LOOK_SECONDS, Departure

LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
PATIENCE: Final = 5.0
ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Owing(asyncio.Protocol):
    """One connection that owes an answer until ``answer`` is called."""

    def __init__(self) -> None:
        self.is_owed = True
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()
        self.lost = asyncio.Event()
        self.departure: Departure | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.asked.set()

    def eof_received(self) -> bool:
        self.departure = Departure(asyncio.get_running_loop(), self.transport, lambda: self.is_owed)
        self.ended.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.departure is not None:
            self.departure.cancel()
        self.lost.set()

    def answer(self) -> None:
        self.is_owed = False
        self.transport.write(ANSWER)
        self.transport.close()


async def asked() -> tuple[Owing, asyncio.StreamReader, asyncio.StreamWriter, asyncio.Server]:
    """Return a connection on which something was asked, and both ends of it."""
    owing = Owing()
    server = await asyncio.get_running_loop().create_server(lambda: owing, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.write(b"ask")
    await asyncio.wait_for(owing.asked.wait(), PATIENCE)
    return owing, reader, writer, server


@pytest.fixture(params=LOOPS)
def play(request: pytest.FixtureRequest) -> Any:
    """Plays a scene on one of the loops."""

    def go(scene: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(scene())

    return go


def test_a_caller_who_hung_up_is_gone_long_before_the_answer(play: Any) -> None:
    async def scene() -> None:
        owing, _, writer, server = await asked()

        writer.close()
        await asyncio.wait_for(owing.lost.wait(), PATIENCE)

        assert owing.is_owed
        server.close()

    play(scene)


def test_a_caller_who_only_ended_its_side_is_told_to_wait_and_then_answered(play: Any) -> None:
    async def scene() -> None:
        owing, reader, writer, server = await asked()

        writer.write_eof()
        await asyncio.sleep(ANSWERED_SECONDS + 4 * LOOK_SECONDS)
        was_lost = owing.lost.is_set()
        owing.answer()

        assert await asyncio.wait_for(reader.read(), PATIENCE) == ANNOUNCEMENT + ANSWER
        assert not was_lost
        writer.close()
        server.close()

    play(scene)


def test_an_answer_that_comes_soon_is_not_announced(play: Any) -> None:
    async def scene() -> None:
        owing, reader, writer, server = await asked()

        writer.write_eof()
        await asyncio.wait_for(owing.ended.wait(), PATIENCE)
        owing.answer()

        assert await asyncio.wait_for(reader.read(), PATIENCE) == ANSWER
        writer.close()
        server.close()

    play(scene)
