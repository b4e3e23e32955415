"""Runs one request of a rollout, and counts what becomes of it: the evidence for and against the canary.

Both arms are treated alike. A failure is run once more on the baseline, within the caller's deadline and the retry
budget: where that goes well it was the version's fault, where it fails as well it was the request's. Unless the route
has ``fallback: none`` the second run is also the caller's answer. Overload, a time-out in the queue and a caller who
leaves say nothing of a version.

A canary that still runs when half of the time has gone is cut off, which is a failure. A baseline goes on, and counts
a failure too, without a second run: its lane is busy with the first. That can only speak for the canary. Once the
rollout knows how long runs take, one over three times the baseline's 99 % quantile is cut off, and counts, likewise.
"""

from __future__ import annotations

import asyncio
import time
from random import getrandbits
from typing import TYPE_CHECKING

from gateway.core.errors import DeadlineExceeded, InvalidRequest, ModelFailed, Overloaded, VersionStuck
from gateway.core.latency import rows_class
from gateway.serving.dispatch import CANARY_PART, FALLS_BACK, Attempt
from gateway.serving.jobs import Job
from gateway.serving.run_times import FIRST_RUNS
from gateway.serving.tallies import End

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.engine import Tensor
    from gateway.serving.jobs import Result
    from gateway.serving.live import Arm
    from gateway.serving.retries import RetryBudget
    from gateway.serving.run_times import Run, SlowRun
    from gateway.serving.tallies import FailedBatch, Tally
    from gateway.serving.trials import Canary, Trial


class Watched:
    """What the requests through one arm of a rollout count into, and where their failures are tried again.

    *again*: the arm of the second run, None where the baseline takes other inputs. *rescues*: that run answers.
    *confirms*: a failure counts only when the second run shows whose fault it was. *canary*: None for the baseline.
    """

    __slots__ = (
        "again", "bounds", "canary", "confirms", "cuts", "is_canary", "is_too_long", "newest", "outputs", "rescues",
        "slow", "tally", "trial",
    )  # fmt: skip

    def __init__(self, trial: Trial, version: int, fallback: str, again: Arm | None) -> None:
        """*fallback*: of the route's document."""
        self.trial = trial
        self.tally: Tally = trial.tally(version)
        self.canary: Canary | None = trial.canaries.get(version)
        self.is_canary = self.canary is not None
        self.again = again
        self.outputs = trial.outputs(version)
        self.rescues = fallback == "baseline"
        self.confirms = trial.rollout.plan.confirm == "on"
        self.bounds = trial.rollout.bounds(version)
        self.cuts = tuple(bound.most if bound is not None else None for bound in self.bounds)
        self.newest: Run | None = None
        """The run that was counted last, and of it: whether it took longer than it may, and what is slow of it."""
        self.is_too_long = False
        self.slow: SlowRun | None = None

    def unit(self, point: int | None) -> int | None:
        """Return what stands for the unit of a request: its key's *point*, or any for one without a key.

        None on a random route, where each request is a unit.
        """
        return getrandbits(64) if point is None and self.trial.is_sticky else point

    def ran(self, run: Run) -> None:
        """Count a good run, of which some requests are about to end. One that took too long is a failure, not slow."""
        self.newest, self.slow, self.is_too_long = run, None, False
        bound = self.bounds[rows_class(run[0])]
        if bound is None:
            self.trial.times.measured(self.tally, run)
        elif run[1] > bound.most:
            self.is_too_long = True
        elif run[1] > bound.slow[0]:
            self.slow = self.trial.times.was_slow(self.tally, run, bound)


def start_watched(
    arm: Arm,
    watched: Watched,
    feeds: tuple[Tensor, ...],
    rows: int,
    deadline: float,
    done: Callable[[Arm, Result], None],
    retries: RetryBudget,
    point: int | None,
    priority: int = 0,
) -> Attempt:
    """Start a request that the split gave to *arm*. The parameters are those of ``Attempt``.

    *point*: of the request's key on a sticky route, None without one. Where the breaker is open the baseline answers
    at once, which takes no place in the budget and counts for nobody.
    """
    trial, canary = watched.trial, watched.canary
    if point is not None:
        trial.sample(watched.tally, point)
    elif not trial.is_sticky:
        watched.tally.assigned += 1
    is_probe = False
    if canary is not None and arm.fallback is not None and canary.breaker.is_open:
        is_probe = canary.asks_a_probe(asyncio.get_running_loop().time())
        behind = arm.fallback
        if not is_probe and behind.can_stand_in(feeds):
            arm.lane.cells.fell_back("breaker")
            return Attempt(behind, behind.reordered(feeds), rows, deadline, done, retries, priority)
    return WatchedAttempt(arm, watched, feeds, rows, deadline, done, retries, point, priority, is_probe=is_probe)


class WatchedAttempt(Attempt):
    """One request of a rollout on its way."""

    __slots__ = ("_failing", "_is_answered", "_is_probe", "_kind", "_point", "_watched")

    _job: Job | None
    _kind: str

    def __init__(
        self,
        arm: Arm,
        watched: Watched,
        feeds: tuple[Tensor, ...],
        rows: int,
        deadline: float,
        done: Callable[[Arm, Result], None],
        retries: RetryBudget,
        point: int | None,
        priority: int,
        *,
        is_probe: bool,
    ) -> None:
        self._watched = watched
        self._point = point
        self._is_probe = is_probe
        self._is_answered = False
        self._failing: FailedBatch | None = None
        super().__init__(arm, feeds, rows, deadline, done, retries, priority)

    def cancel(self) -> None:
        """The caller is gone. What is run again only to see whose fault a failure was goes on."""
        if self._is_answered:
            return
        super().cancel()
        if self._failing is not None:
            self._conclude(End.UNCONFIRMED)
        self._end_probe(None)

    def _begin(self) -> None:
        watched = self._watched
        if watched.is_canary and watched.again is not None:
            now = asyncio.get_running_loop().time()
            self._try(now + (self._deadline - now) * CANARY_PART)
            if isinstance(self._job, Job) and self._arm.lane.queue.batches >= FIRST_RUNS:
                self._job.cuts = watched.cuts
        else:
            self._try(self._deadline)

    def _try(self, deadline: float) -> None:
        """Run it, also where the version remembers the answer: only a run says what the version does now."""
        try:
            self._job = self._arm.lane.enqueue(self._feeds, self._rows, deadline, self._settled, self._priority)
        except (Overloaded, VersionStuck, InvalidRequest) as refused:
            self._settled(refused)

    def _settled(self, result: Result) -> None:
        kind = self._kind_of(result) if isinstance(result, Exception) else self._lateness()
        if kind:
            self._note(kind)
            self._failed(result)
        elif isinstance(result, Exception):
            self._end_probe(None)
            super()._settled(result)
        else:
            self._went_well(result)

    def _lateness(self) -> str:
        """Return the kind of bad event that outputs are which were too long in coming; empty for all others.

        The first runs of a lane may take their time.
        """
        watched, job, run = self._watched, self._job, self._arm.lane.last_run
        if job is not None and job.timer is not None and not watched.is_canary and self._crossed_half():
            return "error"
        if run is None or job is None or job.batch <= FIRST_RUNS:
            return ""
        if run is not watched.newest:
            watched.ran(run)
        if watched.slow is not None and (point := watched.unit(self._point)) is not None:
            watched.slow.points.append(point)
        return "error" if watched.is_too_long else ""

    def _kind_of(self, failure: Exception) -> str:
        """Return the kind of event that *failure* is; empty where it says nothing of the version."""
        if isinstance(failure, ModelFailed):
            return "invalid" if failure.code == "nonfinite_output" else "error"
        if not isinstance(failure, DeadlineExceeded):
            return ""
        job = self._job
        if job is None or not job.batch:
            return ""
        return "error" if self._watched.is_canary or self._crossed_half() or self._ran_too_long(job) else ""

    def _ran_too_long(self, job: Job) -> bool:
        """Say whether the run of *job*, which was given up at its deadline, had taken longer than it may by then.

        Held against runs of its own rows: of how many the run was, only its end tells.
        """
        most = self._watched.cuts[rows_class(job.rows)]
        return most is not None and job.batch > FIRST_RUNS and time.perf_counter() - job.began > most

    def _crossed_half(self) -> bool:
        """Say whether a run was under way when half of the time had gone, and is over only now.

        One on the loop waits for nobody, and has no timer.
        """
        job = self._job
        if job is None or job.timer is None or not job.batch:
            return False
        passed = time.perf_counter() - job.arrived
        limit = (self._deadline - asyncio.get_running_loop().time() + passed) * CANARY_PART
        return job.began - job.arrived < limit < passed

    def _went_well(self, result: list[Tensor]) -> None:
        watched = self._watched
        watched.tally.n += 1
        if watched.outputs is not None:
            watched.outputs.take(result)
        canary = watched.canary
        if canary is not None:
            if canary.breaker.failures:
                canary.breaker = canary.breaker.after_good()
            self._end_probe(True)
        self._finish(result)

    def _failed(self, failure: Result) -> None:
        """Run it again where that can be and is of use, and let the caller have the better of the two.

        *failure* is the outputs where they were only too long in coming.
        """
        watched = self._watched
        is_late_baseline = not watched.is_canary and not isinstance(failure, ModelFailed)
        if is_late_baseline or not watched.confirms:
            self._conclude(End.CONFIRMED)
            super()._settled(failure)
        elif watched.again is None or not self._retries.has_room() or not watched.again.can_stand_in(self._feeds):
            self._conclude(End.UNCONFIRMED)
            self._finish(failure)
        else:
            self._try_again(watched.again, failure)

    def _try_again(self, again: Arm, failure: Result) -> None:
        if not self._watched.rescues or not isinstance(failure, Exception):
            self._is_answered = True
            self._finish(failure)
        elif self._watched.is_canary and isinstance(failure, FALLS_BACK):
            self._first = self._arm.lane.cells, failure
        self._run_again(again)

    def _ended(self, result: Result, was_run: bool) -> None:
        if self._failing is not None:
            self._conclude(_end_of(result, was_run))
        if self._is_answered:
            self._job = None  # it knows us
        else:
            self._finish(result)

    def _note(self, kind: str) -> None:
        self._kind = kind
        self._failing = self._watched.tally.failing(self._job.batch if self._job is not None else 0)

    def _conclude(self, end: End) -> None:
        failing, self._failing = self._failing, None
        assert failing is not None
        point = self._watched.unit(self._point) if end is End.CONFIRMED else None
        self._watched.tally.conclude(failing, self._kind, end, point)
        self._end_probe(False if end is End.CONFIRMED else None)

    def _end_probe(self, good: bool | None) -> None:
        if self._is_probe:
            self._is_probe = False
            assert self._watched.canary is not None
            self._watched.canary.probed(good)


def _end_of(result: Result, was_run: bool) -> End:
    """Return what a second run says: only one that was run says anything."""
    if not isinstance(result, Exception):
        return End.CONFIRMED
    is_poison = isinstance(result, ModelFailed) or (isinstance(result, DeadlineExceeded) and was_run)
    return End.POISON if is_poison else End.UNCONFIRMED
