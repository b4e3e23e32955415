"""Who waits for one version in this worker, in which order, how many may, and which of them run together.

A version with a latency target has a queue as long as that takes; of the others it is as long as the setting says.
"""

from __future__ import annotations

import logging
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from gateway.core.queue_limit import open_limit
from gateway.core.signature import FREE
from gateway.serving.jobs import conclude

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.queue_limit import QueueLimit
    from gateway.models.loaded import LoadedVersion
    from gateway.serving.jobs import Job

log = logging.getLogger(__name__)

_ARRIVED: Final = attrgetter("arrived")


class Queue:
    """The requests that wait for one loaded version."""

    __slots__ = ("_one_shape", "_version", "batch_rows", "batches", "jobs", "limit", "max_rows", "most")

    def __init__(self, version: LoadedVersion, most: int) -> None:
        """*most*: how many may wait, or fewer where the version's metadata names a latency target."""
        serving = version.metadata.serving
        self._version = version
        self._one_shape = all(FREE not in spec.shape[1:] for spec in version.signature.inputs)
        self.jobs: list[Job] = []
        """In the order in which they are run; among them are such as left or expired."""
        self.most = most
        """How many may wait now."""
        self.limit = _limit_of(version, most)
        """What *most* follows; None where it is a setting."""
        self.max_rows = serving.max_batch_rows if version.batchable else 0
        """The most rows of a joined run, 0 for a version whose rows may not share one."""
        self.batches = 0
        """Batches that were taken so far, and below the rows in them: together what an average run is. A batch of
        requests without rows counts as many as it has requests."""
        self.batch_rows = 0

    def insert(self, job: Job) -> None:
        """Queue a job with a priority: behind those that are as urgent, before all others."""
        jobs, priority = self.jobs, job.priority
        jobs.insert(next((at for at, each in enumerate(jobs) if not 0 < each.priority <= priority), len(jobs)), job)

    def make_room(self) -> bool:
        """Let go of those that left or expired in a full queue; say whether that freed a place."""
        waiting = [job for job in self.jobs if not job.ended]
        self._version.in_flight -= len(self.jobs) - len(waiting)
        self.jobs[:] = waiting
        return len(waiting) < self.most

    def refuse_all(self, refusal: Exception) -> None:
        """Tell everybody who waits that nothing comes of it."""
        waiting, self.jobs[:] = self.jobs[:], []
        for job in waiting:
            conclude(self._version, job, refusal)

    def take(self) -> list[Job]:
        """Take the next batch off the queue: jobs whose tensors can be joined, up to the most rows of a run."""
        batch: list[Job] = []
        rows, shape, taken = 0, None, 0
        for job in self.jobs:
            if job.ended:
                self._version.in_flight -= 1
            else:
                trailing = None if self._one_shape else tuple(feed.shape[1:] for feed in job.feeds)
                if batch and (rows + job.rows > self.max_rows or trailing != shape):
                    break
                batch.append(job)
                rows, shape = rows + job.rows, trailing
            taken += 1
        del self.jobs[:taken]
        if not batch:
            return batch
        self.batches += 1
        self.batch_rows += rows or len(batch)
        number, now = self.batches, time.perf_counter()
        waits = []
        for job in batch:
            job.batch, job.began = number, now
            waits.append(now - job.arrived)
        self._version.cells.waited(waits)
        return batch

    def follow(self, limit: QueueLimit, batch: Sequence[Job]) -> None:
        """Let as many wait as are answered in time, as *batch* showed under *limit*; who waits already stays."""
        self.limit = limit = limit.after_run(
            arrived=min(map(_ARRIVED, batch)),
            began=batch[0].began,
            ended=time.perf_counter(),
            answered=len(batch),
            waiting=len(self.jobs),
        )
        self.most = limit.requests


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
