"""Tells the requests of one version at their deadlines, which may come nearer when their run begins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.core.errors import DeadlineExceeded
from gateway.core.latency import rows_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.models.loaded import LoadedVersion
    from gateway.serving.jobs import Job


class Deadlines:
    """The deadlines of one version's requests, on the clock of the loop that makes it."""

    def __init__(self, version: LoadedVersion) -> None:
        self._version = version
        self._loop = asyncio.get_running_loop()

    def expire(self, job: Job) -> None:
        """Tell a job that its deadline passed; it keeps its place, and whoever comes to it there lets it go."""
        if not job.ended:
            job.end()
            job.settle(DeadlineExceeded(self._version.model, self._version.version))

    def expect(self, job: Job) -> None:
        """Tell a job at its deadline, if nobody is to yet."""
        if job.timer is None and not job.ended:
            job.timer = self._loop.call_at(job.deadline, self.expire, job)

    def bring_forward(self, batch: Sequence[Job]) -> None:
        """Let those who wait for a run of so many rows only so long wait no longer, from now on."""
        of_rows, now = rows_class(sum(job.rows for job in batch)), self._loop.time()
        for job in batch:
            after = job.cuts[of_rows] if job.cuts is not None else None
            if after is not None and job.timer is not None and now + after < job.deadline:
                job.timer.cancel()
                job.deadline = now + after
                job.timer = self._loop.call_at(job.deadline, self.expire, job)
