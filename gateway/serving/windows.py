"""How much larger the baseline's batches are than the canary's just now.

Larger batches mean fewer runs, so the canary has more than its share of the runs and of their faults. The class of an
event says by how much, measured over windows of a second: over a whole revision a swinging load would hide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.evidence import Runs, batch_class

if TYPE_CHECKING:
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
        lane = self._lane
        self._rows, self._batches = (lane.batch_rows, lane.batches) if lane is not None else (0, 0)

    def runs(self) -> Runs:
        """Return what the lane took since."""
        lane = self._lane
        return Runs(0, 0) if lane is None else Runs(lane.batch_rows - self._rows, lane.batches - self._batches)


class BatchWindows:
    """The open window and the last closed one of the two arms of a rollout."""

    def __init__(self) -> None:
        self.canary = Odometer()
        self.baseline = Odometer()
        self._opened = 0.0
        self._closed_class = 0
        self._previous_mean = 1.0

    def pass_time(self, now: float) -> int | None:
        """Close the window when its second is over, and return its class; None where it stays open.

        *now* is seconds of a monotonic clock.
        """
        if now - self._opened < WINDOW_SECONDS:
            return None
        self._closed_class = self._open_class()
        self._previous_mean = self.baseline.runs().mean or self._previous_mean
        self.canary.reset()
        self.baseline.reset()
        self._opened = now
        return self._closed_class

    def batch_class(self) -> int:
        """Return the class of an event that leaves now: the larger one of the open and of the last closed window."""
        return max(self._open_class(), self._closed_class)

    def _open_class(self) -> int:
        return batch_class(self.baseline.runs(), self.canary.runs(), previous_mean=self._previous_mean)
