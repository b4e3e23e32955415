"""Runs a request a second time, within a budget: a canary that always fails must not double the load.

The budget is this worker's. Whatever is run again takes a place in it, to answer in place of a version that failed
or to see whose fault a failure was; where no place is free, the failure stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.breaker import may_rerun
from gateway.core.errors import InvalidRequest, Overloaded, VersionStuck

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.engine import Tensor
    from gateway.serving.batching import Lane
    from gateway.serving.jobs import Job, Result

    Ended = Callable[[Result, bool], None]
    """Told once, on the loop: the outputs or the error, and whether it got as far as the engine."""


class RetryBudget:
    """How many re-runs are under way in this worker, and whether one more may start."""

    __slots__ = ("_active", "running")

    def __init__(self, active: Callable[[], int]) -> None:
        """*active* returns how many requests are under way."""
        self._active = active
        self.running = 0

    def has_room(self) -> bool:
        """Say whether one more re-run may start."""
        return may_rerun(self.running, self._active())


class Rerun:
    """One second run. Holds a place in the budget, which has room for it, from its start to its end."""

    __slots__ = ("_budget", "_ended", "_is_over", "_job")

    def __init__(
        self, budget: RetryBudget, lane: Lane, feeds: tuple[Tensor, ...], rows: int, deadline: float, ended: Ended
    ) -> None:
        """*deadline* is on the event loop's clock, seconds. *ended* may be told before this returns."""
        self._budget = budget
        self._ended = ended
        self._is_over = False
        self._job: Job | None = None
        budget.running += 1
        try:
            self._job = lane.enqueue(feeds, rows, deadline, self._settled)
        except (Overloaded, VersionStuck, InvalidRequest) as refused:
            self._settled(refused)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self._job is not None:
            self._job.cancel()
        self._give_back()

    def _settled(self, result: Result) -> None:
        self._give_back()
        job, self._job = self._job, None  # it knows us
        self._ended(result, job is not None and job.batch > 0)

    def _give_back(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._budget.running -= 1
