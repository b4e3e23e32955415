"""The connections to a store's server: those of the client library, of which one that is dead says so in its words.

Under uvloop a connection that the other side reset raises RuntimeError when it is written to. The library knows that
error from nowhere, so it neither tried again nor told of a connection that is lost.
Names are looked up apart from the loop (names.py). What TLS needs is read once, and not for each connection: that
holds the loop up for 25 ms.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.store.names import look_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio.connection import AbstractConnection, RedisSSLContext


class Told:
    """Turns a write to a transport that is closed into the library's error of a lost connection."""

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Send what the library packed. Raises its errors only."""
        try:
            await super().send_packed_command(*args, **kwargs)  # type: ignore[misc]  # of the class beside this one
        except RuntimeError as exc:
            raise RedisConnectionError(f"the connection was lost ({exc})") from exc


class Named:
    """Has the name of the server looked up before it connects, so that no lookup outlives who wanted it."""

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):  # type: ignore[attr-defined]  # of the class beside it
            await look_up(self.host, int(self.port))  # type: ignore[attr-defined]  # as above
        await super()._connect()  # type: ignore[misc]  # as above


class TcpConnection(Told, Named, Connection):
    """Over TCP."""


class TlsConnection(Told, Named, SSLConnection):
    """Over TLS."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ssl_context = shared(self.ssl_context)


_shared: Final[dict[tuple[str, ...], tuple[tuple[int, ...], RedisSSLContext]]] = {}
"""What was asked for → when its files were changed, and the context that all its connections have."""


def shared(asked: RedisSSLContext) -> RedisSSLContext:
    """Return the context of an earlier connection that *asked* for the same and read the same files, else this one.

    A file that was replaced since, such as a certificate that was renewed, is read by the next connection.
    """
    wishes = tuple(repr(getattr(asked, name)) for name in asked.__slots__ if name != "context")
    files = (asked.keyfile, asked.certfile, asked.ca_certs)
    changed = tuple(Path(file).stat().st_mtime_ns if file and Path(file).exists() else 0 for file in files)
    known = _shared.get(wishes)
    if known is None or known[0] != changed:
        known = _shared[wishes] = changed, asked
    return known[1]


class SocketConnection(Told, UnixDomainSocketConnection):
    """Over a unix socket."""


KINDS: Final[Mapping[type[AbstractConnection], type[AbstractConnection]]] = {
    Connection: TcpConnection,
    SSLConnection: TlsConnection,
    UnixDomainSocketConnection: SocketConnection,
}
"""The library's kind → ours."""
