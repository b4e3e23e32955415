"""Runs the copies of requests that one version gets as a shadow, in a thread of its own, when nobody else waits.

Callers come first: a copy begins only while no lane has work queued, and is dropped rather than kept waiting. A
version that hangs, fails or is slow holds up its own copies and nothing else; what became of each copy is counted,
never logged per copy and never part of the version's other counts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.errors import GatewayError, ModelFailed
from gateway.serving.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.shadowing import Shadow
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor
    from gateway.ports.metrics import VersionCells
    from gateway.serving.batching import Lane
    from gateway.serving.comparison import Comparison
    from gateway.serving.live import LiveRoute

    OnPair = Callable[[LiveRoute, int, bool], None]
    """Told, on the event loop, of a pair that is evidence: its route, the candidate, and whether the two differ."""

    OnPrediction = Callable[["Copy", Sequence[Tensor]], None]
    """Told, on the event loop, what the candidate of a rollout predicted for a copy of the baseline's request."""

log = logging.getLogger(__name__)

MOST_WAITING: Final = 64
MOST_BYTES: Final = 32 << 20
"""Of the inputs and answers that wait for one shadow: large tensors must not pile up."""
PATIENCE_SECONDS: Final = 0.25
"""So long a copy waits for a moment in which no caller does."""
RETRY_SECONDS: Final = 0.002
SLICE_SECONDS: Final = 0.005
"""After so much work the thread comes back, to see whether a caller waits; one copy is always finished."""
LIMIT_SECONDS: Final = 5.0
"""A slice that takes longer has a copy in it that hangs; it is counted then, whenever it ends."""


class Copy:
    """A request that was answered: what it brought, what *answered* it said, and whose evidence the pair is."""

    __slots__ = ("answer", "answered", "arrived", "bytes", "feeds", "name", "read_by", "route", "rows", "shadow")

    def __init__(
        self,
        route: LiveRoute,
        shadow: Shadow,
        feeds: tuple[Tensor, ...],
        rows: int,
        *,
        read_by: LoadedVersion,
        answered: LoadedVersion,
        answer: Sequence[Tensor],
        name: str = "",
    ) -> None:
        """*feeds* are in the order of the inputs of *read_by*, *answer* in that of the outputs of *answered*.

        *name*: the id of the answer.
        """
        self.name = name
        self.route = route
        self.shadow = shadow
        self.feeds = feeds
        self.rows = rows
        self.read_by = read_by
        self.answered = answered
        self.answer = answer
        self.arrived = time.perf_counter()
        self.bytes = sum(each.nbytes for each in (*feeds, *answer))


class Ending(NamedTuple):
    """What became of a copy that was run. *comparison* is None where there was nothing to compare."""

    outcome: str
    seconds: float
    comparison: Comparison | None = None
    outputs: Sequence[Tensor] | None = None
    """What the shadow answered; None where it failed."""


class Line:
    """The copies that one loaded version is to run in this worker."""

    def __init__(
        self,
        lane: Lane,
        cells: VersionCells,
        is_busy: Callable[[], bool],
        on_pair: OnPair | None,
        on_prediction: OnPrediction | None = None,
    ) -> None:
        """*is_busy* says whether a caller waits for a run of any version."""
        self._lane = lane
        self._cells = cells
        self._is_busy = is_busy
        self._on_pair = on_pair
        self._on_prediction = on_prediction
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"shadow-{lane.version.model}")
        self._waiting: deque[Copy] = deque()
        self._bytes = 0
        self._is_running = False
        self._is_due = False
        self._is_late = False

    @property
    def is_over(self) -> bool:
        """Say whether the version is gone from this worker."""
        return self._lane.is_closed

    def offer(self, copy: Copy) -> None:
        """Take a copy, or drop it where too much waits already."""
        if len(self._waiting) >= MOST_WAITING or self._bytes + copy.bytes > MOST_BYTES:
            self._cells.copy_dropped("full")
            return
        self._waiting.append(copy)
        self._bytes += copy.bytes
        self._schedule(0.0)

    def close(self) -> None:
        """Give the thread back, and drop what waits."""
        self._pool.shutdown(wait=False)
        while self._waiting:
            self._drop("unavailable")

    def _schedule(self, seconds: float) -> None:
        if not (self._is_due or self._is_running):
            self._is_due = True
            self._loop.call_later(seconds, self._begin)

    def _begin(self) -> None:
        """Run what waits, if no caller does."""
        self._is_due = False
        if self._lane.is_closed:
            self.close()
        elif self._is_busy():
            self._drop_impatient()
            if self._waiting:
                self._schedule(RETRY_SECONDS)
        elif self._waiting:
            self._run(list(self._waiting))

    def _drop_impatient(self) -> None:
        latest = time.perf_counter() - PATIENCE_SECONDS
        while self._waiting and self._waiting[0].arrived < latest:
            self._drop("busy")

    def _drop(self, reason: str) -> None:
        self._bytes -= self._waiting.popleft().bytes
        self._cells.copy_dropped(reason)

    def _run(self, copies: Sequence[Copy]) -> None:
        """Give *copies*, which wait until they were run, to the thread."""
        self._is_running = True
        self._lane.version.hold()
        timer = self._loop.call_later(LIMIT_SECONDS, self._hangs)
        self._loop.run_in_executor(self._pool, self._endings, copies).add_done_callback(
            lambda done: self._finished(done, timer)
        )

    def _hangs(self) -> None:
        self._is_late = True
        self._cells.copied("timeout", LIMIT_SECONDS)

    def _finished(self, done: asyncio.Future[list[Ending]], timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._lane.version.release()
        self._is_running = False
        endings = done.result()
        copies = [self._waiting.popleft() for _ in endings]
        self._bytes -= sum(copy.bytes for copy in copies)
        if self._is_late:  # the last one was what hung, and is counted
            self._is_late = False
            endings.pop()
        for copy, ending in zip(copies, endings, strict=False):
            self._count(copy, ending)
        if self._waiting:
            self._schedule(0.0)

    def _count(self, copy: Copy, ending: Ending) -> None:
        self._cells.copied(ending.outcome, ending.seconds)
        compared = ending.comparison
        if compared is not None:
            self._cells.compared(compared.agrees, compared.mean, compared.most)
        if copy.shadow.judged_by != copy.answered.version:
            return
        if self._on_prediction is not None and ending.outputs is not None:
            self._on_prediction(copy, ending.outputs)
        if self._on_pair is not None:
            # A candidate that fails where the baseline answered differs from it: leaving it out would flatter it.
            if compared is not None:
                self._on_pair(copy.route, copy.shadow.version, not compared.agrees)
            elif ending.outcome in {"error", "invalid"}:
                self._on_pair(copy.route, copy.shadow.version, True)

    def _endings(self, copies: Sequence[Copy]) -> list[Ending]:
        """Run one slice of *copies* on the thread; counts nothing itself."""
        began = time.perf_counter()
        endings: list[Ending] = []
        for copy in copies:
            endings.append(self._ending(copy))
            if time.perf_counter() - began > SLICE_SECONDS:
                break
        return endings

    def _ending(self, copy: Copy) -> Ending:
        """Run one copy and compare. A fault ends this copy, not the thread's work."""
        version = self._lane.version
        began = time.perf_counter()
        try:
            given = dict(zip((spec.name for spec in copy.read_by.signature.inputs), copy.feeds, strict=True))
            result = self._lane.attempt(tuple(given[spec.name] for spec in version.signature.inputs), copy.rows)
            seconds = time.perf_counter() - began
            if isinstance(result, Exception):
                raise result
            ours = {spec.name: each for spec, each in zip(copy.answered.signature.outputs, copy.answer, strict=True)}
            theirs = {spec.name: each for spec, each in zip(version.signature.outputs, result, strict=True)}
            return Ending("ok", seconds, compare(ours, theirs, copy.shadow.tolerance), result)
        except ModelFailed as failure:
            outcome = "invalid" if failure.code == "nonfinite_output" else "error"
            return Ending(outcome, time.perf_counter() - began)
        except GatewayError:  # unloaded a moment ago
            return Ending("other", time.perf_counter() - began)
        except Exception:  # the outermost door of a thread: the next copies must get their turn
            log.exception("a copy for %s/%d could not be run or compared", version.model, version.version)
            return Ending("other", time.perf_counter() - began)
