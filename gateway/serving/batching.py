"""Same-tick batching: what arrives in one pass of the event loop runs as one call of the engine.

A lane is one version's queue in this worker. Quick models run on the loop itself, because a hop to
a thread costs more than their run; slow ones run on the lane's own small pool, and the next batch
fills while one runs. Rows never move between callers: a batch is cut back along the axis that was
proven when the version was loaded, and a batch that fails is run again request by request, so that
one poisonous request fails alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.core.errors import DeadlineExceeded, ModelFailed, Overloaded
from gateway.core.signature import FREE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.models.loaded import LoadedVersion
    from gateway.ports import Tensor

    Result = list[Tensor] | Exception

log = logging.getLogger(__name__)

INLINE_SECONDS: Final = 0.0003
"""A version whose one-row run takes longer runs on its pool (two threads gain from 0.45 ms, lose at 58 µs)."""

FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})


class Job:
    """One request's tensors, in the signature's order, and who is told what came of it.

    *settle* is called once, on the event loop, with the outputs or the error; never for a job that was cancelled.
    """

    __slots__ = ("arrived", "ended", "feeds", "rows", "settle", "timer")

    def __init__(self, feeds: tuple[Tensor, ...], rows: int, settle: Callable[[Result], None]) -> None:
        self.feeds = feeds
        self.rows = rows
        self.settle = settle
        self.arrived = time.perf_counter()
        self.ended = False
        self.timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Nobody waits any more: a job that still queues is never run."""
        self.end()

    def end(self) -> None:
        """Settle no more, and expect nothing."""
        self.ended = True
        if self.timer is not None:
            self.timer.cancel()


class Execution:
    """What came of a batch: one result per job, and what each run of the engine took (rows, seconds)."""

    __slots__ = ("results", "runs")

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.runs: list[tuple[int, float]] = []


class Lane:
    """The queue of one loaded version in one worker."""

    def __init__(self, version: LoadedVersion, *, max_queue: int) -> None:
        signature, serving = version.signature, version.metadata.serving
        self.version = version
        self.cells = version.cells
        self._max_queue = max_queue
        self._max_rows = serving.max_batch_rows if version.batchable else 0
        self._delay = serving.max_delay_ms / 1000
        self._names = tuple(spec.name for spec in signature.inputs)
        self._one_shape = all(FREE not in spec.shape[1:] for spec in signature.inputs)
        self._checked = tuple(
            (index, spec.name)
            for index, spec in enumerate(signature.outputs)
            if spec.datatype in FLOATS and serving.nonfinite == "error"
        )
        self._inline = version.run_seconds < INLINE_SECONDS
        self._pool: ThreadPoolExecutor | None = None
        self._running = False
        self.is_closed = False
        self._queue: list[Job] = []
        self._flush_scheduled = False
        self._loop = asyncio.get_running_loop()

    def submit(self, feeds: tuple[Tensor, ...], rows: int, deadline: float, settle: Callable[[Result], None]) -> Job:
        """Queue one request; *settle* gets all outputs, in the signature's order, of exactly its rows, or the error.

        The errors are ModelFailed, and DeadlineExceeded at *deadline* (the loop's clock, seconds), which is looked
        at where there is something to wait for: a run on the loop cannot be late. Raises Overloaded when the queue
        is full.
        """
        if len(self._queue) >= self._max_queue and not self._make_room():
            raise Overloaded(self.version.model, self.version.version)
        job = Job(feeds, rows, settle)
        self._queue.append(job)
        self.version.in_flight += 1
        if not self._inline or self._delay:
            job.timer = self._loop.call_at(deadline, self._expire, job)
        if not self._flush_scheduled and (self._inline or not self._running):
            self._schedule()
        return job

    @property
    def is_waited_for(self) -> bool:
        """Say whether a request queues."""
        return bool(self._queue)

    def attempt(self, feeds: tuple[Tensor, ...], rows: int) -> Result:
        """Run one request by itself, past the queue, on the calling thread, uncounted; return outputs or ModelFailed.

        The caller holds the version. Raises VersionUnavailable where it was just unloaded.
        """
        return self._attempt(feeds, rows, Execution())

    def close(self) -> None:
        """Give the threads back; called when the version has drained."""
        self.is_closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False)

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
            while self._queue:
                batch = self._take()
                if batch:
                    self._deliver(batch, self._execute(batch))
        elif self._queue and not self._running:
            batch = self._take()
            if batch:
                self._running = True
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"lane-{self.version.model}")
                self._loop.run_in_executor(self._pool, self._execute, batch).add_done_callback(
                    lambda done: self._finished(batch, done)
                )

    def _finished(self, batch: Sequence[Job], done: asyncio.Future[Execution]) -> None:
        self._running = False
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
        now = time.perf_counter()
        for job in batch:
            self.cells.waited(now - job.arrived)
        return batch

    def _deliver(self, batch: Sequence[Job], execution: Execution) -> None:
        for rows, seconds in execution.runs:
            self.cells.ran(rows, seconds)
        for job, result in zip(batch, execution.results, strict=True):
            self.version.in_flight -= 1
            if not job.ended:
                job.end()
                job.settle(result)

    def _execute(self, batch: Sequence[Job]) -> Execution:
        """Run a batch; the only place that calls the engine. Any thread: it counts nothing itself.

        A fault of ours ends every job with it instead of leaving its callers waiting.
        """
        execution = Execution()
        try:
            execution.results = self._results(batch, execution)
        except Exception as exc:  # the outermost door of a callback: nobody above could answer the callers
            log.exception("a batch of %s/%d could not be run", self.version.model, self.version.version)
            execution.results = [exc] * len(batch)
        return execution

    def _results(self, batch: Sequence[Job], execution: Execution) -> list[Result]:
        if len(batch) == 1:
            return [self._attempt(batch[0].feeds, batch[0].rows, execution)]
        joined = tuple(np.concatenate([job.feeds[i] for job in batch]) for i in range(len(self._names)))
        together = self._attempt(joined, sum(job.rows for job in batch), execution)
        if isinstance(together, Exception):
            return [self._attempt(job.feeds, job.rows, execution) for job in batch]
        results: list[Result] = []
        start = 0
        for job in batch:
            end = start + job.rows
            results.append([output[start:end] for output in together])
            start = end
        return results

    def _attempt(self, feeds: tuple[Tensor, ...], rows: int, execution: Execution) -> Result:
        version = self.version
        started = time.perf_counter()
        try:
            outputs = version.session.run(dict(zip(self._names, feeds, strict=True)))
        except ModelFailed as failure:
            return failure
        finally:
            execution.runs.append((rows, time.perf_counter() - started))
        for index, name in self._checked:
            if not np.isfinite(outputs[index]).all():
                reason = f"output {name!r} holds a value that is not finite"
                return ModelFailed(version.model, version.version, reason, "nonfinite_output")
        if self._max_rows and any(len(output) != rows for output in outputs):
            return ModelFailed(
                version.model, version.version, "it answered another number of rows than it was asked for"
            )
        return outputs
