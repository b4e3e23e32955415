"""How the store is asked, a server or a cluster: one client, one deadline, one translation of what goes wrong.

Every call ends within ``2 × timeout_seconds + 0.1`` seconds, also when the server is frozen or the network
swallows packets. No exception of the client library leaves this package, and no message holds a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import NoScriptError, ResponseError

from gateway.store.cancellation import heeded
from gateway.store.cluster import ClusterClient
from gateway.store.guard import STORE_ERRORS, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from redis.asyncio.connection import AbstractConnection

    from gateway.store.address import Address
    from gateway.store.scripts import Script

    Ask = Callable[..., Awaitable[Any]]

CONNECTIONS: Final = 32
"""Calls beyond this many wait for one of the others to end, as long as the socket timeout."""

SCANNED: Final = 1_000
"""Keys that a server looks at in one call."""


class OneClient:
    """The commands to one server, or to whoever is the primary of a service."""

    def __init__(self, address: Address, *, connections: int) -> None:
        """Connect at the first call. There is one retry: the first command after a restart meets a dead socket."""
        pool = BlockingConnectionPool(
            max_connections=connections, timeout=address.timeout_seconds, **address.options(retries=1)
        )
        self._client = Redis.from_pool(pool)
        self._timeout_seconds = address.timeout_seconds
        self.ask: Ask = self._client.execute_command

    async def ask_each(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send *commands* in one round trip and return each one's reply, or the refusal of it as a value."""
        pipeline = self._client.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    async def read_each(self, keys: Sequence[str], command: str, *args: Any) -> list[Any]:
        """Ask each of *keys* the same. Past the library's pipeline: a command takes 20 µs of processor time there, 6
        here, and hundreds are asked twice a second. A script would take less here, and three times as much of the
        server."""
        asked = b"".join(pack_command((command, key, *args)) for key in keys)
        pool = self._client.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call] # redis-py does not annotate it
        try:
            replies: list[Any] = await connection.retry.call_with_retry(
                lambda: self._converse(connection, asked, len(keys)), lambda _: connection.disconnect()
            )
            return replies
        finally:
            await pool.release(connection)

    async def _converse(self, connection: AbstractConnection, asked: bytes, many: int) -> list[Any]:
        """Return the next *many* replies to what is *asked*, a refusal as a value, within one wait on the socket."""
        replies: list[Any] = []
        async with asyncio.timeout(self._timeout_seconds):
            await connection.send_packed_command(asked)
            for _ in range(many):
                try:
                    replies.append(await connection.read_response(timeout=math.inf))
                except ResponseError as exc:
                    replies.append(exc)
        return replies

    async def servers(self) -> list[Ask]:
        """Return the doors of all servers that hold keys: this one."""
        return [self.ask]

    async def close(self) -> None:
        """Give back all connections."""
        await self._client.aclose()


class Calls:
    """The commands to one store."""

    def __init__(self, address: Address) -> None:
        """Connect at the first call."""
        self._place = address.place
        self._deadline_seconds = 2 * address.timeout_seconds + 0.1
        self._client = client_of(address)
        self._ask: Ask = self._client.ask

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[Ask]:
        """Lend the client's door for as long as a call may take, and translate what goes wrong."""
        try:
            with heeded():
                async with asyncio.timeout(self._deadline_seconds):
                    yield self._ask
        except STORE_ERRORS as exc:
            raise unavailable(self._place, exc) from exc

    async def ask_each(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send *commands* in one round trip to each server, and return each one's reply or the refusal of it."""
        async with self.bounded():
            return await self._client.ask_each(commands)

    async def read_each(self, keys: Sequence[str], command: str, *args: Any) -> list[Any]:
        """Ask each of *keys* the same, in one round trip to each server, and return each one's reply or the refusal of
        it. A hash comes as a mapping or as its fields and values in turns.
        """
        async with self.bounded():
            return await self._client.read_each(keys, command, *args)

    async def names(self, pattern: str) -> set[str]:
        """Return the keys that match *pattern*, on all servers, in a call per SCANNED of what they hold."""
        found: set[str] = set()
        async with self.bounded():
            servers = await self._client.servers()
        for ask in servers:
            cursor: Any = 0
            while True:
                async with self.bounded():
                    cursor, keys = await ask("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)
                found.update(key.decode("utf-8", "surrogateescape") for key in keys)
                if not int(cursor):
                    break
        return found

    async def close(self) -> None:
        """Give back all connections."""
        with contextlib.suppress(*STORE_ERRORS):
            await self._client.close()


def client_of(address: Address) -> OneClient | ClusterClient:
    """Return the client for what *address* names."""
    if not address.is_cluster:
        return OneClient(address, connections=CONNECTIONS)
    places = [(node["host"], node["port"]) for node in address.nodes]
    return ClusterClient(places, address.options(retries=1), connections=CONNECTIONS)


async def run_script(ask: Ask, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
    """Return what *script* answers; the server is told its text when it does not know it."""
    call = [len(keys), *keys, *args]
    try:
        return await ask("EVALSHA", script.sha, *call)
    except NoScriptError:
        return await ask("EVAL", script.text, *call)
