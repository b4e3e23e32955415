"""Labelled answers with their inputs, in this process: for tests, and the plainest statement of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.core.labelled import read_labelled
from gateway.ports.labels import CLAIM_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.labelled import Labelled


@dataclass(slots=True)
class Group:
    """How far one group has read: *last* is the place of the newest entry that it handed out, 0 before any.

    *held*: entry → its consumer, and when that one got it last, on ``time.time``.
    """

    last: int = 0
    held: dict[str, tuple[str, float]] = field(default_factory=dict)


class MemoryLabelledStream:
    """Implements ``ports.LabelledStream`` for one event loop."""

    def __init__(self, answer: Callable[[], None]) -> None:
        """*answer* raises StoreUnavailable while the store is away."""
        self._answer = answer
        self._places = itertools.count(1)
        self._entries: dict[str, Mapping[str, str]] = {}
        self._groups: dict[str, Group] = {}
        self._came = asyncio.Event()

    def add(self, fields: Mapping[str, str], most: int) -> None:
        """Append an entry with *fields*; of more than *most* the oldest go."""
        self._entries[f"{next(self._places)}-0"] = fields
        for old in list(self._entries)[:-most]:
            del self._entries[old]
        self._came.set()

    async def read(self, group: str, consumer: str, count: int, wait_ms: int) -> list[Labelled]:
        """Return up to *count*, own unacknowledged ones first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_ms / 1000):
                while not (found := self._read(group, consumer, count)):
                    self._came.clear()
                    await self._came.wait()
        return found

    def _read(self, name: str, consumer: str, count: int) -> list[Labelled]:
        self._answer()
        group, now = self._groups.setdefault(name, Group()), time.time()
        group.held = {entry: held for entry, held in group.held.items() if entry in self._entries}
        own = [entry for entry, (who, _) in group.held.items() if who == consumer]
        left = [entry for entry, (_, at) in group.held.items() if now - at >= CLAIM_SECONDS]
        new = [entry for entry in self._entries if _place(entry) > group.last]
        taken = (own or left or new)[:count]
        group.held |= dict.fromkeys(taken, (consumer, now))
        group.last = max(group.last, *map(_place, taken), 0)
        read = {entry: read_labelled(entry, self._entries[entry]) for entry in taken}
        for entry in [entry for entry, example in read.items() if example is None]:
            del group.held[entry]
        return [example for example in read.values() if example is not None]

    async def acknowledge(self, group: str, entries: Sequence[str]) -> None:
        """Be done with *entries*."""
        self._answer()
        for entry in entries:
            self._groups.setdefault(group, Group()).held.pop(entry, None)

    async def pending(self, group: str) -> int:
        """Return how many are read and not acknowledged."""
        self._answer()
        return len(self._groups[group].held) if group in self._groups else 0

    async def length(self) -> int:
        """Return how many the stream holds."""
        self._answer()
        return len(self._entries)


def _place(entry: str) -> int:
    return int(entry.partition("-")[0])
