"""A lane's own thread, on which a version runs that is too slow for the event loop; the next batch fills meanwhile.

A run is stopped at the last deadline of its batch, or when all who wait for it left; and where some of them left or
were told that their time is over, as soon as it takes far longer than any before: the others are run again without
them. Where not even the deadline ends it the thread is stuck, and everybody who waits behind it is told at once.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from gateway.core.errors import RunStopped, VersionStuck

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from gateway.models.loaded import LoadedVersion
    from gateway.serving.deadlines import Deadlines
    from gateway.serving.jobs import Job
    from gateway.serving.queueing import Queue
    from gateway.serving.running import Execution, Runner

    Finished = Callable[[Sequence[Job], Execution], None]

log = logging.getLogger(__name__)

STUCK_SECONDS: Final = 0.1
"""A run on a thread that goes on so long after it was stopped cannot be stopped."""

LOOK_SECONDS: Final = 0.05
"""So often is looked whether anybody still waits for a run on a thread."""

FAR_LONGER: Final = 10.0
"""A run is suspected of having no end when it takes so many times as long as the longest that had one,"""

SUSPECT_SECONDS: Final = 0.05
"""and no less than this."""

INSIST_SECONDS: Final = 0.04
"""So often a run that was stopped and goes on is stopped again."""

_DEADLINE: Final = attrgetter("deadline")


class LaneThread:
    """The thread of one version's lane, which is started with its first run; all is called on the event loop."""

    def __init__(self, version: LoadedVersion, runner: Runner, queue: Queue, deadlines: Deadlines) -> None:
        """*queue*: who is told when nobody may wait any more."""
        self._version = version
        self._runner = runner
        self._records = runner.records
        self._queue = queue
        self._deadlines = deadlines
        self._pool: ThreadPoolExecutor | None = None
        self._run: Future[Execution] | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._longest = version.run_seconds
        """Of the runs that ended by themselves; seconds."""
        self._suspect_at = 0.0
        """When the run takes far longer than those, on the loop's clock."""
        self._stopped = 0.0
        """When the run was stopped first, on the loop's clock, where nobody waits for it any more."""
        self._loop = asyncio.get_running_loop()
        self.is_running = False
        self.is_stuck = False
        """Whether the run cannot be ended."""

    def begin(self, batch: Sequence[Job], finished: Finished) -> None:
        """Run a batch; *finished* is called with it on the event loop when that is over. One runs at a time."""
        self.is_running = self._runner.records = True
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"lane-{self._version.model}")
        self._deadlines.bring_forward(batch)
        self._suspect_at = self._loop.time() + max(FAR_LONGER * self._longest, SUSPECT_SECONDS)
        self._look(batch, max(map(_DEADLINE, batch)))
        self._run = run = self._pool.submit(self._runner.execute, batch)
        asyncio.wrap_future(run, loop=self._loop).add_done_callback(partial(self._ended, batch, finished))

    def left(self) -> None:
        """What it ran goes on on the loop, where runs are written down only if a crash is to be feared."""
        self._runner.records = self._records

    def close(self) -> None:
        """Give the thread back when it has run what it was given."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _look(self, batch: Sequence[Job], last: float) -> None:
        """Stop the run at the *last* deadline of its batch; end it before that where its callers left, or of a run that
        may have no end some.

        One that such an end does not reach is not stuck: it may go on until its deadline, as if they were there.
        """
        now = self._loop.time()
        if now >= last:
            self._stop()
            return
        if (any if now >= self._suspect_at else all)(job.ended for job in batch):
            self._version.session.stop()
        self._overdue = self._loop.call_at(min(last, now + LOOK_SECONDS), self._look, batch, last)

    def _stop(self) -> None:
        """Nobody waits for the run any more."""
        self._version.cells.happened("stopped")
        self._stopped = self._loop.time()
        self._insist()

    def _insist(self) -> None:
        """Stop the run until it is over: a stop that comes before its thread has begun it ends nothing.

        One that has ended, and the loop was late to hear so, is over.
        """
        if self._run is not None and self._run.done():
            return
        self._version.session.stop()
        if not self.is_stuck and self._loop.time() - self._stopped >= STUCK_SECONDS:
            self._stick()
        self._overdue = self._loop.call_later(INSIST_SECONDS, self._insist)

    def _stick(self) -> None:
        """Let nobody wait behind a run that cannot be ended."""
        model, version = self._version.model, self._version.version
        log.error("version %d of model %r is stuck in a run that cannot be stopped", version, model)
        self._version.cells.happened("stuck")
        self.is_stuck = True
        self._queue.refuse_all(VersionStuck(model, version))

    def _ended(self, batch: Sequence[Job], finished: Finished, done: asyncio.Future[Execution]) -> None:
        self.is_running = False
        self.is_stuck = False
        if self._overdue is not None:
            self._overdue.cancel()
        execution = done.result()
        if not any(isinstance(each, RunStopped) for each in execution.results):
            self._longest = max([self._longest, *[seconds for _, seconds in execution.runs]])
        finished(batch, execution)
