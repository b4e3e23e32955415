"""How much larger the baseline's batches are than the canaries' just now.

Larger batches mean fewer runs, so a canary has more than its share of the runs and of their faults. The class of an
event says by how much, measured over windows of a second: over a whole revision a swinging load would hide it. Where
there are several canaries all events have the class of the one with the smallest batches: an event of the baseline has
one class for all comparisons, and a class too high only ever speaks for a canary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.evidence import Runs, batch_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.serving.batching import Lane

WINDOW_SECONDS: Final = 1.0


class Odometer:
    """The rows and batches that one lane took since the window opened. A lane that takes its place starts anew."""

    __slots__ = ("_batches", "_lane", "_rows")

    def __init__(self) -> None:
        self._lane: Lane | None = None
        self._rows = 0
        self._batches = 0

    def follow(self, lane: Lane | None) -> None:
        """Count *lane* from now on; None where the version is not ready here."""
        if lane is not self._lane:
            self._lane = lane
            self.reset()

    def reset(self) -> None:
        """Count from here."""
        queue = self._lane.queue if self._lane is not None else None
        self._rows, self._batches = (queue.batch_rows, queue.batches) if queue is not None else (0, 0)

    def runs(self) -> Runs:
        """Return what the lane took since."""
        if self._lane is None:
            return Runs(0, 0)
        queue = self._lane.queue
        return Runs(queue.batch_rows - self._rows, queue.batches - self._batches)


class BatchWindows:
    """The open window and the last closed one of the arms of a rollout."""

    def __init__(self) -> None:
        self.canaries: dict[int, Odometer] = {}
        self.baseline = Odometer()
        self._opened = 0.0
        self._closed_class = 0
        self._previous_mean = 1.0

    def follow(self, canaries: Mapping[int, Lane | None], baseline: Lane | None) -> None:
        """Count these lanes from now on, those of the canaries by version; None where one is not ready here."""
        self.canaries = {version: self.canaries.get(version) or Odometer() for version in canaries}
        for version, lane in canaries.items():
            self.canaries[version].follow(lane)
        self.baseline.follow(baseline)

    def pass_time(self, now: float) -> int | None:
        """Close the window when its second is over, and return its class; None where it stays open.

        *now* is seconds of a monotonic clock.
        """
        if now - self._opened < WINDOW_SECONDS:
            return None
        self._closed_class = self._open_class()
        self._previous_mean = self.baseline.runs().mean or self._previous_mean
        for odometer in (*self.canaries.values(), self.baseline):
            odometer.reset()
        self._opened = now
        return self._closed_class

    def batch_class(self) -> int:
        """Return the class of an event that leaves now: the larger one of the open and of the last closed window."""
        return max(self._open_class(), self._closed_class)

    def _open_class(self) -> int:
        baseline, mean = self.baseline.runs(), self._previous_mean
        return max(batch_class(baseline, each.runs(), previous_mean=mean) for each in self.canaries.values())
