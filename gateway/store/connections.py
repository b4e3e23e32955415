"""The connections to a store's server: those of the client library, of which one that is dead says so in its words.

Under uvloop a connection that the other side reset raises RuntimeError when it is written to. The library knows that
error from nowhere, so it neither tried again nor told of a connection that is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio.connection import AbstractConnection


class Told:
    """Turns a write to a transport that is closed into the library's error of a lost connection."""

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Send what the library packed. Raises its errors only."""
        try:
            await super().send_packed_command(*args, **kwargs)  # type: ignore[misc]  # of the class beside this one
        except RuntimeError as exc:
            raise RedisConnectionError(f"the connection was lost ({exc})") from exc


class TcpConnection(Told, Connection):
    """Over TCP."""


class TlsConnection(Told, SSLConnection):
    """Over TLS."""


class SocketConnection(Told, UnixDomainSocketConnection):
    """Over a unix socket."""


KINDS: Final[Mapping[type[AbstractConnection], type[AbstractConnection]]] = {
    Connection: TcpConnection,
    SSLConnection: TlsConnection,
    UnixDomainSocketConnection: SocketConnection,
}
"""The library's kind → ours."""
