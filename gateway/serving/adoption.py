"""From a route that is wanted to a route that is served: when everything it names is warm, the table is swapped whole.

Until then the old route serves. A version that cannot become ready on this worker is answered by
the baseline, declared and counted, so that one bad file hurts one version.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core import document, routing, seating
from gateway.core.compatibility import compare, misfits, summary
from gateway.core.versions import WHOLE_MODEL, VersionState
from gateway.core.watching import Mark
from gateway.serving.live import LiveRoute
from gateway.serving.trials import Trials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.core.document import RouteDocument
    from gateway.core.rollout import Kept, Rollout
    from gateway.core.routing import Routing
    from gateway.models.catalog import Catalog
    from gateway.ports.metrics import Metrics
    from gateway.serving.batching import Lane
    from gateway.serving.lanes import Lanes
    from gateway.serving.live import LiveTable
    from gateway.serving.trials import Trial

    MakeRoute = Callable[[Routing, Mark, Mapping[int, Lane], Metrics, Trial | None], LiveRoute]

log = logging.getLogger(__name__)

PROVISIONAL = Mark("", 0, "")
"""The mark of a route that no store gave: from a route file, or the default."""


COMING: Final = frozenset({VersionState.LOADING, VersionState.UNLOADING})
"""A version that a route names again while it drains stays, or is loaded anew."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A valid route that is to be served as soon as it can be."""

    mark: Mark
    routing: Routing
    rollout: Rollout | None = None
    """The one under way; None where there is none, or where it has ended."""
    kept: Kept | None = None
    """The version that the last rollout replaced; None where it did not succeed."""


class Adoption:
    """The one writer of the live table."""

    def __init__(
        self,
        table: LiveTable,
        catalog: Catalog,
        lanes: Lanes,
        metrics: Metrics,
        *,
        loads_all: bool = True,
        make_route: MakeRoute = LiveRoute,
        lost: Sequence[tuple[str, str]] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*make_route* builds what is served of a route: ``Shadows.route`` where requests may be copied.

        *lost*: models and versions that the worker before this one was running when it crashed. *clock*: seconds since
        the epoch, by which replaced versions are kept.
        """
        self._clock = clock
        self._let_go: set[str] = set()
        """Models whose replaced version was kept long enough."""
        self._make_route = make_route
        self._table = table
        self._catalog = catalog
        self._lanes = lanes
        self._metrics = metrics
        self._loads_all = loads_all
        self._wanted: dict[str, Wanted] = {}
        self._orders: dict[str, Mapping[int, str]] = {}
        self._listeners: list[Callable[[], None]] = []
        self.trials = Trials(lost)
        """What this worker sees of the rollouts of the routes that it serves."""
        self._awaited: dict[str, AbstractSet[int]] = {}
        """Versions at weight 0 that were not ready when their model's route was swapped in; the log knows of them."""
        self._misfits: dict[str, tuple[Mark, Mapping[int, str]]] = {}
        """By model: versions that may not share its route, which is of that mark, and why; the log knows of them."""
        self._routed: dict[str, frozenset[int]] = {}
        """What the catalog was told last: versions that must not be unloaded, by model."""
        catalog.subscribe(lambda status: self._settle(status.model))

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call *listener* after every change of the table."""
        self._listeners.append(listener)

    def held(self, model: str) -> Mark | None:
        """Return the mark of the route wanted now; None before any, and for one that no store gave."""
        wanted = self._wanted.get(model)
        return None if wanted is None or wanted.mark == PROVISIONAL else wanted.mark

    def has_route(self, model: str) -> bool:
        """Say whether any route is wanted for *model*."""
        return model in self._wanted

    def rollouts(self) -> Mapping[str, Rollout]:
        """Return the rollouts under way, by model."""
        return {model: wanted.rollout for model, wanted in self._wanted.items() if wanted.rollout is not None}

    def want(self, mark: Mark, compiled: Routing, rollout: Rollout | None = None, kept: Kept | None = None) -> None:
        """Serve this route from when its versions are warm; it replaces whatever was wanted."""
        model = compiled.document.model
        self._wanted[model] = Wanted(mark, compiled, rollout, kept)
        self._tell_catalog(model)
        self._settle(model)

    def order(self, model: str, orders: Mapping[int, str]) -> None:
        """Take note of what operators ordered for the versions of *model* (``load``, ``unload``)."""
        if self._orders.get(model, {}) == orders:
            return
        self._orders[model] = orders
        if self._is_out(model) and model in self._table.routes:
            self._table.drop(model)
            self._tell_listeners()
        self._tell_catalog(model)

    def look_at_clock(self) -> None:
        """Let go of replaced versions that were kept long enough; somebody calls this now and then."""
        now = self._clock()
        over = {model for model, wanted in self._wanted.items() if wanted.kept and now >= wanted.kept.until}
        if over != self._let_go:
            changed, self._let_go = over ^ self._let_go, over
            self._tell_catalog(*changed)

    def provide(self, files: Mapping[str, RouteDocument]) -> None:
        """Give every model without a route the one of its file, or its highest version once all have settled."""
        for model in self._catalog.models():
            if model in self._wanted and not self._is_a_dead_end(model):
                continue
            made = files.get(model) or self._default(model)
            if made is not None:
                self.want(PROVISIONAL, routing.compile_route(made, seating.seat_route(made)))

    def settle(self) -> None:
        """Swap in every wanted route whose versions are ready."""
        for model in self._wanted:
            self._settle(model)

    def _settle(self, model: str) -> None:
        """Swap in the route wanted for *model* if its versions are ready; called as the state of one changes."""
        wanted = self._wanted.get(model)
        if wanted is None or self._is_out(model):
            return
        live = self._table.routes.get(model)
        lanes, waiting = self._ready_lanes(wanted.routing.document)
        if waiting or not lanes:
            return
        self._leave_out_misfits(wanted, lanes)
        if live is None or live.routing is not wanted.routing or dict(live.lanes) != lanes:
            self._swap(wanted, lanes)

    def not_ready(self) -> Mapping[str, str]:
        """Return what keeps this worker from being ready: culprit → reason; empty when it is."""
        if self._catalog.repository_error and not self._catalog.has_looked:
            return {"repository": self._catalog.repository_error}
        reasons: dict[str, str] = {}
        for model in self._catalog.models():
            if model in self._table.routes or self._is_out(model):
                continue
            states = {status.version: status for status in self._catalog.statuses(model)}
            if model not in self._wanted:  # no version of it was ever good enough for a route: wait only for more
                waiting = [version for version, status in states.items() if status.state is VersionState.LOADING]
                reasons.update({f"{model}/{version}": states[version].reason or "loading" for version in waiting})
                continue
            for version in sorted(self._wanted[model].routing.document.versions()):
                status = states.get(version)
                if status is None:
                    reasons[f"{model}/{version}"] = "routed, and not in the repository"
                elif status.state is not VersionState.READY:
                    reasons[f"{model}/{version}"] = status.reason or status.state.value.lower()
        return reasons

    def _default(self, model: str) -> RouteDocument | None:
        """Return the route of a model that nobody routes: its highest version that is ready.

        Where only routed versions are loaded none of them would ever be, so the highest that did not fail is wanted.
        """
        states = {status.version: status.state for status in self._catalog.statuses(model)}
        able = {VersionState.READY} if self._loads_all else {VersionState.READY, VersionState.UNAVAILABLE}
        candidates = [version for version, state in states.items() if state in able]
        if not candidates or VersionState.LOADING in states.values():
            return None
        return document.parse({"model": model, "split": {str(max(candidates)): 100}})

    def _is_a_dead_end(self, model: str) -> bool:
        """Say whether a default route names a version that turned out to be bad."""
        wanted = self._wanted.get(model)
        if wanted is None or wanted.mark != PROVISIONAL or model in self._table.routes:
            return False
        states = [self._catalog.status(model, version) for version in wanted.routing.document.versions()]
        return all(status is not None and status.state is VersionState.FAILED for status in states)

    def _ready_lanes(self, wanted: RouteDocument) -> tuple[dict[int, Lane], bool]:
        """Return the lanes that *wanted* can use now, and whether one more that is to answer is on its way."""
        lanes: dict[int, Lane] = {}
        waiting = False
        answering = wanted.answering()
        for version in wanted.versions():
            lane = self._lanes.ready(wanted.model, version)
            if lane is not None:
                lanes[version] = lane
                continue
            status = self._catalog.status(wanted.model, version)
            waiting = waiting or (version in answering and status is not None and status.state in COMING)
        return lanes, waiting

    def _leave_out_misfits(self, wanted: Wanted, lanes: dict[int, Lane]) -> None:
        """Take from *lanes* the versions with traffic whose answers callers of the baseline would notice.

        A route is checked where it is written, as far as the signatures are known there; of a version that was loaded
        nowhere by then they are known only here. The baseline answers for such a version, as for one that failed.
        """
        document = wanted.routing.document
        baseline = lanes.get(document.baseline)
        misfit = (
            {} if baseline is None else _misfits(baseline, {v: lanes[v] for v in document.weighted() & lanes.keys()})
        )
        for version in misfit:
            del lanes[version]
        if self._misfits.get(document.model) == (wanted.mark, misfit):
            return
        self._misfits[document.model] = wanted.mark, misfit
        for version, why in misfit.items():
            log.error(
                "route %s revision %d: version %d cannot share a route with the baseline, version %d: %s; the baseline"
                " answers for it",
                document.model, wanted.mark.revision, version, document.baseline, why,
            )  # fmt: skip

    def _swap(self, wanted: Wanted, lanes: dict[int, Lane]) -> None:
        trial = self.trials.adopt(wanted.rollout, wanted.mark.revision, wanted.routing, lanes)
        route = self._make_route(wanted.routing, wanted.mark, lanes, self._metrics, trial)
        _, misfit = self._misfits[wanted.routing.document.model]
        self._tell_log(wanted, lanes.keys() | misfit.keys())
        self._table.put(route)
        self._tell_catalog(route.model)
        self._tell_listeners()

    def _tell_log(self, wanted: Wanted, ready: AbstractSet[int]) -> None:
        """Say which versions of a route are not *ready*: an error where they have traffic, else worth knowing once."""
        document, revision = wanted.routing.document, wanted.mark.revision
        missing = self._needed(document) & document.answering() - ready
        failing = missing & document.weighted()
        if failing:
            log.error(
                "route %s revision %d names versions that are not ready here: %s; the baseline answers for them",
                document.model, revision, sorted(failing),
            )  # fmt: skip
        awaited = missing - failing
        fresh = awaited - self._awaited.get(document.model, frozenset())
        if fresh:
            log.info(
                "route %s revision %d names versions at weight 0 that are not ready here yet: %s",
                document.model, revision, sorted(fresh),
            )  # fmt: skip
        self._awaited[document.model] = awaited

    def _tell_listeners(self) -> None:
        for listener in self._listeners:
            listener()

    def _tell_catalog(self, *models: str) -> None:
        """Protect what is wanted and what is still served of *models* from being unloaded."""
        for model in models:
            wanted, live = self._wanted.get(model), self._table.routes.get(model)
            needed = set() if wanted is None else self._needed(wanted.routing.document)
            if live is not None:
                document = live.routing.document
                needed |= self._needed(document) & (live.lanes.keys() | set(document.aliases.values()))
            if wanted is not None or live is not None:
                self._routed[model] = frozenset(needed)
            else:
                self._routed.pop(model, None)
        self._catalog.want(dict(self._routed), self._orders)

    def _needed(self, wanted: RouteDocument) -> set[int]:
        """Return the versions that *wanted* names, but for those at weight 0 that were ordered to be unloaded.

        A version that a rollout replaced is among them for its time, named or not, and at weight 0 no longer than that.
        """
        orders = self._orders.get(wanted.model, {})
        answering = {wanted.baseline, *wanted.aliases.values()}.union(*(rule.split for rule in wanted.rules))
        answering.update(version for version, weight in wanted.split.items() if weight)
        named, let_go = set(wanted.needed()), set[int]()
        current = self._wanted.get(wanted.model)
        kept = current.kept if current is not None else None
        if kept is not None:
            (named if self._clock() < kept.until else let_go).add(kept.version)
        return {v for v in named if v in answering or (v not in let_go and orders.get(v) != "unload")}

    def _is_out(self, model: str) -> bool:
        """Say whether an operator took the whole model out of service."""
        return self._orders.get(model, {}).get(WHOLE_MODEL) == "unload"


def _misfits(baseline: Lane, lanes: Mapping[int, Lane]) -> Mapping[int, str]:
    """Return those of *lanes*, by version, that callers of the *baseline* would notice, and why."""
    found = {
        version: misfits(compare(baseline.version.signature, lane.version.signature)) for version, lane in lanes.items()
    }
    return {version: summary(each) for version, each in sorted(found.items()) if each}
