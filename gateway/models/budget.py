"""How much memory the versions of one worker may take together, and who rests so that another one fits.

A version that rests is out of memory and comes back when it is asked for by its number. None that a route names, that
an operator ordered to load or that has a request in flight is ever made to rest. What a version takes was measured when
it was tried (``gateway/verification``); one that was not tried counts as nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.versions import VersionState
from gateway.models.memory import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.models.entry import Entry
    from gateway.models.wishes import Wishes

STAY_SECONDS: Final = 10.0
"""A version that was asked for in the last ones keeps its place when a caller asks for another: callers who ask for
more versions than there is room for must not have them loaded without end."""

AGAIN_SECONDS: Final = 2.0
"""So long a version that found no room is not tried again, however often it is asked for."""


@dataclass(frozen=True, slots=True)
class Budget:
    """*total_bytes* for all versions of this worker, 0 for no bound.

    *idle_seconds*: how long a version that no route names may be in memory without being asked for, 0 for ever.
    """

    total_bytes: int = 0
    idle_seconds: float = 0.0

    def free_bytes(self, entries: Iterable[Entry]) -> int | None:
        """Return what is left beside everything that is in memory, which may be negative; None without a bound."""
        if not self.total_bytes:
            return None
        return self.total_bytes - sum(entry.loaded.memory_bytes for entry in entries if entry.loaded is not None)

    def making_room(
        self, entries: Iterable[Entry], wishes: Wishes, entry: Entry, needed_bytes: int, now: float
    ) -> list[Entry] | None:
        """Return the versions that must rest for *entry*, the least recently asked first; None if it gets no room.

        Nobody rests for a version that is loaded only because everything is.
        """
        entries = list(entries)
        lacking = needed_bytes - (self.free_bytes(entries) or 0)
        if lacking > 0 and not (_is_needed(wishes, entry) or entry.is_asked):
            return None
        stay_seconds = 0.0 if _is_needed(wishes, entry) else STAY_SECONDS
        resting: list[Entry] = []
        for each in self.unused(entries, wishes, since=now - stay_seconds):
            if lacking <= 0:
                break
            assert each.loaded is not None
            lacking -= each.loaded.memory_bytes
            resting.append(each)
        return resting if lacking <= 0 else None

    def may_rest(self, wishes: Wishes, entry: Entry, needed_bytes: int) -> bool:
        """Say whether *entry*, which has no room, may wait until it is asked for: its model does without it."""
        is_served = bool(wishes.routed.get(entry.model))
        return is_served and not _is_needed(wishes, entry) and needed_bytes <= self.total_bytes

    def idle(self, entries: Iterable[Entry], wishes: Wishes, now: float) -> list[Entry]:
        """Return the versions that nobody asked for in *idle_seconds*."""
        return self.unused(entries, wishes, since=now - self.idle_seconds) if self.idle_seconds else []

    def unused(self, entries: Iterable[Entry], wishes: Wishes, *, since: float) -> list[Entry]:
        """Return those that may rest and were not asked for after *since*, the least recently asked first."""
        found = [
            (entry.loaded.last_asked, entry.model, entry.version, entry)
            for entry in entries
            if entry.state is VersionState.READY
            and entry.loaded is not None
            and not entry.loaded.in_flight
            and entry.loaded.last_asked <= since
            and not _is_needed(wishes, entry)
        ]
        return [entry for *_, entry in sorted(found, key=lambda each: each[:3])]

    def refusal(self, entries: Iterable[Entry], needed_bytes: int) -> str:
        """Return why *needed_bytes* have no room, in numbers."""
        free = max(0, self.free_bytes(entries) or 0)
        return (
            f"it takes {shown(needed_bytes)} of memory, and {shown(free)} of the {shown(self.total_bytes)} that "
            f"--model-memory leaves each worker are free"
        )


def _is_needed(wishes: Wishes, entry: Entry) -> bool:
    """Say whether a route names the version or an operator ordered it."""
    return wishes.is_routed(entry) or wishes.order(entry) == "load"
