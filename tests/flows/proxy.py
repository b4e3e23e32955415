"""A network between a gateway and its store that can be broken: cut, so that connections stay open and nothing passes,
slowed down, with every connection reset, or with subscribers who are told nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

SUBSCRIBED: Final = b"subscribe\r\n"
"""In the store's answer to SUBSCRIBE, and in nothing else that it sends a gateway."""


class Network:
    """Forwards a port of loopback to a unix socket, or to another port, on a thread of its own."""

    def __init__(self, where: str | int) -> None:
        self._where = where
        self._loop = asyncio.new_event_loop()
        self._whole = asyncio.Event()
        self._whole.set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._delay_seconds = 0.0
        self._resets = False
        self._deafens = False
        self._callers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def __enter__(self) -> Network:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._forward, "127.0.0.1", 0), self._loop
        ).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Let nothing pass from now on, in either direction."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def slow_down(self, seconds: float) -> None:
        """Hold every piece for so long from now on, in either direction."""
        self._delay_seconds = seconds

    def reset(self) -> None:
        """Reset every connection, and each new one, until it is mended."""
        self._resets = True
        asyncio.run_coroutine_threadsafe(self._reset_all(), self._loop).result(10)

    def deafen(self) -> None:
        """Let whoever is told that it subscribed to a channel be told nothing more; its connection stays open."""
        self._deafens = True

    def mend(self) -> None:
        """Let everything pass again, what was held up first."""
        self._delay_seconds = 0.0
        self._resets = False
        self._deafens = False
        self._loop.call_soon_threadsafe(self._whole.set)

    async def _reset_all(self) -> None:
        for writer in self._callers:
            _reset(writer)

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._resets:
            _reset(writer)
            return
        self._callers.add(writer)
        try:
            inner, outer = await self._reached()
            await asyncio.gather(self._pass(reader, outer), self._pass(inner, writer))
        except (OSError, asyncio.CancelledError):
            _reset(writer)  # nobody listens behind it, one side broke off, or the test is over
        finally:
            self._callers.discard(writer)

    async def _reached(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._where, int):
            return await asyncio.open_connection("127.0.0.1", self._where)
        return await asyncio.open_unix_connection(self._where)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_deaf = False
        try:
            while piece := await reader.read(65536):
                if is_deaf:
                    continue
                is_deaf = self._deafens and SUBSCRIBED in piece
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._whole.wait()
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset: what is sent is lost, and the other side learns of it as an error."""
    sock: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
