"""A request that was taken by a lane, and what becomes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor

    Result = list[Tensor] | Exception


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


def conclude(version: LoadedVersion, job: Job, result: Result) -> None:
    """Let go of *version*, which held *job* since it was queued, and tell who still waits what came of it."""
    version.in_flight -= 1
    if not job.ended:
        job.end()
        job.settle(result)
