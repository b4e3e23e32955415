"""One uvicorn server on a socket that the launcher opened. Signals and the order of a stop are the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import uvicorn
import uvicorn.lifespan.off  # uvicorn imports it by its name, when a server starts

from gateway.processes.arrivals import Arrivals
from gateway.rest.guard import Guarded

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator, Sequence

    from gateway.processes.kept_connections import KeptConnections

BACKLOG: Final = 2048
LINGER_SECONDS: Final = 1.0
"""How long a stop lets open connections end by themselves: each is closed with its next answer."""

LINGER_STEP_SECONDS: Final = 0.02
GOODBYE_SECONDS: Final = 1.0
"""How long a TLS caller may take to answer that the connection ends; the loop's own is half a minute."""

FINISH_SECONDS: Final = 30
"""How long a stop waits for what is in flight."""


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
        kept: KeptConnections | None,
    ) -> None:
        super().__init__(config)
        self._secured: dict[str, Any] = {}
        if tls is not None:
            self._secured = {
                "ssl": tls, "ssl_handshake_timeout": handshake_seconds, "ssl_shutdown_timeout": GOODBYE_SECONDS
            }  # fmt: skip
        self._kept = kept
        self._arrivals = Arrivals(kept) if kept is not None else None
        self.hands_on = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. With TLS not uvicorn's way, which gives a caller a minute for the handshake."""
        if self._secured:
            await self._listen_with_tls(sockets or ())
        else:
            await super().startup(sockets)
        if self._arrivals is not None:
            self._arrivals.begin(self._take_over)

    async def _listen_with_tls(self, sockets: Sequence[socket.socket]) -> None:
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(self._connect, sock=each, backlog=BACKLOG, **self._secured) for each in sockets
        ]
        self.started = True

    def _connect(self) -> Guarded:
        protocol: Any = self.config.http_protocol_class
        made: Guarded = protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    async def _take_over(self, sock: socket.socket, is_new: bool) -> None:
        """Begin with a connection of one that stands still, or go on with one that the worker before left."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.connect_accepted_socket(self._connect, sock, **self._secured)
        if not is_new:
            connection.was_kept()

    def _hand_on(self) -> None:
        """Leave to the successor what is idle now; with TLS nothing, for what was agreed on lies in this process."""
        if self._kept is None or self._secured or not self.hands_on:
            return
        for connection in tuple(self.server_state.connections):
            assert isinstance(connection, Guarded)
            if connection.is_idle() and self._kept.give(connection.transport.get_extra_info("socket").fileno()):
                connection.transport.abort()  # closes our descriptor of it only

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the process decides what they mean."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let open connections end with their next answer, and close only then what is idle.

        What is idle goes to the successor where there is one, as soon as it is so; nothing of that is closed.
        Closed at once, a connection whose request is just arriving would lose it: measured 2 of 8,700
        requests over 20 stops, on kept and on new connections; none of as many with the wait.
        """
        for server in self.servers:
            server.close()
        if self._arrivals is not None:
            self._arrivals.end()
        until = time.monotonic() + LINGER_SECONDS
        while self.server_state.connections and time.monotonic() < until:  # uvicorn has no such event
            self._hand_on()
            await asyncio.sleep(LINGER_STEP_SECONDS)
        self._hand_on()
        await super().shutdown(sockets)


class HttpServer:
    """Serves one ASGI application."""

    def __init__(
        self,
        app: Any,
        sock: socket.socket,
        protocol: type[Guarded] = Guarded,
        tls: ssl.SSLContext | None = None,
        kept: KeptConnections | None = None,
    ) -> None:
        """*protocol* is made from httptools' class: h11 answered smuggled requests that httptools refuses.

        *tls* is what the port speaks TLS with, None where it does not; a handshake takes as long as a head may.
        *kept*: what brings the connections that the worker before left, or that one which stands still cannot take, and
        takes those that this one leaves.
        """
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=protocol.limits.idle_seconds,  # type: ignore[arg-type] # handed to call_later
            timeout_graceful_shutdown=FINISH_SECONDS,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # what it says of starting, the launcher says
        self._server = _Server(config, tls, protocol.limits.head_seconds, kept)
        self._socket = sock

    async def run(self) -> None:
        """Serve until ``stop``, then finish what is in flight."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Stop accepting and let ``run`` end; nothing is left to anybody, for whoever came after may be ending too."""
        self._server.hands_on = False
        self._server.should_exit = True

    def make_way(self) -> None:
        """Stop accepting and let ``run`` end, and leave what is idle to the successor, which is there."""
        self._server.hands_on = True
        self._server.should_exit = True

    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._server.server_state.connections)
