"""Which series ``/metrics`` shows, by their names, look by look: what begins late and stays, and what comes and goes.

A count cannot tell a leak from a fault: the series of a rollout that is under way, or of a version that is unloaded,
are rightly there at one look and not at the next. A name can. One that was never seen before, although every fault has
had its turn, and that stays, is a label that grows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

STAYS_SECONDS: Final = 30.0
"""What a fault brings is gone sooner: the verdict on a canary that is being taken back, a version that is refused."""

COUNTERS: Final = ("_total", "_bucket", "_count", "_sum")
"""How the names of counters end, of which ``rate()`` takes a new beginning for a fall."""


@dataclass(slots=True)
class Life:
    """When a series was seen first and last, in seconds after the beginning, and at how many looks it was missing
    between the first and the latest of all."""

    first: float
    last: float
    missing: int = 0


@dataclass(slots=True)
class SeriesBook:
    """Takes the names at each look; the *lives* of all that were ever seen, and the time of the latest look."""

    lives: dict[str, Life] = field(default_factory=dict)
    at: float = 0.0

    def note(self, at: float, names: Iterable[str]) -> None:
        """Take the names that are there *at* seconds after the beginning, each look later than the one before."""
        self.at = at
        for name in names:
            self.lives.setdefault(name, Life(at, at)).last = at
        for life in self.lives.values():
            life.missing += life.last < at

    def added(self, since: float) -> list[str]:
        """Return what was never seen before *since*, and stayed for STAYS_SECONDS."""
        return sorted(n for n, life in self._begun(since) if life.last - life.first >= STAYS_SECONDS)

    def passing(self, since: float) -> list[str]:
        """Return what was never seen before *since*, and is gone already or came too late to say."""
        return sorted(n for n, life in self._begun(since) if life.last - life.first < STAYS_SECONDS)

    def removed(self, since: float) -> list[str]:
        """Return what was there before *since* and not once after it."""
        return sorted(name for name, life in self.lives.items() if life.last < since)

    def came_and_went(self) -> list[str]:
        """Return what was missing at some look, and is there now."""
        return sorted(name for name, life in self.lives.items() if life.missing and life.last == self.at)

    def vanished_counters(self, unloaded: str) -> list[str]:
        """Return the counters that were missing at a look after they had begun, but for those whose labels say
        *unloaded*: a version that is unloaded ends its series, and begins new ones as it is loaded."""
        return sorted(
            name
            for name, life in self.lives.items()
            if life.missing and name.partition("{")[0].endswith(COUNTERS) and unloaded not in name
        )

    def document(self, since: float) -> dict[str, Any]:
        """Return what a reader of the result may ask about: all but the series that were there from first to last."""
        return {
            "judged since": since if math.isfinite(since) else None,
            "ever": len(self.lives),
            "added": self.added(since),
            "passing": self.passing(since),
            "removed": self.removed(since),
            "not always there": {name: asdict(life) for name, life in sorted(self.lives.items()) if life.missing},
        }

    def _begun(self, since: float) -> list[tuple[str, Life]]:
        return [(name, life) for name, life in self.lives.items() if life.first >= since]
