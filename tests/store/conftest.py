"""A server for each test that hurts it, and a wire to it that can be cut or fall silent."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from gateway.store.embedded import EmbeddedServer
from gateway.store.redis_store import RedisRouteStore
from gateway.store.server_binary import find_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path, find_server(None))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def store(server: EmbeddedServer) -> AsyncIterator[RedisRouteStore]:
    store = RedisRouteStore(server.start())
    yield store
    await store.close()


@pytest.fixture
async def command(server: EmbeddedServer) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Send any command to the server, past the store."""
    async with Redis.from_url(server.start(), protocol=2) as client:
        send: Callable[..., Awaitable[Any]] = client.execute_command
        yield send


@pytest.fixture
def kill(server: EmbeddedServer) -> Callable[[], Awaitable[None]]:
    """End the server as the kernel would when memory runs out, and wait until it is gone."""

    async def kill() -> None:
        assert server.process_id is not None
        os.kill(server.process_id, signal.SIGKILL)
        await _ended(server)

    return kill


async def _ended(server: EmbeddedServer) -> None:
    """Wait until the server's process is gone."""
    async with asyncio.timeout(5):
        while server.is_running():  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.005)


class Proxy:
    """A TCP door to a server's unix socket. It passes everything on until it is told otherwise."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._muted: set[int] = set()
        self._losing = b""
        self.accepted = 0
        self.is_mute = False
        """Whether connections accepted from now on are deaf as well."""
        self.before_loss: Callable[[], Awaitable[object]] | None = None

    @property
    def port(self) -> int:
        assert self._listener is not None
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def mute(self) -> None:
        """Let the connections that exist stay open and carry nothing more."""
        self._muted.update(range(1, self.accepted + 1))

    def lose_the_reply_to(self, word: bytes) -> None:
        """Cut the connection in place of the next reply to a request that holds *word*."""
        self._losing = word

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        if self.is_mute:
            self._muted.add(self.accepted)
        upstream_reader, upstream = await asyncio.open_unix_connection(self._path)
        doomed = asyncio.Event()
        ways = [
            asyncio.create_task(self._carry(self.accepted, reader, upstream, doomed, is_request=True)),
            asyncio.create_task(self._carry(self.accepted, upstream_reader, writer, doomed, is_request=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, upstream):
                end.close()

    async def _carry(
        self,
        number: int,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        doomed: asyncio.Event,
        *,
        is_request: bool,
    ) -> None:
        while chunk := await source.read(65536):
            if number in self._muted:
                continue
            if is_request and self._losing and self._losing in chunk:
                self._losing = b""
                doomed.set()
            elif not is_request and doomed.is_set():
                if self.before_loss:
                    await self.before_loss()
                return
            sink.write(chunk)
            await sink.drain()


@pytest.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[Proxy]:
    proxy = Proxy(urlsplit(server.start()).path)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture
async def far_store(proxy: Proxy) -> AsyncIterator[RedisRouteStore]:
    """The store, seen through the proxy."""
    store = RedisRouteStore(proxy.url)
    yield store
    await store.close()
