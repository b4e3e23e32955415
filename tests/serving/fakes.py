"""Stand-ins for what surrounds the request path: a session that is a Python function, counters that remember,
a catalog whose versions move when a test says so."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gateway.core import document, routing, seating
from gateway.core.outcomes import OUTCOMES
from gateway.core.phases import Phase
from gateway.core.plan import read_plan
from gateway.core.rollout import start
from gateway.core.signature import Signature, TensorSpec
from gateway.core.versions import VersionState, VersionStatus
from gateway.models.loaded import LoadedVersion
from gateway.models.metadata import Metadata, Serving
from gateway.serving.adoption import Adoption
from gateway.serving.dispatch import Attempt
from gateway.serving.lanes import Lanes
from gateway.serving.live import LiveTable
from gateway.serving.retries import RetryBudget
from gateway.serving.watchdog import Watchdog
from gateway.serving.watched import start_watched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.core.rollout import Rollout
    from gateway.core.routing import Routing
    from gateway.models.catalog import Catalog
    from gateway.ports.engine import Session, Tensor
    from gateway.serving.batching import Lane
    from gateway.serving.jobs import Result, Ticket
    from gateway.serving.live import Arm

    Run = Callable[[Mapping[str, Tensor]], list[Tensor]]

READY = VersionState.READY
LOADING = VersionState.LOADING
FAILED = VersionState.FAILED
UNAVAILABLE = VersionState.UNAVAILABLE
UNLOADING = VersionState.UNLOADING

PAIRS = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, 2)),))
TAKES_ANY_WIDTH = Signature((TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, 2)),))
"""What callers of PAIRS may share a route with."""
ANY_WIDTH = Signature((TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, -1)),))


def doubled(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """y = 2 x."""
    return [feeds["x"] * 2]


def pairs(*rows: float) -> Tensor:
    """Return a tensor with one row per number."""
    return np.array([[row, row] for row in rows], np.float32)


class FakeSession:
    """Implements ``ports.Session`` over a function; remembers how many rows each run had."""

    def __init__(self, run: Run = doubled, signature: Signature = PAIRS) -> None:
        self.signature = signature
        self.warning = ""
        self.rows: list[int] = []
        self.threads: set[int] = set()
        self.stops = threading.Event()
        self.pool = 0.0
        self._run = run

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        self.rows.append(len(next(iter(feeds.values()))))
        self.threads.add(threading.get_ident())
        return self._run(feeds)

    def stop(self) -> None:
        self.stops.set()

    def pool_seconds(self) -> float:
        return self.pool


class Gate:
    """A run that waits in its thread until the test opens it; tells the test when one has begun."""

    def __init__(self, run: Run = doubled) -> None:
        self._run = run
        self._open = threading.Event()
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()

    def __call__(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._open.wait(20)
        return self._run(feeds)

    def open(self) -> None:
        self._open.set()


@dataclass
class FakeCells:
    """Implements ``ports.VersionCells``."""

    outcomes: list[str] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)
    pairs: list[tuple[bool, float | None, float | None]] = field(default_factory=list)
    recordings: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def answered(self, outcome: int, seconds: float) -> None:
        self.outcomes.append(OUTCOMES[outcome])

    def ran(self, rows: int, seconds: float) -> None:
        self.runs.append(rows)

    def computed(self, cpu_seconds: float) -> None:
        self.cpu_seconds += cpu_seconds

    def waited(self, seconds: Sequence[float]) -> None:
        self.waits += seconds

    def fell_back(self, reason: str) -> None:
        self.fallbacks.append(reason)

    def copied(self, outcome: str, seconds: float) -> None:
        self.copies.append(outcome)

    def copy_dropped(self, reason: str) -> None:
        self.drops.append(reason)

    def compared(self, agrees: bool, mean: float | None, most: float | None) -> None:
        self.pairs.append((agrees, mean, most))

    def recorded(self, outcome: str) -> None:
        self.recordings.append(outcome)

    def happened(self, event: str, times: int = 1) -> None:
        self.events += [event] * times


@dataclass
class FakeRuns:
    """Implements ``ports.RunLog`` and ``ports.RunSeat``: what is being run now, and what a test says it crashed."""

    now: list[int] = field(default_factory=list)
    seen: list[tuple[int, ...]] = field(default_factory=list)
    crashed: dict[int, int] = field(default_factory=dict)
    closed: int = 0

    def seat(self, model: str, version: int) -> FakeRuns:
        return self

    def is_clean(self, prints: Sequence[int]) -> bool:
        return self.crashed.keys().isdisjoint(prints)

    def crashes(self, print_: int) -> int:
        return self.crashed.get(print_, 0)

    def begin(self, prints: Sequence[int]) -> None:
        self.now[:] = prints
        self.seen.append(tuple(prints))

    def end(self) -> None:
        self.now.clear()

    def close(self) -> None:
        self.closed += 1


class FakeWatchdog(Watchdog):
    """Watches nothing, so that no test but its own has a second thread."""

    def __init__(self) -> None:
        self.limits: list[float] = []

    def begin(self, session: Session, until: float) -> None:
        self.limits.append(until)

    def end(self) -> None: ...

    def settle(self) -> bool:
        return False


class FakeMetrics:
    """Implements ``ports.Metrics``."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], FakeCells] = {}

    def version(self, model: str, version: str) -> FakeCells:
        return self.cells.setdefault((model, version), FakeCells())

    def retire(self, model: str, version: str) -> None:
        del self.cells[model, version]


def loaded_version(
    session: FakeSession,
    *,
    model: str = "fraud",
    version: int = 1,
    cells: FakeCells | None = None,
    batchable: bool = True,
    run_seconds: float = 0.0,
    max_rows: int = 64,
    delay_ms: float = 0.0,
    nonfinite: str = "error",
    nonfinite_in: str = "pass",
    allow_empty: bool = False,
    cache_bytes: int = 0,
    latency_target_ms: float = 0.0,
) -> LoadedVersion:
    """Return a warm version. *run_seconds* decides whether it runs on the loop or on a thread."""
    return LoadedVersion(
        model,
        version,
        digest=f"{version:064x}",
        session=session,
        metadata=Metadata(
            serving=Serving(
                max_rows,
                delay_ms,
                nonfinite,
                nonfinite_in=nonfinite_in,
                allow_empty=allow_empty,
                cache_bytes=cache_bytes,
                latency_target_ms=latency_target_ms,
            )
        ),
        cells=cells or FakeCells(),
        batchable=batchable,
        why_not_batchable="" if batchable else "its first axis is fixed",
        run_seconds=run_seconds,
    )


SLOW = 1.0
"""A ``run_seconds`` that sends every run to a thread."""


class FakeCatalog:
    """Stands in for ``models.catalog.Catalog``: versions are in the state that the test moves them to."""

    def __init__(self, metrics: FakeMetrics) -> None:
        self.metrics = metrics
        self.has_looked = True
        self.repository_error = ""
        self.routed: Mapping[str, AbstractSet[int]] = {}
        self.orders: Mapping[str, Mapping[int, str]] = {}
        self.sessions: dict[tuple[str, int], FakeSession] = {}
        self.woken: list[tuple[str, int]] = []
        self._statuses: dict[tuple[str, int], VersionStatus] = {}
        self._loaded: dict[tuple[str, int], LoadedVersion] = {}
        self._subscribers: list[Callable[[VersionStatus], object]] = []

    def hold(
        self, model: str, version: int, run: Run = doubled, *, signature: Signature = PAIRS, **how: Any
    ) -> LoadedVersion:
        """Have a READY version; *how* it is warm and wants to be served is what ``loaded_version`` takes."""
        session = self.sessions[model, version] = FakeSession(run, signature)
        cells = self.metrics.version(model, str(version))
        loaded = loaded_version(session, model=model, version=version, cells=cells, **how)
        self._loaded[model, version] = loaded
        self.move(model, version, READY)
        return loaded

    def move(self, model: str, version: int, state: VersionState, reason: str = "") -> None:
        """Move a version to *state*; one that was held becomes READY again with its old session."""
        status = VersionStatus(model, version, state, reason)
        self._statuses[model, version] = status
        for callback in self._subscribers:
            asyncio.get_running_loop().call_soon(callback, status)

    def ready(self, model: str, version: int) -> LoadedVersion | None:
        status = self._statuses.get((model, version))
        return self._loaded.get((model, version)) if status and status.state is READY else None

    def status(self, model: str, version: int) -> VersionStatus | None:
        return self._statuses.get((model, version))

    def statuses(self, model: str | None = None) -> Sequence[VersionStatus]:
        return [status for status in self._statuses.values() if model in {None, status.model}]

    def models(self) -> Sequence[str]:
        return sorted({model for model, _ in self._statuses})

    def subscribe(self, callback: Callable[[VersionStatus], object]) -> None:
        self._subscribers.append(callback)

    def want(self, routed: Mapping[str, AbstractSet[int]], orders: Mapping[str, Mapping[int, str]]) -> None:
        self.routed, self.orders = routed, orders

    def wake(self, model: str, version: int) -> None:
        """Note who is asked for while it is not READY."""
        self.woken.append((model, version))


class Floor:
    """One worker's request path without doors and without a store: catalog, lanes, table and adoption."""

    def __init__(self, *, max_queue: int = 1024) -> None:
        self.metrics = FakeMetrics()
        self.held = FakeCatalog(self.metrics)
        self.catalog = cast("Catalog", self.held)
        self.lanes = Lanes(self.catalog, FakeWatchdog(), FakeRuns(), max_queue=max_queue)
        self.table = LiveTable()
        self.now = 1_000.0
        """Seconds since the epoch, as the adoption sees them."""
        self.adoption = Adoption(self.table, self.catalog, self.lanes, self.metrics, clock=lambda: self.now)

    def cells(self, version: int, model: str = "fraud") -> FakeCells:
        return self.metrics.version(model, str(version))

    def lane(self, version: int, model: str = "fraud") -> Lane:
        return self.lanes.named(model, version)


def compiled(split: Mapping[str, int], *, model: str = "fraud", **members: Any) -> Routing:
    """Return the compiled route of *model*."""
    made = document.parse({"model": model, "split": dict(split), **members})
    return routing.compile_route(made, seating.seat_route(made))


def rollout_of(*canaries: int, baseline: int = 1, id: str = "r1", **plan: Any) -> Rollout:  # noqa: A002
    """Return a rollout of *canaries*, or of version 2, in its first step; *plan* adds to one step of 5 percent."""
    read = read_plan({"steps": [{"weight": 5, "for": "60s"}], **plan})
    candidates = canaries or (2,)
    made = start(id, candidates=candidates, baseline=baseline, plan=read, before={baseline: 1}, baseline_rate=0, now=0)
    return replace(made, phase=Phase.STEP)


def nothing(kind: str, name: str) -> Sequence[bytes]:
    """Implements ``core.routing.Values`` for a request that brings none."""
    return ()


FAR = 1e9
"""A deadline on the loop's clock that no test reaches."""


class Caller:
    """One request in a lane, and what came of it. Awaiting it raises the error that it ended with."""

    def __init__(
        self,
        lane: Lane,
        *feeds: Tensor,
        deadline: float = FAR,
        priority: int = 0,
        told: Callable[[], object] = lambda: None,
    ) -> None:
        self.results: list[Result] = []
        self._told = told
        self._settled = asyncio.Event()
        self._job: Ticket = lane.submit(feeds, len(feeds[0]), deadline, self._settle, priority)

    def _settle(self, result: Result) -> None:
        self.results.append(result)
        self._told()
        self._settled.set()

    def leave(self) -> None:
        self._job.cancel()

    async def result(self) -> Result:
        """Return the outputs or the error."""
        async with asyncio.timeout(20):
            await self._settled.wait()
        [result] = self.results
        return result

    async def outputs(self) -> list[Tensor]:
        """Return the outputs; raise the error."""
        result = await self.result()
        if isinstance(result, Exception):
            raise result
        return result


class Dispatched:
    """One request on its way through an arm, and which arm ended it with what."""

    def __init__(
        self, arm: Arm, *feeds: Tensor, deadline: float = FAR, retries: RetryBudget | None = None,
        point: int | None = None,
    ) -> None:  # fmt: skip
        """*point*: of the request's key, on a sticky route."""
        self.endings: list[tuple[Arm, Result]] = []
        self._ended = asyncio.Event()
        given = (feeds, len(feeds[0]), deadline, self._done, retries or RetryBudget(lambda: 1))
        watched = arm.watched
        self.attempt = Attempt(arm, *given) if watched is None else start_watched(arm, watched, *given, point)

    def _done(self, arm: Arm, result: Result) -> None:
        self.endings.append((arm, result))
        self._ended.set()

    async def ending(self) -> tuple[Arm, Result]:
        async with asyncio.timeout(20):
            await self._ended.wait()
        [ending] = self.endings
        return ending


async def a_turn() -> None:
    """Let the event loop do what is due."""
    for _ in range(3):
        await asyncio.sleep(0)
