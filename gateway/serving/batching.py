"""Same-tick batching: what arrives in one pass of the event loop runs as one call of the engine.

A lane is one version's queue in this worker. Quick models run on the loop itself, because a hop to
a thread costs more than their run; slow ones run on the lane's own small pool, and the next batch
fills while one runs. Rows never move between callers: a batch is cut back along the axis that was
proven when the version was loaded.

A run that does not end is stopped: on the loop by the watchdog, after which the lane leaves the loop for good;
on a thread at the last deadline of its batch, or when all who wait for it left. Where not even the deadline ends it
the lane is stuck, and says so to everybody at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Protocol

from gateway.core.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    Overloaded,
    Quarantined,
    RunStopped,
    VersionStuck,
)
from gateway.core.latency import rows_class
from gateway.core.limits import DEFAULT
from gateway.core.queue_limit import open_limit
from gateway.core.signature import FLOATS, FREE
from gateway.serving.answer_size import AnswerSize
from gateway.serving.drift import RequestSample
from gateway.serving.finite import is_finite
from gateway.serving.outbox import Outbox
from gateway.serving.running import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from gateway.core.queue_limit import QueueLimit
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import RunLog, Tensor
    from gateway.serving.running import Execution
    from gateway.serving.watchdog import Watchdog

    Result = list[Tensor] | Exception

log = logging.getLogger(__name__)

INLINE_SECONDS: Final = 0.0003
"""A version whose one-row run takes longer runs on its pool (two threads gain from 0.45 ms, lose at 58 µs)."""

ON_LOOP_SECONDS: Final = 0.5
"""A run on the loop that takes longer keeps everybody waiting: it is stopped, and goes on a thread."""

TURN_SECONDS: Final = 0.001
"""A version that has more than one batch waiting runs no longer than this before other versions get the loop."""

STUCK_SECONDS: Final = 0.1
"""A run on a thread that goes on so long after it was stopped cannot be stopped."""

LOOK_SECONDS: Final = 0.05
"""So often is looked whether anybody still waits for a run on a thread."""

INSIST_SECONDS: Final = 0.04
"""So often a run that was stopped and goes on is stopped again."""


_DEADLINE: Final = attrgetter("deadline")
_ARRIVED: Final = attrgetter("arrived")


class Ticket(Protocol):
    """A request that was taken, and is answered later."""

    def cancel(self) -> None:
        """Nobody waits any more."""
        ...


class Job:
    """One request's tensors, in the signature's order, and who is told what came of it.

    *settle* is called once, on the event loop, with the outputs or the error; never for a job that was cancelled.
    *batch* numbers the lane's batch that took it, 0 while it queues; *arrived* and *began*, when it was taken, are on
    ``time.perf_counter``. *cuts*: after how many seconds of a run on a thread it is given up, per class of the run's
    rows; None there, or for all, is at the deadline.
    """

    __slots__ = (
        "arrived", "batch", "began", "cuts", "deadline", "ended", "feeds", "priority", "rows", "settle", "timer",
    )  # fmt: skip

    def __init__(
        self,
        feeds: tuple[Tensor, ...],
        rows: int,
        deadline: float,
        settle: Callable[[Result], None],
        priority: int,
    ) -> None:
        self.feeds = feeds
        self.rows = rows
        self.deadline = deadline
        self.settle = settle
        self.priority = priority
        self.arrived = time.perf_counter()
        self.began = 0.0
        self.batch = 0
        self.ended = False
        self.cuts: Sequence[float | None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Nobody waits any more: a job that still queues is never run."""
        self.end()

    def end(self) -> None:
        """Settle no more, and expect nothing."""
        self.ended = True
        if self.timer is not None:
            self.timer.cancel()


def _limit_of(version: LoadedVersion, most: int) -> QueueLimit | None:
    """Return the limit of a version that has a latency target; say so where no queue can keep it."""
    target = version.metadata.serving.latency_target_ms / 1000
    if not target:
        return None
    if 2 * version.run_seconds > target:
        log.warning(
            "version %d of model %r took %.3g ms for one row when it was warmed, and its serving.latency_target_ms is "
            "%g: whoever waits for a run and then takes one is late; name a target of several runs",
            version.version, version.model, version.run_seconds * 1000, target * 1000,
        )  # fmt: skip
    return open_limit(target, most)


class Lane:
    """The queue of one loaded version in one worker."""

    def __init__(
        self,
        version: LoadedVersion,
        watchdog: Watchdog,
        runs: RunLog,
        *,
        max_queue: int,
        output_bytes: int = DEFAULT.output_bytes,
        outbox: Outbox | None = None,
    ) -> None:
        """*max_queue*: the most requests that wait, or fewer where the version's metadata names a latency target.
        *output_bytes*: the most of one answer, all outputs together. *outbox*: holds answers while a batch is told.
        """
        signature, serving = version.signature, version.metadata.serving
        self.version = version
        self.key = version.model, version.version
        self.cells = version.cells
        self._max_queue = max_queue
        self._limit = _limit_of(version, max_queue)
        self._max_rows = serving.max_batch_rows if version.batchable else 0
        self._delay = serving.max_delay_ms / 1000
        self._one_shape = all(FREE not in spec.shape[1:] for spec in signature.inputs)
        self._finite = tuple(
            (index, spec.name)
            for index, spec in enumerate(signature.inputs)
            if spec.datatype in FLOATS and serving.nonfinite_in == "refuse"
        )
        self._watchdog = watchdog
        self._outbox = outbox or Outbox()
        self._seat = runs.seat(version.model, version.version)
        self._size = size = AnswerSize(version, output_bytes)
        self._checks_size = size.before
        self._runner = Runner(version, self._seat, max_rows=self._max_rows, size=size)
        self._inline = version.run_seconds < INLINE_SECONDS
        self._pool: ThreadPoolExecutor | None = None
        self._run: Future[Execution] | None = None
        self._running = False
        self._overdue: asyncio.TimerHandle | None = None
        self._stopped = 0.0
        """When the run was stopped first, on the loop's clock, where nobody waits for it any more."""
        self.is_stuck = False
        self.is_closed = False
        self.batches = 0
        """Batches that were taken so far, and below the rows in them: together what an average run is. A batch of
        requests without rows counts as many as it has requests."""
        self.batch_rows = 0
        self.last_run: tuple[int, float] | None = None
        """Rows and seconds of the run whose results are being told; None where a batch took several runs."""
        self.told: Job | None = None
        """The job whose result is being told, of a batch that ran; None at all other times."""
        self.sample = RequestSample(version)
        """What is compared with the version's reference."""
        self._queue: list[Job] = []
        self._flush_scheduled = False
        self._loop = asyncio.get_running_loop()

    def enqueue(
        self,
        feeds: tuple[Tensor, ...],
        rows: int,
        deadline: float,
        settle: Callable[[Result], None],
        priority: int = 0,
    ) -> Job:
        """Queue one request; *settle* gets all outputs, in the signature's order, of exactly its rows, or the error.

        The errors are ModelFailed, and DeadlineExceeded at *deadline* (the loop's clock, seconds), which is looked
        at where there is something to wait for: a run on the loop is watched instead. Raises Overloaded when the
        queue is full, VersionStuck while a run cannot be ended, InvalidRequest for what the version's metadata
        refuses, and RequestTooLarge where the answer would be. *priority*: of those that wait, 1 is run before 2 and so
        on, and 0 behind them all.
        """
        if self.is_stuck:
            raise VersionStuck(self.version.model, self.version.version)
        if self._finite:
            self._refuse_nonfinite(feeds)
        if self._checks_size:
            self._size.check_inputs(feeds)
        if len(self._queue) >= self._max_queue and not self._make_room():
            raise Overloaded(self.version.model, self.version.version)
        job = Job(feeds, rows, deadline, settle, priority)
        if priority:
            self._queue.insert(self._place(priority), job)
        else:
            self._queue.append(job)
        self.version.in_flight += 1
        if not self._inline or self._delay:
            job.timer = self._loop.call_at(deadline, self._expire, job)
        if not self._flush_scheduled and (self._inline or not self._running):
            self._schedule()
        return job

    if TYPE_CHECKING:

        def submit(
            self,
            feeds: tuple[Tensor, ...],
            rows: int,
            deadline: float,
            settle: Callable[[Result], None],
            priority: int = 0,
        ) -> Ticket:
            """As ``enqueue``; a lane that has a memory may answer from it."""
            ...
    else:
        submit = enqueue  # itself: one call less in each request

    @property
    def is_waited_for(self) -> bool:
        """Say whether a request queues."""
        return bool(self._queue)

    @property
    def queue_limit(self) -> int | None:
        """How many requests may wait now, where that follows a latency target; None where it is a setting."""
        return None if self._limit is None else self._limit.requests

    def attempt(self, feeds: tuple[Tensor, ...], rows: int) -> Result:
        """Run one request by itself, past the queue, on the calling thread, uncounted; return outputs or the error.

        The caller holds the version. Raises VersionUnavailable where it was just unloaded, and RequestTooLarge where
        the answer would be.
        """
        if self._checks_size:
            self._size.check_inputs(feeds)
        return self._runner.alone(feeds, rows)

    def close(self) -> None:
        """Give the threads back; called when the version has drained."""
        self.is_closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        self._seat.close()

    def _refuse_nonfinite(self, feeds: tuple[Tensor, ...]) -> None:
        for index, name in self._finite:
            if not is_finite(feeds[index]):
                self.cells.happened("nonfinite_in")
                raise InvalidRequest(
                    f"input {name!r} holds NaN or infinity, which this model refuses", "nonfinite_input"
                )

    def _place(self, priority: int) -> int:
        """Return where a job of *priority* queues: behind those that are as urgent, before all others."""
        queue = self._queue
        return next((at for at, job in enumerate(queue) if not 0 < job.priority <= priority), len(queue))

    def _make_room(self) -> bool:
        """Let go of those that left or expired in a full queue; say whether that freed a place."""
        waiting = [job for job in self._queue if not job.ended]
        self.version.in_flight -= len(self._queue) - len(waiting)
        self._queue[:] = waiting
        return len(waiting) < self._max_queue

    def _expire(self, job: Job) -> None:
        if not job.ended:
            job.end()
            job.settle(DeadlineExceeded(self.version.model, self.version.version))

    def _schedule(self) -> None:
        self._flush_scheduled = True
        if self._delay:
            self._loop.call_later(self._delay, self._flush)
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._inline:
            batch = self._take()
            if batch:
                self._run_here(batch)
            if self._queue:
                self._take_turn()
        elif self._queue and not self._running:
            batch = self._take()
            if batch:
                self._run_on_thread(batch)

    def _take_turn(self) -> None:
        """Run what else queues on the loop, for as long as one version may keep the others waiting; then after them."""
        until = time.perf_counter() + TURN_SECONDS
        while self._queue and self._inline:
            batch = self._take()
            if batch:
                self._run_here(batch)
            if time.perf_counter() > until:
                break
        if self._queue and not self._flush_scheduled:
            self._schedule()

    def _run_here(self, batch: Sequence[Job]) -> None:
        """Run a batch on the loop, for as long as the loop can bear and its callers can wait."""
        deadline = min(map(_DEADLINE, batch))
        began, started = self._loop.time(), time.perf_counter()
        until = started + min(deadline - began, ON_LOOP_SECONDS)
        self._watchdog.begin(self.version.session, until)
        execution = self._runner.execute(batch)
        self._watchdog.end()
        ended = time.perf_counter()
        if ended > until:
            self._watchdog.settle()
            self._leave_the_loop()
            self._refuse_late(batch, execution, began + ended - started)
        self._deliver(batch, execution)

    def _leave_the_loop(self) -> None:
        """Run on a thread from now on: what was quick when it was warmed is not."""
        log.warning(
            "version %d of model %r held up the event loop and runs on a thread from now on",
            self.version.version,
            self.version.model,
        )
        self._inline = False
        self.cells.happened("stopped")
        for job in self._queue:
            self._expect(job)
        if self._queue and not self._flush_scheduled:
            self._schedule()

    def _refuse_late(self, batch: Sequence[Job], execution: Execution, now: float) -> None:
        """Give those whose deadline passed during a run on the loop no answer, as on a thread."""
        for place, job in enumerate(batch):
            if job.deadline <= now:
                execution.results[place] = DeadlineExceeded(self.version.model, self.version.version)

    def _run_on_thread(self, batch: Sequence[Job]) -> None:
        self._running = self._runner.records = True
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"lane-{self.version.model}")
        self._cut(batch)
        self._look(batch, max(map(_DEADLINE, batch)))
        self._run = run = self._pool.submit(self._runner.execute, batch)
        asyncio.wrap_future(run, loop=self._loop).add_done_callback(lambda done: self._finished(batch, done))

    def _cut(self, batch: Sequence[Job]) -> None:
        """Bring the deadlines forward of those who wait for a run of so many rows only so long."""
        of_rows, now = rows_class(sum(job.rows for job in batch)), self._loop.time()
        for job in batch:
            after = job.cuts[of_rows] if job.cuts is not None else None
            if after is not None and job.timer is not None and now + after < job.deadline:
                job.timer.cancel()
                job.deadline = now + after
                job.timer = self._loop.call_at(job.deadline, self._expire, job)

    def _look(self, batch: Sequence[Job], last: float) -> None:
        """Stop the run at the *last* deadline of its batch; end it before that where all of its callers left.

        One that such an end does not reach is not stuck: it may go on until its deadline, as if they were there.
        """
        now = self._loop.time()
        if now >= last:
            self._stop()
            return
        if all(job.ended for job in batch):
            self.version.session.stop()
        self._overdue = self._loop.call_at(min(last, now + LOOK_SECONDS), self._look, batch, last)

    def _stop(self) -> None:
        """Nobody waits for the run any more."""
        self.cells.happened("stopped")
        self._stopped = self._loop.time()
        self._insist()

    def _insist(self) -> None:
        """Stop the run until it is over: a stop that comes before its thread has begun it ends nothing.

        One that has ended, and the loop was late to hear so, is over.
        """
        if self._run is not None and self._run.done():
            return
        self.version.session.stop()
        if not self.is_stuck and self._loop.time() - self._stopped >= STUCK_SECONDS:
            self._stick()
        self._overdue = self._loop.call_later(INSIST_SECONDS, self._insist)

    def _stick(self) -> None:
        """Let nobody wait behind a run that cannot be ended."""
        model, version = self.version.model, self.version.version
        log.error("version %d of model %r is stuck in a run that cannot be stopped", version, model)
        self.cells.happened("stuck")
        self.is_stuck = True
        waiting, self._queue[:] = self._queue[:], []
        for job in waiting:
            self._settle(job, VersionStuck(model, version))

    def _finished(self, batch: Sequence[Job], done: asyncio.Future[Execution]) -> None:
        self._running = False
        self.is_stuck = False
        if self._overdue is not None:
            self._overdue.cancel()
        self._deliver(batch, done.result())
        if self._queue and not self._flush_scheduled:
            self._schedule()

    def _take(self) -> list[Job]:
        """Take the next batch off the queue: jobs whose tensors can be joined, up to the most rows of a run."""
        batch: list[Job] = []
        rows, shape, taken = 0, None, 0
        for job in self._queue:
            if job.ended:
                self.version.in_flight -= 1
            else:
                trailing = None if self._one_shape else tuple(feed.shape[1:] for feed in job.feeds)
                if batch and (rows + job.rows > self._max_rows or trailing != shape):
                    break
                batch.append(job)
                rows, shape = rows + job.rows, trailing
            taken += 1
        del self._queue[:taken]
        if not batch:
            return batch
        self.batches += 1
        self.batch_rows += rows or len(batch)
        number, now = self.batches, time.perf_counter()
        waits = []
        for job in batch:
            job.batch, job.began = number, now
            waits.append(now - job.arrived)
        self.cells.waited(waits)
        return batch

    def _follow_target(self, limit: QueueLimit, batch: Sequence[Job]) -> None:
        """Let as many wait as are answered in time; who waits already stays."""
        self._limit = limit = limit.after_run(
            arrived=min(map(_ARRIVED, batch)),
            began=batch[0].began,
            ended=time.perf_counter(),
            answered=len(batch),
            waiting=len(self._queue),
        )
        self._max_queue = limit.requests

    def _deliver(self, batch: Sequence[Job], execution: Execution) -> None:
        if self._limit is not None:
            self._follow_target(self._limit, batch)
        for rows, seconds in execution.runs:
            self.cells.ran(rows, seconds)
        if execution.cpu_seconds:
            self.cells.computed(execution.cpu_seconds)
        self.last_run = execution.runs[0] if len(execution.runs) == 1 else None
        if execution.nonfinite:
            self.cells.happened("nonfinite_out", execution.nonfinite)
        if self.sample.room:
            self.sample.take(batch, execution.results)
        version, outbox = self.version, self._outbox
        if len(batch) > 1:
            outbox.held = []
        try:
            for job, result in zip(batch, execution.results, strict=True):
                self.told = job
                if isinstance(result, Exception):
                    self._failed(job, result)
                else:  # as ``_settle`` and ``Job.end`` do, without two calls for each request
                    version.in_flight -= 1
                    if not job.ended:
                        job.ended = True
                        if job.timer is not None:
                            job.timer.cancel()
                        job.settle(result)
        finally:
            self.told = None
            if outbox.held is not None:
                outbox.send()

    def _failed(self, job: Job, failure: Exception) -> None:
        if isinstance(failure, RunStopped) and not job.ended:
            self._again(job)
            return
        if isinstance(failure, Quarantined):
            self.cells.happened("quarantined")
        elif isinstance(failure, ModelFailed) and failure.code == "nonfinite_output":
            self.cells.happened("nonfinite_out")
        self._settle(job, failure)

    def _again(self, job: Job) -> None:
        """Run a job again whose run was stopped for another's sake: it has time left."""
        self._queue.append(job)
        if not self._inline:
            self._expect(job)
        if not self._flush_scheduled and (self._inline or not self._running):
            self._schedule()

    def _expect(self, job: Job) -> None:
        """Tell a job at its deadline, on a thread's lane."""
        if job.timer is None and not job.ended:
            job.timer = self._loop.call_at(job.deadline, self._expire, job)

    def _settle(self, job: Job, result: Result) -> None:
        self.version.in_flight -= 1
        if not job.ended:
            job.end()
            job.settle(result)
