"""Connections that somebody else accepted, on their way into a door's event loop.

They come over a queue of the worker's slot: from the worker before, or from the launcher while another stands still.
What becomes of each the door says; one that fails, as a handshake may, is the end of that one only.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from gateway.processes.kept_connections import KeptConnections

    Serve = Callable[[socket.socket, bool], Coroutine[Any, Any, None]]


class Arrivals:
    """Takes what one queue brings, while a door is open."""

    def __init__(self, kept: KeptConnections) -> None:
        self._kept = kept
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, serve: Serve) -> None:
        """Have every connection served, each told with whether nothing was read of it yet."""
        asyncio.get_running_loop().add_reader(self._kept, self._take, serve)

    def end(self) -> None:
        """Take no more; what comes is left in the queue, for who is next."""
        asyncio.get_running_loop().remove_reader(self._kept)

    def _take(self, serve: Serve) -> None:
        for sock, is_new in self._kept.take():
            task = asyncio.create_task(_served(serve(sock, is_new)))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)


async def _served(serving: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(OSError):  # its caller has left, or agreed on no TLS
        await serving
