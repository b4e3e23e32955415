"""Labelled answers with their inputs, in Redis: a stream per model, read by groups of consumers.

Waiting is asking again: a connection that blocks is one that nobody else can use, and would outlast its deadline.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from gateway.core.errors import CorruptRoute
from gateway.core.labelled import read_labelled
from gateway.ports.labels import CLAIM_SECONDS
from gateway.store.calls import run_script
from gateway.store.guard import is_wrong_type
from gateway.store.keys import labelled_key
from gateway.store.labelled_scripts import READ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.labelled import Labelled
    from gateway.store.calls import Calls

POLL_SECONDS: Final = 0.1
CLAIM_MILLISECONDS: Final = round(CLAIM_SECONDS * 1000)


class RedisLabelledStream:
    """Implements ``ports.LabelledStream`` over the connections of a store."""

    def __init__(self, calls: Calls, model: str) -> None:
        self._calls = calls
        self._model = model
        self._key = labelled_key(model)

    async def read(self, group: str, consumer: str, count: int, wait_ms: int) -> list[Labelled]:
        """Return up to *count*, own unacknowledged ones first. Raises CorruptRoute, StoreUnavailable."""
        until = time.monotonic() + wait_ms / 1000
        while True:
            found = await self._read(group, consumer, count)
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            await asyncio.sleep(min(left, POLL_SECONDS))

    async def _read(self, group: str, consumer: str, count: int) -> list[Labelled]:
        words = [group, consumer, count, CLAIM_MILLISECONDS]
        async with self._calls.bounded() as ask:
            reply = await run_script(ask, READ, [self._key], words)
        if isinstance(reply, bytes):
            raise self._corrupt(reply.decode())
        read = [(entry.decode(), read_labelled(entry.decode(), _texts(fields))) for entry, fields in reply]
        if broken := [entry for entry, example in read if example is None]:
            await self.acknowledge(group, broken)
        return [example for _, example in read if example is not None]

    async def acknowledge(self, group: str, entries: Sequence[str]) -> None:
        """Be done with *entries*. Raises CorruptRoute, StoreUnavailable: send them again."""
        if entries:
            await self._ask("XACK", self._key, group, *entries)

    async def pending(self, group: str) -> int:
        """Return how many are read and not acknowledged. Raises CorruptRoute, StoreUnavailable."""
        summary: Mapping[str, int] | None = await self._ask("XPENDING", self._key, group)
        return summary["pending"] if summary else 0

    async def length(self) -> int:
        """Return how many the stream holds. Raises CorruptRoute, StoreUnavailable."""
        return int(await self._ask("XLEN", self._key))

    async def _ask(self, *words: Any) -> Any:
        """Return the reply, None where there is no such group yet."""
        async with self._calls.bounded() as ask:
            try:
                return await ask(*words)
            except ResponseError as exc:
                if is_wrong_type(exc):
                    raise self._corrupt("value of another kind") from exc
                if str(exc).startswith("NOGROUP"):
                    return None
                raise

    def _corrupt(self, kind: str) -> CorruptRoute:
        said = f"the key of its labelled answers holds a {kind}; delete {self._key!r} in the store"
        return CorruptRoute(self._model, "labelled", said)


def _texts(fields: Sequence[bytes]) -> dict[str, str]:
    words = [each.decode("utf-8", "replace") for each in fields]
    return dict(zip(words[::2], words[1::2], strict=True))
