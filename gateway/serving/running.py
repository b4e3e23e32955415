"""Runs one batch in the engine and says what came of each request in it. The only place that calls the engine.

What is run is written down first, in memory that a crash leaves behind. A request that was being run when a
worker crashed runs alone from then on, so that a second crash convicts exactly one; after that it is refused.
A batch that fails is run again request by request, so that one poisonous request fails alone.

Any thread: nothing is counted here.
"""

from __future__ import annotations

import logging
import time
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.core.errors import DeadlineExceeded, ModelFailed, Quarantined, RequestTooLarge, RunStopped
from gateway.serving.cpu_time import CpuTime
from gateway.serving.finite import floats_of, nonfinite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import RunSeat, Tensor
    from gateway.serving.answer_size import AnswerSize
    from gateway.serving.jobs import Job, Result

log = logging.getLogger(__name__)

CRASHES: Final = 2
"""A request that was being run at so many crashes is not run again."""


class Execution:
    """What came of a batch: one result per job, and what each run of the engine took (rows, seconds).

    *nonfinite*: how many answers hold NaN or infinity, of a version that may give such answers. *cpu_seconds*: what
    it and those before it took that were not measured, 0 where it was not either.
    """

    __slots__ = ("cpu_seconds", "nonfinite", "results", "runs")

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.runs: list[tuple[int, float]] = []
        self.nonfinite = 0
        self.cpu_seconds = 0.0


class Runner:
    """Runs the batches of one version."""

    def __init__(self, version: LoadedVersion, seat: RunSeat, *, max_rows: int, size: AnswerSize) -> None:
        """*max_rows*: the most rows of a joined run, 0 for a version whose rows may not share one."""
        self._version = version
        self._seat = seat
        self.records = bool(version.session.warning)
        """Whether runs are written down: where a crash is to be feared, and on threads, where they cost enough."""
        self._max_rows = max_rows
        self._names = tuple(spec.name for spec in version.signature.inputs)
        self._salt = hash((version.model, version.version, version.digest))
        self._floats = floats_of(version.signature.outputs)
        self._must_be_finite = version.metadata.serving.nonfinite == "error"
        self._counts = bool(self._floats) and not self._must_be_finite
        self._size = size if size.after else None
        self._cpu = CpuTime(version)

    def execute(self, batch: Sequence[Job]) -> Execution:
        """Run a batch. A fault of ours ends every job with it instead of leaving its callers waiting."""
        execution, cpu = Execution(), self._cpu
        cpu.untold += 1
        before = cpu.begin() if self.records or cpu.untold >= cpu.every else None
        try:
            results = self._recorded(batch, execution) if self.records else self._together(batch, execution)
            execution.results = results
            if self._counts:
                execution.nonfinite = sum(
                    not isinstance(each, Exception) and nonfinite(each, self._floats) is not None for each in results
                )
        except Exception as exc:  # the outermost door of a callback: nobody above could answer the callers
            log.exception("a batch of %s/%d could not be run", self._version.model, self._version.version)
            execution.results = [exc] * len(batch)
        if before is not None:
            execution.cpu_seconds = cpu.since(before)
        return execution

    def alone(self, feeds: tuple[Tensor, ...], rows: int) -> Result:
        """Run one request that is in no batch, and count nothing."""
        return self._sized(self._attempt(feeds, rows, Execution()))

    def _recorded(self, batch: Sequence[Job], execution: Execution) -> list[Result]:
        """Return what ``_together`` does, of a batch that is written down while it runs."""
        seat = self._seat
        prints = [fingerprint(self._salt, job.feeds) for job in batch]
        if not seat.is_clean(prints):
            return [self._suspected(job, each, execution) for job, each in zip(batch, prints, strict=True)]
        seat.begin(prints)
        try:
            return self._together(batch, execution)
        finally:
            seat.end()

    def _together(self, batch: Sequence[Job], execution: Execution) -> list[Result]:
        if len(batch) > 1:
            return self._joined(batch, execution)
        result = self._attempt(batch[0].feeds, batch[0].rows, execution)
        return [result if self._size is None else self._sized(result)]

    def _suspected(self, job: Job, print_: int, execution: Execution) -> Result:
        """Run a job by itself, unless that crashed two workers."""
        if self._seat.crashes(print_) >= CRASHES:
            return Quarantined(self._version.model, self._version.version)
        self._seat.begin((print_,))
        try:
            return self._alone(job, execution)
        finally:
            self._seat.end()

    def _joined(self, batch: Sequence[Job], execution: Execution) -> list[Result]:
        # comprehensions and C, not generators: a generator is entered once for every request
        joined = tuple([np.concatenate(column) for column in zip(*[job.feeds for job in batch], strict=True)])
        rows = [job.rows for job in batch]
        together = self._attempt(joined, sum(rows), execution)
        if isinstance(together, RunStopped):
            return [together] * len(batch)
        if isinstance(together, Exception):
            return [self._alone(job, execution) for job in batch]
        results = _cut(together, rows)
        return results if self._size is None else [self._sized(each) for each in results]

    def _alone(self, job: Job, execution: Execution) -> Result:
        if job.ended:  # its deadline passed, or its caller left, while the others of its batch ran
            return DeadlineExceeded(self._version.model, self._version.version)
        return self._sized(self._attempt(job.feeds, job.rows, execution))

    def _sized(self, result: Result) -> Result:
        """Return *result*, or the refusal where it is an answer that is too large."""
        if self._size is None or isinstance(result, Exception):
            return result
        try:
            self._size.check_outputs(result)
        except RequestTooLarge as refusal:
            return refusal
        return result

    def _attempt(self, feeds: tuple[Tensor, ...], rows: int, execution: Execution) -> Result:
        version = self._version
        started = time.perf_counter()
        try:
            outputs = version.session.run(dict(zip(self._names, feeds, strict=True)))
        except (ModelFailed, RunStopped) as failure:
            failure.__traceback__ = failure.__context__ = None  # they hold our frames, which hold the failure
            return failure
        finally:
            execution.runs.append((rows, time.perf_counter() - started))
        if self._must_be_finite and (name := nonfinite(outputs, self._floats)) is not None:
            reason = f"output {name!r} holds a value that is not finite"
            return ModelFailed(version.model, version.version, reason, "nonfinite_output")
        if self._max_rows:
            for output in outputs:  # not ``any`` of a generator, which is a call for each output and two more
                if len(output) != rows:
                    return ModelFailed(
                        version.model, version.version, "it answered another number of rows than it was asked for"
                    )
        return outputs


def _cut(outputs: Sequence[Tensor], rows: Sequence[int]) -> list[Result]:
    """Return, per request of so many *rows*, its part of each of the *outputs*: views, in the requests' order."""
    if rows.count(1) == len(rows):  # by far the most: numpy walks along the rows without an index for each
        columns = [iter(output[:, np.newaxis]) for output in outputs]
    else:
        ends = list(accumulate(rows))
        spans = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        columns = [map(output.__getitem__, spans) for output in outputs]
    return [list(row) for row in zip(*columns, strict=True)]


def fingerprint(salt: int, feeds: Sequence[Tensor]) -> int:
    """Return 64 bits that stand for a version, whose *salt* differs from every other's, and the bytes of *feeds*.

    Python's own keyed hash: 0.15 µs for 30 floats, a third of a cryptographic one. Its key is drawn once per
    launcher, whose workers are forks: they all agree, and no caller can make two inputs meet.
    """
    return hash((salt, *[_content(tensor) for tensor in feeds]))


def _content(tensor: Tensor) -> bytes | tuple[object, ...]:
    """Return what a tensor holds; of texts not their addresses."""
    return tuple(tensor.ravel().tolist()) if tensor.dtype.hasobject else tensor.tobytes()
