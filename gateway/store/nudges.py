"""The subscriber that wakes a watcher.

Pub/sub loses messages, and a connection that is half open stays silent for ever, so a message is
only a hint and silence is suspicious: after a second of it the server must answer a PING. The
watcher polls besides.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.store.cancellation import heeded
from gateway.store.guard import STORE_ERRORS, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio.connection import AbstractConnection

    from gateway.store.address import Address

SILENCE_SECONDS: Final = 1.0
"""So long nothing need be heard; then a PING is sent, whose answer has as long again."""

RECONNECT_SECONDS: Final = (0.1, 0.3)
"""Drawn anew at each attempt, so that a fleet does not come back as one."""

BURST: Final = 256
"""Messages that at most become one nudge, so that a flood cannot hold the event loop."""

_logger = logging.getLogger(__name__)


class Subscriber:
    """Listens to one channel, on a connection of its own per iterator."""

    def __init__(self, address: Address, channel: str) -> None:
        self._address = address
        self._channel = channel
        self._is_closed = False

    def close(self) -> None:
        """Let every iterator end, within SILENCE_SECONDS when nothing is published."""
        self._is_closed = True

    async def nudges(self) -> AsyncIterator[None]:
        """Yield after every (re)subscription and for every burst of messages, until closed or cancelled."""
        is_up = True
        while not self._is_closed:
            connection = self._address.connection()
            try:
                with heeded():
                    await self._subscribe(connection)
                if not is_up:
                    _logger.info("subscribed again to the store at %s", self._address.place)
                is_up = True
                yield
                while await self._heard(connection):
                    yield
            except STORE_ERRORS as exc:
                if is_up:
                    _logger.warning("%s; until then changes are seen by polling", unavailable(self._address.place, exc))
                is_up = False
            finally:
                await connection.disconnect(nowait=True)
            await asyncio.sleep(random.uniform(*RECONNECT_SECONDS))

    async def _subscribe(self, connection: AbstractConnection) -> None:
        """Connect and subscribe; the answer is waited for as long as for any command."""
        await connection.send_command("SUBSCRIBE", self._channel)
        await connection.read_response()

    async def _heard(self, connection: AbstractConnection) -> bool:
        """Wait for a message and take those that came with it. False when closed meanwhile."""
        while not self._is_closed:
            with heeded():
                reply = await connection.read_response(timeout=SILENCE_SECONDS)
                if reply is None:
                    reply = await _ping(connection)
            if _is_message(reply):
                await _drain(connection)
                return True
        return False


async def _ping(connection: AbstractConnection) -> Any:
    """Return the first thing the server says after a PING: the answer, a refusal, or a message that was under way.

    A server whose disk is full refuses a PING as it refuses a write; it is there, and publishes.
    """
    await connection.send_command("PING")
    try:
        reply = await connection.read_response(timeout=SILENCE_SECONDS)
    except ResponseError as exc:
        return exc
    if reply is None:
        raise RedisTimeoutError("no answer to a PING")
    return reply


async def _drain(connection: AbstractConnection) -> None:
    """Take what has already arrived."""
    for _ in range(BURST):
        if await connection.read_response(timeout=0) is None:
            return


def _is_message(reply: Any) -> bool:
    return isinstance(reply, list) and reply[:1] == [b"message"]
