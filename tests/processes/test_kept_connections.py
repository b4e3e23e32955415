"""A worker that is replaced leaves its idle connections to its successor: no request meets a connection that ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.core.limits import DEFAULT
from gateway.processes.http_server import HttpServer
from gateway.processes.kept_connections import KeptConnections, queue
from gateway.processes.sockets import open_sockets
from gateway.rest.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL: Final = "127.0.0.1"
REQUEST: Final = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MANY: Final = 1000
"""More connections than wait in the queue at once."""


class Process:
    """What stands for a worker: one server in a slot, whose answers carry its name."""

    def __init__(self, name: bytes, sock: socket.socket, kept: KeptConnections) -> None:
        self._name = name
        self._kept = KeptConnections(*(end.dup() for end in kept.ends()))  # as a fork has descriptors of its own
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.server = HttpServer(self, sock.dup(), guarded(DEFAULT), None, self._kept)
        self._running = asyncio.create_task(self.server.run())

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.may_answer.wait()
        head = [(b"content-length", b"%d" % len(self._name))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": self._name})

    async def gone(self) -> None:
        async with asyncio.timeout(10):
            await self._running
        self._kept.close()


class Caller:
    """One connection that its caller keeps."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self) -> bytes:
        """Return whose answer came; raises EOFError where the connection ended instead."""
        self.writer.write(REQUEST)
        return await self.answer()

    async def answer(self) -> bytes:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
            return await self.reader.readexactly(int(length.partition(b":")[2]))


class House:
    """A slot: its listening socket, its queue, and who was started in it."""

    def __init__(self, kept: KeptConnections) -> None:
        [self._sock] = open_sockets(LOCAL, 0, 1, "--port")
        self._kept = kept
        self._callers: list[Caller] = []
        self.processes: list[Process] = []

    async def start(self, name: bytes) -> Process:
        process = Process(name, self._sock, self._kept)
        self.processes.append(process)
        await asyncio.sleep(0.05)
        return process

    async def call(self) -> Caller:
        caller = Caller(*await asyncio.open_connection(*self._sock.getsockname()))
        self._callers.append(caller)
        return caller

    async def close(self) -> None:
        for process in self.processes:
            process.server.stop()
            process.may_answer.set()
        for caller in self._callers:
            caller.writer.close()
        for process in self.processes:
            await process.gone()
        self._sock.close()


@pytest.fixture
def kept() -> Iterator[KeptConnections]:
    ours = queue()
    yield ours
    ours.close()


@contextlib.asynccontextmanager
async def house(kept: KeptConnections) -> Any:
    built = House(kept)
    try:
        yield built
    finally:
        await built.close()


async def test_a_kept_connection_goes_on_with_the_successor(kept: KeptConnections) -> None:
    async with house(kept) as slot:
        old = await slot.start(b"old")
        caller, silent = await slot.call(), await slot.call()
        first = await caller.ask()
        await slot.start(b"new")

        old.server.make_way()
        await old.gone()

        assert first == b"old"
        assert await caller.ask() == b"new"
        assert await silent.ask() == b"new", "a connection on which nothing has come yet"


async def test_a_request_that_comes_while_nobody_reads_is_answered_by_the_next(kept: KeptConnections) -> None:
    async with house(kept) as slot:
        old = await slot.start(b"old")
        caller = await slot.call()
        await caller.ask()
        old.server.make_way()
        await old.gone()

        caller.writer.write(REQUEST)
        await asyncio.sleep(0.05)
        await slot.start(b"new")

        assert await caller.answer() == b"new"


async def test_control_a_worker_that_stops_ends_its_connections(kept: KeptConnections) -> None:
    async with house(kept) as slot:
        old = await slot.start(b"old")
        caller = await slot.call()
        await caller.ask()
        await slot.start(b"new")

        old.server.stop()
        await old.gone()

        with pytest.raises((EOFError, ConnectionError)):
            await caller.ask()


async def test_what_is_under_way_is_answered_by_who_began_it_and_handed_on_then(kept: KeptConnections) -> None:
    async with house(kept) as slot:
        old = await slot.start(b"old")
        caller = await slot.call()
        old.may_answer.clear()
        caller.writer.write(REQUEST)
        await asyncio.sleep(0.05)
        await slot.start(b"new")

        old.server.make_way()
        await asyncio.sleep(0.2)
        old.may_answer.set()

        assert await caller.answer() == b"old"
        await old.gone()
        assert await caller.ask() == b"new"


async def test_half_a_request_stays_with_who_has_read_it(kept: KeptConnections) -> None:
    async with house(kept) as slot:
        old = await slot.start(b"old")
        caller = await slot.call()
        caller.writer.write(REQUEST[:10])
        await asyncio.sleep(0.05)
        await slot.start(b"new")

        old.server.make_way()
        await asyncio.sleep(0.2)
        caller.writer.write(REQUEST[10:])

        assert await caller.answer() == b"old"


async def test_more_connections_than_the_queue_holds_are_all_handed_on(kept: KeptConnections) -> None:
    async with house(kept) as slot:
        old = await slot.start(b"old")
        callers = [await slot.call() for _ in range(MANY)]
        assert set(await asyncio.gather(*(caller.ask() for caller in callers))) == {b"old"}
        await slot.start(b"new")

        old.server.make_way()
        await old.gone()

        assert set(await asyncio.gather(*(caller.ask() for caller in callers))) == {b"new"}


def test_a_queue_gives_what_was_put_in_and_says_when_it_is_full(kept: KeptConnections) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        given = 0
        while kept.give(ours.fileno()):
            given += 1
        taken = [sock for sock, _ in kept.take()]
        taken[-1].send(b"still the same")

        assert len(taken) == given > 0
        assert kept.give(ours.fileno())
        assert theirs.recv(100) == b"still the same"
        for each in (*taken, *(sock for sock, _ in kept.take())):
            each.close()


def test_a_connection_that_ended_on_its_way_is_taken_and_found_out_later(kept: KeptConnections) -> None:
    ours, theirs = socket.socketpair()
    kept.give(ours.fileno())
    ours.close()
    theirs.close()

    [(taken, is_new)] = kept.take()

    with taken:
        assert (taken.recv(1), is_new) == (b"", False)
