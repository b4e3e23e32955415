"""What one version did under one revision of a rollout, in this worker.

Numbers that only grow; who sends them remembers what was sent. A request adds one or two to them. Failures are
counted by batch: the requests of one failed run of the engine are one event, whatever became of each of them.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from gateway.core.evidence import Counter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KINDS: Final = ("assigned", "n", "failed", "poison", "unconfirmed", "pair_n", "differ")
REMEMBERED_BATCHES: Final = 64
"""So many failed batches are remembered, for those of their requests that end later."""


class End(Enum):
    """What a second run said of a failure."""

    CONFIRMED = "confirmed"
    """The baseline runs the same tensors: it was the version's fault."""
    POISON = "poison"
    """The baseline fails too: it was the request's."""
    UNCONFIRMED = "unconfirmed"
    """Nothing: it was not run again, or did not get to run."""


class Events(Protocol):
    """Who takes the events of a tally."""

    def happened(self, tally: Tally, kind: str, points: Sequence[int]) -> None:
        """A run failed; *points* are those of the failed requests' keys on a sticky route."""
        ...


class FailedBatch:
    """The failures of one run of the engine, until all of them are settled."""

    __slots__ = ("counted", "has_poison", "pending", "points")

    def __init__(self) -> None:
        self.pending = 0
        self.has_poison = False
        self.points: dict[str, list[int]] = {}
        self.counted: set[str] = set()


class Tally:
    """The counters of *version* under *revision*. Attributes for speed: one is added to on every request."""

    __slots__ = (*KINDS, "_batches", "_events", "deaths", "outputs", "revision", "runs", "times", "version")

    def __init__(self, revision: int, version: int, events: Events) -> None:
        self.revision = revision
        self.version = version
        self.assigned = 0
        self.n = 0
        self.failed = 0
        self.poison = 0
        self.unconfirmed = 0
        self.pair_n = 0
        self.differ = 0
        self.deaths = 0
        self.runs: dict[Counter, int] = {}
        """Events of runs by kind and batch class."""
        self.times: dict[str, int] = {}
        """Runs by the kind that says how long they took."""
        self.outputs: dict[str, int] = {}
        """Rows of sampled answers by the kind that says what they held."""
        self._batches: dict[int, FailedBatch] = {}
        self._events = events

    def failing(self, batch: int) -> FailedBatch:
        """Return the record of the lane's *batch*, in which one more request failed; ``conclude`` settles that."""
        found = self._batches.get(batch)
        if found is None:
            if len(self._batches) >= REMEMBERED_BATCHES:
                del self._batches[next(iter(self._batches))]
            found = self._batches[batch] = FailedBatch()
        found.pending += 1
        return found

    def conclude(self, batch: FailedBatch, kind: str, end: End, point: int | None = None) -> None:
        """Settle one failed request of *batch*. *kind* is ``error`` or ``invalid``, *point* that of its key.

        A batch with a poisonous request is no evidence, because that request may have failed the others.
        """
        if end is End.POISON:
            self.poison += 1
            batch.has_poison = True
        else:
            self.n += 1
            self.failed += 1
        if end is End.UNCONFIRMED:
            self.unconfirmed += 1
        if end is End.CONFIRMED:
            batch.points.setdefault(kind, []).extend(() if point is None else (point,))
        batch.pending -= 1
        if not batch.pending and not batch.has_poison:
            self._count(batch)

    def answered(self, bins: Mapping[str, int]) -> None:
        """Count rows of answers by *bins*, kind → rows."""
        for kind, many in bins.items():
            self.outputs[kind] = self.outputs.get(kind, 0) + many

    def fields(self) -> Iterator[tuple[Counter, int]]:
        """Yield what is counted by requests, and of runs what is no event of a key."""
        for kind in (*KINDS, "deaths"):
            yield Counter(self.revision, self.version, kind), getattr(self, kind)
        for measured in (self.times, self.outputs):
            for kind, many in measured.items():
                yield Counter(self.revision, self.version, kind), many

    def _count(self, batch: FailedBatch) -> None:
        for kind, points in batch.points.items():
            if kind not in batch.counted:
                batch.counted.add(kind)
                self._events.happened(self, kind, points)
