"""How the store's server is asked: one client, one deadline, one translation of what goes wrong.

Every call ends within ``2 × timeout_seconds + 0.1`` seconds, also when the server is frozen or the network
swallows packets. No exception of the client library leaves this package, and no message holds a password.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import NoScriptError

from gateway.store.cancellation import heeded
from gateway.store.guard import STORE_ERRORS, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from gateway.store.address import Address
    from gateway.store.scripts import Script

    Ask = Callable[..., Awaitable[Any]]

CONNECTIONS: Final = 32
"""Calls beyond this many wait for one of the others to end, as long as the socket timeout."""


class Calls:
    """The commands to one server."""

    def __init__(self, address: Address) -> None:
        """Connect at the first call. There is one retry: the first command after a restart meets a dead socket."""
        timeout = address.timeout_seconds
        self._place = address.place
        self._deadline_seconds = 2 * timeout + 0.1
        self._client = Redis.from_pool(
            BlockingConnectionPool(max_connections=CONNECTIONS, timeout=timeout, **address.options(retries=1))
        )
        self._ask: Ask = self._client.execute_command

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
        """Send *commands* in one round trip and return each one's reply, or the refusal of it as a value."""
        async with self.bounded():
            pipeline = self._client.pipeline(transaction=False)
            for words in commands:
                pipeline.execute_command(*words)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
            return replies

    async def close(self) -> None:
        """Give back all connections."""
        with contextlib.suppress(*STORE_ERRORS):
            await self._client.aclose()


async def run_script(ask: Ask, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
    """Return what *script* answers; the server is told its text when it does not know it."""
    call = [len(keys), *keys, *args]
    try:
        return await ask("EVALSHA", script.sha, *call)
    except NoScriptError:
        return await ask("EVAL", script.text, *call)
