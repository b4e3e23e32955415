"""What the good runs of both arms of a rollout took: counted for the baseline's limits, then held against them.

A slow run is no event until its window of a second is over: its batch class is known only then, and a window with a
run that nothing is known to compare with is evidence for neither arm. A run counts once, however many requests share
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.latency import TIME_KINDS, bucket, rows_class

if TYPE_CHECKING:
    from gateway.core.latency import Bounds
    from gateway.serving.tallies import Tally

    Run = tuple[int, float]
    """Rows, and seconds in the engine."""

FIRST_RUNS: Final = 50
"""So many batches of a lane are no evidence of how quick its version is: what is new is slow at first."""


class SlowRun(NamedTuple):
    """One run that was slow for its *tally*. *points*: those of its requests' keys, on a sticky route."""

    tally: Tally
    run: Run
    kinds: tuple[str, ...]
    points: list[int]


class RunTimes:
    """The runs of the open window. One that requests of two revisions tell of counts for the first of them."""

    def __init__(self, baseline: int) -> None:
        """*baseline*: the version whose runs are counted where there are no limits yet."""
        self._baseline = baseline
        self._newest: Run | None = None
        self._slow: list[SlowRun] = []
        self._is_blind = False

    def measured(self, tally: Tally, run: Run) -> None:
        """Count *run*, of a class that has no limits under the revision of *tally*."""
        self._is_blind = True
        if tally.version == self._baseline and run is not self._newest:
            self._newest = run
            kind = TIME_KINDS[rows_class(run[0])][bucket(run[1])]
            tally.times[kind] = tally.times.get(kind, 0) + 1

    def was_slow(self, tally: Tally, run: Run, bound: Bounds) -> SlowRun:
        """Count *run*, which took longer than the least that *bound* calls slow, and return what it counts as."""
        for slow in self._slow[-2:]:
            if slow.run is run:
                return slow
        slow = SlowRun(tally, run, bound.kinds(run[1]), [])
        self._slow.append(slow)
        return slow

    def close(self) -> list[SlowRun]:
        """Close the window and return its slow runs; none where it held a run of a class without limits."""
        slow, is_blind = self._slow, self._is_blind
        self._slow, self._is_blind = [], False
        return [] if is_blind else slow
