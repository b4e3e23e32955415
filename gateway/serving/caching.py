"""A lane that answers an input it has seen from memory, and runs one that several ask at once a single time.

Off unless a version's metadata asks for it. Requests of a rollout and second runs go past it, by ``Lane.enqueue``: an
answer out of memory is no evidence of what the version does now.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.core.errors import DeadlineExceeded, InvalidRequest, Overloaded, VersionStuck
from gateway.core.limits import DEFAULT
from gateway.serving.answer_cache import AnswerCache, canonical
from gateway.serving.batching import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import RunLog, Tensor
    from gateway.serving.jobs import Result, Ticket
    from gateway.serving.outbox import Outbox
    from gateway.serving.watchdog import Watchdog


class CachingLane(Lane):
    """The queue of one loaded version, behind a memory of its answers."""

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
        """As ``Lane``."""
        super().__init__(version, watchdog, runs, max_queue=max_queue, output_bytes=output_bytes, outbox=outbox)
        self._answers = AnswerCache(version.metadata.serving.cache_bytes)
        self._flights: dict[bytes, _Flight] = {}

    def submit(
        self,
        feeds: tuple[Tensor, ...],
        rows: int,
        deadline: float,
        settle: Callable[[Result], None],
        priority: int = 0,
    ) -> Ticket:
        """As ``Lane.submit``. A known answer is told in the next pass of the loop."""
        if not self._answers.takes(feeds):
            return self.enqueue(feeds, rows, deadline, settle, priority)
        key = canonical(feeds)
        if (known := self._answers.find(key)) is not None:
            self.cells.happened("cache_hit")
            return _Hit(known, settle)
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(self, key, feeds, rows, priority)
            flight.start(deadline)  # before anybody waits: it may be refused
            self._flights[key] = flight
            self.cells.happened("cache_miss")
            return flight.join(deadline, settle)
        self.cells.happened("cache_shared")
        return flight.join(deadline, settle)

    def landed(self, key: bytes, result: Result) -> None:
        """Forget a flight that is over, and keep what it brought."""
        del self._flights[key]
        if not isinstance(result, Exception):
            self._answers.keep(key, result)

    def left(self, key: bytes) -> None:
        """Forget a flight that nobody waits for."""
        del self._flights[key]


class _Hit:
    """A request that is answered from memory."""

    __slots__ = ("_told",)

    def __init__(self, outputs: list[Tensor], settle: Callable[[Result], None]) -> None:
        self._told = asyncio.get_running_loop().call_soon(settle, outputs)

    def cancel(self) -> None:
        self._told.cancel()


class _Flight:
    """One run of an input, and all who wait for it, each until a deadline of his own."""

    __slots__ = ("_feeds", "_job", "_key", "_lane", "_priority", "_rows", "_waiters")

    def __init__(self, lane: CachingLane, key: bytes, feeds: tuple[Tensor, ...], rows: int, priority: int) -> None:
        self._lane = lane
        self._key = key
        self._feeds = feeds
        self._rows = rows
        self._priority = priority
        self._waiters: list[_Waiter] = []
        self._job: Ticket | None = None

    def start(self, deadline: float) -> None:
        """Queue the run. Raises as ``Lane.submit``."""
        self._job = self._lane.enqueue(self._feeds, self._rows, deadline, self._landed, self._priority)

    def join(self, deadline: float, settle: Callable[[Result], None]) -> _Waiter:
        """Wait for the run, too."""
        waiter = _Waiter(self, deadline, settle)
        self._waiters.append(waiter)
        return waiter

    def too_late(self) -> DeadlineExceeded:
        """Return what a waiter is told whose deadline passes."""
        version = self._lane.version
        return DeadlineExceeded(version.model, version.version)

    def leave(self, waiter: _Waiter) -> None:
        """Let *waiter* go; a run that nobody waits for any more is not begun."""
        self._waiters.remove(waiter)
        if not self._waiters:
            self._lane.left(self._key)
            if self._job is not None:
                self._job.cancel()

    def _landed(self, result: Result) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(result, DeadlineExceeded):
            patient = [each for each in self._waiters if each.deadline > now]
            told = [each for each in self._waiters if each.deadline <= now]
        else:
            patient, told = [], self._waiters
        self._waiters = patient
        if patient:
            self._again(patient)
        else:
            self._lane.landed(self._key, result)
        for waiter in told:
            waiter.tell(result)

    def _again(self, patient: list[_Waiter]) -> None:
        """Run for those who have time left: the deadline that passed was another's."""
        try:
            self.start(max(each.deadline for each in patient))
        except (Overloaded, VersionStuck, InvalidRequest) as refused:
            self._waiters = []
            self._lane.left(self._key)
            for waiter in patient:
                waiter.tell(refused)


class _Waiter:
    """One request that waits for a flight."""

    __slots__ = ("_flight", "_settle", "_timer", "deadline")

    def __init__(self, flight: _Flight, deadline: float, settle: Callable[[Result], None]) -> None:
        self._flight = flight
        self._settle = settle
        self.deadline = deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def tell(self, result: Result) -> None:
        self._timer.cancel()
        self._settle(result)

    def cancel(self) -> None:
        self._timer.cancel()
        self._flight.leave(self)

    def _expire(self) -> None:
        self._flight.leave(self)
        self._settle(self._flight.too_late())
