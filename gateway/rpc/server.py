"""The gRPC door of a worker: its connections, on a socket that the launcher opened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.rpc.connection import Connection, Shared

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine
    from typing import Protocol

    from gateway.rpc.service import Service
    from gateway.serving.exchange import Traffic

    class Arrivals(Protocol):
        """What brings connections that somebody else accepted, while the door is open."""

        def begin(self, serve: Callable[[socket.socket, bool], Coroutine[Any, Any, None]]) -> None: ...

        def end(self) -> None: ...


BACKLOG: Final = 2048
FINISH_SECONDS: Final = 30
"""How long a stop waits for what is in flight."""

LOOK_SECONDS: Final = 1.0
"""How often every connection is looked at; more often where a limit is shorter than four times that."""

STEP_SECONDS: Final = 0.02

GOODBYE_SECONDS: Final = 1.0
"""How long a TLS caller may take to answer that the connection ends; the loop's own is half a minute."""


class GrpcServer:
    """Serves the methods of one ``Service``."""

    def __init__(
        self,
        service: Service,
        traffic: Traffic,
        sock: socket.socket,
        tls: ssl.SSLContext | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        """*tls* is what the port speaks TLS with; None where it does not.

        *arrivals*: what brings the new connections of a worker that stands still; None where nothing does.
        """
        limits = traffic.limits
        self._shared = Shared(service.methods(), traffic)
        self._socket = sock
        self._arrivals = arrivals
        self._secured: dict[str, Any] = {}
        if tls is not None:
            self._secured = {
                "ssl": tls, "ssl_handshake_timeout": limits.head_seconds, "ssl_shutdown_timeout": GOODBYE_SECONDS
            }  # fmt: skip
        self._stopped = asyncio.Event()
        shortest = min(limits.head_seconds, limits.body_seconds, limits.write_seconds, limits.idle_seconds)
        self._every = min(LOOK_SECONDS, shortest / 4)

    async def run(self) -> None:
        """Serve until ``stop``, then finish what is in flight."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._connect, sock=self._socket, backlog=BACKLOG, **self._secured)
        if self._arrivals is not None:
            self._arrivals.begin(self._take_over)
        looking = asyncio.create_task(self._look())
        try:
            await self._stopped.wait()
        finally:
            server.close()
            if self._arrivals is not None:
                self._arrivals.end()
        await self._leave(loop.time() + FINISH_SECONDS)
        looking.cancel()

    def stop(self) -> None:
        """Stop accepting and let ``run`` end."""
        self._stopped.set()

    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._shared.connections)

    def _connect(self) -> Connection:
        return Connection(self._shared)

    async def _take_over(self, sock: socket.socket, _is_new: bool) -> None:
        """Serve a connection of a worker that stands still. It is new: HTTP/2 can end those that are not (GOAWAY)."""
        await asyncio.get_running_loop().connect_accepted_socket(self._connect, sock, **self._secured)

    async def _look(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._every)
            now = clock()
            for connection in tuple(self._shared.connections):
                connection.check(now)

    async def _leave(self, until: float) -> None:
        """Let every connection end gently; what is not done by *until* (on the loop's clock) is cut off."""
        clock, connections = asyncio.get_running_loop().time, self._shared.connections
        while connections and clock() < until:
            for connection in tuple(connections):
                connection.leave()  # also those that were accepted a moment ago
            await asyncio.sleep(STEP_SECONDS)
        for connection in tuple(connections):
            connection.abort()
