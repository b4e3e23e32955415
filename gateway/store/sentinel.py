"""Connections that ask Sentinels where the primary is, each time they connect.

A failover needs no word from anybody: the connection to the old primary breaks or is told that it speaks to a replica,
and the next one asks again. What rests at the old one meanwhile is not used any more: a primary that comes back takes
writes for some seconds, until it is told that it is a replica, and then forgets them.
All Sentinels are asked at once, so one that is frozen or cut off costs no time of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from gateway.store.connections import TcpConnection, TlsConnection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio.connection import AbstractConnection

DOWN: Final = {"s_down", "o_down"}
"""Flags of a primary that a Sentinel does not see: itself, or agreed with others."""


class PrimaryFinder:
    """Where the primary of one service is."""

    def __init__(self, service: str, sentinels: Sequence[Mapping[str, Any]], *, seconds: float) -> None:
        """Ask *sentinels*, the keyword arguments of a connection each, for *service*, and wait *seconds* at most."""
        self._service = service
        self._sentinels = sentinels
        self._seconds = seconds
        self._found: tuple[str, int] | None = None

    def is_primary(self, host: str, port: int) -> bool:
        """Say whether whoever asked last was sent there."""
        return (host, port) == self._found

    async def find(self) -> tuple[str, int]:
        """Return host and port of the newest primary that a majority, or those who answer in time, know of.

        A Sentinel that was cut off still names the old primary; the configuration epoch tells which is newer.
        Raises the library's ConnectionError where none names a primary that is up.
        """
        asked = {asyncio.create_task(self._ask(options)) for options in self._sentinels}
        try:
            named = await self._newest(asked)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if named is None:
            raise RedisConnectionError(f"no Sentinel names a primary of {self._service!r} that is up")
        self._found = named[1], named[2]
        return self._found

    async def _newest(self, asked: set[asyncio.Task[tuple[int, str, int] | None]]) -> tuple[int, str, int] | None:
        """Return the answer of the highest epoch, as soon as more than half of those *asked* gave one."""
        answers: list[tuple[int, str, int]] = []
        with contextlib.suppress(TimeoutError):
            for each in asyncio.as_completed(asked, timeout=self._seconds):
                answer = await each
                if answer is not None:
                    answers.append(answer)
                if 2 * len(answers) > len(asked):
                    break
        return max(answers, default=None)

    async def _ask(self, options: Mapping[str, Any]) -> tuple[int, str, int] | None:
        """Return epoch, host and port that one Sentinel names; None where it names none or does not answer."""
        words = dict(options)
        connection = words.pop("connection_class", TcpConnection)(**words)
        try:
            await connection.send_command("SENTINEL", "MASTER", self._service)
            reply = [each.decode("utf-8", "replace") for each in await connection.read_response()]
        except (RedisError, OSError):
            return None
        finally:
            await connection.disconnect(nowait=True)
        said = dict(zip(reply[::2], reply[1::2], strict=True))
        if DOWN & set(said["flags"].split(",")):
            return None
        return int(said["config-epoch"]), said["ip"], int(said["port"])


class PrimaryConnection(TcpConnection):
    """A connection to the primary of the moment.

    It asks in ``_connect``, which all ways of connecting come to; the library's own sends a command that broke off to
    the server of before once more.
    """

    def __init__(self, *, finder: PrimaryFinder, **options: Any) -> None:
        """Take the *options* of a connection; *finder* says to whom it goes."""
        super().__init__(**options)
        self._finder = finder

    async def connect(self) -> None:
        """Connect, anew where another connection has found another primary since; the pool does so before each call."""
        if self.is_connected and not self._finder.is_primary(self.host, self.port):
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call] # redis-py does not annotate it

    async def _connect(self) -> None:
        self.host, self.port = await self._finder.find()
        await super()._connect()

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return the next reply. Raises ConnectionError, and asks anew before the next, where a replica answers.

        Inside a script, servers before Redis 7 wrap that refusal in words of their own.
        """
        try:
            return await super().read_response(*args, **options)
        except ResponseError as exc:
            if "READONLY" not in str(exc) and "read only replica" not in str(exc):
                raise
            await self.disconnect()
            raise RedisConnectionError("the server is no primary any more") from exc


class PrimarySSLConnection(PrimaryConnection, TlsConnection):
    """The same over TLS."""


def primary_connection(kind: type[AbstractConnection]) -> type[PrimaryConnection]:
    """Return the connection to a primary that stands for *kind*."""
    return PrimarySSLConnection if issubclass(kind, SSLConnection) else PrimaryConnection
