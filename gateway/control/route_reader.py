"""Routes as they stand now: decoded from the store, or while it is away, as this replica served them last.

Reads only. What cannot be decoded is a value here (``damage``) and never an empty route.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.core import stored
from gateway.core.errors import CorruptRoute, StoreUnavailable
from gateway.core.stored import Held

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.document import RouteDocument
    from gateway.core.rollout import Rollout
    from gateway.core.seating import Seating
    from gateway.core.stored import Quarantined
    from gateway.ports.routes import LastGood, RouteHead, RouteStore, StoredRoute
    from gateway.ports.workers import WorkerReport


@dataclass(frozen=True, slots=True)
class CurrentRoute:
    """A route and its revision. Revision 0 is no route, a negative one is garbage that *damage* explains.

    *damage* says why there is no document although something is stored. *rollout* is the last one, ended or not.
    """

    revision: int
    document: RouteDocument | None = None
    seating: Seating | None = None
    damage: CorruptRoute | None = None
    rollout: Rollout | None = None
    quarantine: tuple[Quarantined, ...] = ()

    @property
    def held(self) -> Held | None:
        """All that is written at once; None where there is no route that can be used."""
        if self.document is None or self.seating is None:
            return None
        return Held(self.document, self.seating, self.rollout, self.quarantine)


NO_ROUTE = CurrentRoute(0)


@dataclass(frozen=True, slots=True)
class RoutesNow:
    """The routes of several models, those without one left out. *store_up* is false where they come from the disk."""

    store_up: bool
    routes: Mapping[str, CurrentRoute] = field(default_factory=dict)

    def of(self, model: str) -> CurrentRoute:
        return self.routes.get(model, NO_ROUTE)


class RouteReader:
    """Reads routes and remembers what it decoded, by digest: most reads find what was there before."""

    def __init__(self, store: RouteStore, last_good: LastGood) -> None:
        self._store = store
        self._last_good = last_good
        self._decoded: dict[str, tuple[str, CurrentRoute]] = {}

    async def current(self, model: str) -> CurrentRoute:
        """Return the route that the store holds now; garbage is *damage*, at the revision that replaces it.

        Raises StoreUnavailable.
        """
        try:
            found = await self._store.read(model)
        except CorruptRoute as exc:
            head = (await self._store.heads([model])).get(model)
            return CurrentRoute(head.revision if head else 0, damage=exc)
        return NO_ROUTE if found is None else _decode(model, found)

    async def read(self, models: Sequence[str], reports: Sequence[WorkerReport]) -> RoutesNow:
        """Return the routes of *models*, from the store, else from what *reports* and the disk say was served last."""
        try:
            heads = await self._store.heads(models)
            routes = {model: await self._known_or_read(model, head) for model, head in heads.items() if head.revision}
        except StoreUnavailable:
            return RoutesNow(False, self._held(models, reports))
        return RoutesNow(True, routes)

    def last_good(self, model: str) -> CurrentRoute | None:
        """Return the route of *model* in this replica's snapshot, None where it holds none that can be used."""
        found = self._last_good.read().get(model)
        if found is None:
            return None
        route = _decode(model, found)
        return None if route.damage else route

    async def _known_or_read(self, model: str, head: RouteHead) -> CurrentRoute:
        digest, route = self._decoded.get(model, ("", NO_ROUTE))
        if not head.digest or digest != head.digest or route.revision != head.revision:
            route = await self.current(model)
            self._decoded[model] = (head.digest, route)
        return route

    def _held(self, models: Sequence[str], reports: Sequence[WorkerReport]) -> Mapping[str, CurrentRoute]:
        """Workers say which revision they serve, all on their way to the highest; the disk has what it says."""
        snapshot = self._last_good.read()
        held = {}
        for model in models:
            served = max((report.revisions.get(model, 0) for report in reports), default=0)
            route = _decode(model, snapshot[model]) if model in snapshot else NO_ROUTE
            if served or route.document:
                held[model] = replace(route, revision=served or route.revision)
        return held


def _decode(model: str, found: StoredRoute) -> CurrentRoute:
    try:
        held = stored.decode(model, found.payload, found.digest)
    except CorruptRoute as exc:
        return CurrentRoute(found.revision, damage=exc)
    return CurrentRoute(found.revision, held.document, held.seating, rollout=held.rollout, quarantine=held.quarantine)
