"""Same-tick batching: what arrives in one pass of the event loop runs as one call of the engine.

A lane is one version's queue in this worker, and what runs it. Quick models run on the loop itself, because a hop to
a thread costs more than their run; slow ones run on the lane's own thread, and the next batch
fills while one runs. Rows never move between callers: a batch is cut back along the axis that was
proven when the version was loaded.

A run on the loop that holds it up is stopped by the watchdog and run again on the thread, and the lane leaves the loop:
for as long as requests of so many rows run, and for good where it was not for the rows.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from gateway.core.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    Overloaded,
    Quarantined,
    RunStopped,
    VersionStuck,
)
from gateway.core.limits import DEFAULT
from gateway.serving.answer_size import AnswerSize
from gateway.serving.deadlines import Deadlines
from gateway.serving.drift import RequestSample
from gateway.serving.finite import floats_of, nonfinite
from gateway.serving.jobs import Job, conclude
from gateway.serving.lane_thread import LaneThread
from gateway.serving.outbox import Outbox
from gateway.serving.queueing import Queue
from gateway.serving.running import Runner
from gateway.serving.watchdog import LOOK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import RunLog, Tensor
    from gateway.serving.jobs import Result, Ticket
    from gateway.serving.running import Execution
    from gateway.serving.watchdog import Watchdog

log = logging.getLogger(__name__)

INLINE_SECONDS: Final = 0.0003
"""A version whose one-row run takes longer runs on its thread (two threads gain from 0.45 ms, lose at 58 µs)."""

ON_LOOP_SECONDS: Final = 0.5
"""A run on the loop that takes longer is stopped, and goes on a thread; one that keeps a processor busy far sooner."""

TURN_SECONDS: Final = 0.001
"""A version that has more than one batch waiting runs no longer than this before other versions get the loop."""

_DEADLINE: Final = attrgetter("deadline")


class Lane:
    """Takes the requests for one loaded version in one worker, runs them in batches, and tells each what came of it."""

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
        serving = version.metadata.serving
        self.version = version
        self.key = version.model, version.version
        self.cells = version.cells
        self.queue = Queue(version, max_queue)
        self._delay = serving.max_delay_ms / 1000
        self._finite = floats_of(version.signature.inputs) if serving.nonfinite_in == "refuse" else ()
        self._watchdog = watchdog
        self._outbox = outbox or Outbox()
        self._seat = runs.seat(version.model, version.version)
        self._size = size = AnswerSize(version, output_bytes)
        self._checks_size = size.before
        self._runner = Runner(version, self._seat, max_rows=self.queue.max_rows, size=size)
        self._deadlines = Deadlines(version)
        self.thread = LaneThread(version, self._runner, self.queue, self._deadlines)
        self._inline = version.run_seconds < INLINE_SECONDS
        self._most_here: float = math.inf
        """The most rows of one request that the loop can bear."""
        self._is_away = False
        """Whether the lane comes back to the loop when requests of more rows have run."""
        self.is_closed = False
        self.last_run: tuple[int, float] | None = None
        """Rows and seconds of the run whose results are being told; None where a batch took several runs."""
        self.told: Job | None = None
        """The job whose result is being told, of a batch that ran; None at all other times."""
        self.sample = RequestSample(version)
        """What is compared with the version's reference."""
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
        if self.thread.is_stuck:
            raise VersionStuck(self.version.model, self.version.version)
        if self._finite and (name := nonfinite(feeds, self._finite)) is not None:
            self.cells.happened("nonfinite_in")
            raise InvalidRequest(f"input {name!r} holds NaN or infinity, which this model refuses", "nonfinite_input")
        if self._checks_size:
            self._size.check_inputs(feeds)
        queue = self.queue
        if len(queue.jobs) >= queue.most and not queue.make_room():
            raise Overloaded(self.version.model, self.version.version)
        job = Job(feeds, rows, deadline, settle, priority)
        if priority:
            queue.insert(job)
        else:
            queue.jobs.append(job)
        self.version.in_flight += 1
        if not self._inline or self._delay:
            job.timer = self._loop.call_at(deadline, self._deadlines.expire, job)
        if not self._flush_scheduled and (self._inline or not self.thread.is_running):
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
        return bool(self.queue.jobs)

    @property
    def queue_limit(self) -> int | None:
        """How many requests may wait now, where that follows a latency target; None where it is a setting."""
        return None if self.queue.limit is None else self.queue.limit.requests

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
        self.thread.close()
        self._seat.close()

    def _schedule(self) -> None:
        self._flush_scheduled = True
        if self._delay:
            self._loop.call_later(self._delay, self._flush)
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._inline:
            batch = self.queue.take()
            if batch:
                self._run_here(batch)
            if self.queue.jobs:
                self._take_turn()
        elif self.queue.jobs and not self.thread.is_running:
            batch = self.queue.take()
            if batch:
                self.thread.begin(batch, self._finished)

    def _take_turn(self) -> None:
        """Run what else queues on the loop, for as long as one version may keep the others waiting; then after them."""
        until = time.perf_counter() + TURN_SECONDS
        while self.queue.jobs and self._inline:
            batch = self.queue.take()
            if batch:
                self._run_here(batch)
            if time.perf_counter() > until:
                break
        if self.queue.jobs and not self._flush_scheduled:
            self._schedule()

    def _run_here(self, batch: Sequence[Job]) -> None:
        """Run a batch on the loop, for as long as the loop can bear and its callers can wait."""
        if batch[0].rows > self._most_here:
            self._leave_the_loop(for_rows=True)
            for job in batch:
                self._deadlines.expect(job)
            self.thread.begin(batch, self._finished)
            return
        deadline = min(map(_DEADLINE, batch))
        began, started = self._loop.time(), time.perf_counter()
        until = started + min(deadline - began, ON_LOOP_SECONDS)
        self._watchdog.begin(self.version.session, until)
        execution = self._runner.execute(batch)
        self._watchdog.end()
        ended = time.perf_counter()
        took = ended - started
        if ended > until or took > LOOK_SECONDS:
            if self._watchdog.settle() or took > ON_LOOP_SECONDS:
                self._blame(batch)
            self._refuse_late(batch, execution, began + took)
        self._deliver(batch, execution)

    def _blame(self, batch: Sequence[Job]) -> None:
        """Run requests of so many rows on the thread from now on, or all: what was quick when it was warmed is not."""
        version, rows = self.version, batch[0].rows if len(batch) == 1 else 1
        if rows > 1:
            log.info(
                "a request of %d rows held up the event loop; those of more than %d run on a thread of version %d of "
                "model %r from now on",
                rows, rows // 2, version.version, version.model,
            )  # fmt: skip
            self._most_here = rows // 2
        else:
            log.warning(
                "version %d of model %r held up the event loop and runs on a thread from now on",
                version.version,
                version.model,
            )
        self.cells.happened("stopped")
        self._leave_the_loop(for_rows=rows > 1)

    def _leave_the_loop(self, *, for_rows: bool) -> None:
        self._inline, self._is_away = False, for_rows
        for job in self.queue.jobs:
            self._deadlines.expect(job)
        if self.queue.jobs and not self._flush_scheduled:
            self._schedule()

    def _refuse_late(self, batch: Sequence[Job], execution: Execution, now: float) -> None:
        """Give those whose deadline passed during a run on the loop no answer, as on a thread."""
        for place, job in enumerate(batch):
            if job.deadline <= now:
                execution.results[place] = DeadlineExceeded(self.version.model, self.version.version)

    def _finished(self, batch: Sequence[Job], execution: Execution) -> None:
        """Tell the batch that ran on the thread, and go on with who came meanwhile."""
        self._deliver(batch, execution)
        if self._is_away and all(job.rows <= self._most_here for job in self.queue.jobs):
            self._inline, self._is_away = True, False
            self.thread.left()
        if self.queue.jobs and not self._flush_scheduled:
            self._schedule()

    def _deliver(self, batch: Sequence[Job], execution: Execution) -> None:
        if self.queue.limit is not None:
            self.queue.follow(self.queue.limit, batch)
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
                else:  # as ``conclude`` and ``Job.end`` do, without two calls for each request
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
        conclude(self.version, job, failure)

    def _again(self, job: Job) -> None:
        """Run a job again whose run was stopped for another's sake: it has time left."""
        self.queue.jobs.append(job)
        if not self._inline:
            self._deadlines.expect(job)
        if not self._flush_scheduled and (self._inline or not self.thread.is_running):
            self._schedule()
