"""The one door for every change of a route and every order to load or unload.

The command line, the console, the admin API, the files and the rollout controller all come through
here: validate, compare-and-set in the store with an audit entry, nothing else. Nothing here touches
a worker: they watch the store.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.control.alarms import Alarms
from gateway.control.checks import (
    check_feedback,
    check_health,
    check_optimize,
    check_presence,
    check_reason,
    check_record,
    check_shadows,
    check_signatures,
    check_unload,
)
from gateway.control.deadline import answered_within
from gateway.control.fleet import models_of, versions_of
from gateway.control.preflight import Preflight
from gateway.control.rollout_writes import check_quarantine, edited, fence_of, is_under_way
from gateway.control.rollouts import WRITE_ATTEMPTS, Rollouts
from gateway.control.route_reader import CurrentRoute, RouteReader
from gateway.core import document, routing, seating, stored
from gateway.core.audit import address_of
from gateway.core.errors import (
    NothingToRestore,
    RevisionConflict,
    UnknownModel,
    UnknownRoute,
    UnknownVersion,
)
from gateway.core.notification import of_change
from gateway.core.quality import read_quality
from gateway.core.shadowing import copied_percents, shadows_of
from gateway.core.splits import parse_weights, written
from gateway.core.stored import Held
from gateway.core.versions import WHOLE_MODEL
from gateway.ports.routes import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from gateway.control.fleet import FleetVersion
    from gateway.control.rollouts import FailureRate
    from gateway.control.route_reader import RoutesNow
    from gateway.core.document import RouteDocument
    from gateway.core.quality import Quality
    from gateway.core.routing import Values
    from gateway.core.stored import Quarantined
    from gateway.ports.routes import LastGood, RouteHead, StoredRoute
    from gateway.ports.store import Store
    from gateway.ports.workers import Described, Evaluated, Workers

WRITE_SECONDS: Final = 1.0
"""A change is answered within this time, whatever the store does."""

RESTORE_ENTRIES: Final = 1_000
"""How far back in the history a revision to restore is looked for."""


class Operations:
    """Every change an operator, a file or the gateway itself can make.

    *known* maps each model in the repository to its versions there, *last_good* is what this
    replica served last, *failure_rate* what a version has failed so far, *describe* what its
    metadata says, *evaluated* how its evaluation came out; *replica* names this one among those on
    the store, *alarms* are those of rollouts. Changes raise
    StoreUnavailable within *write_seconds*; after it a change may have landed. What is done with
    rollouts is in ``rollouts``, and what their canaries have to pass first in ``preflight``.
    """

    def __init__(
        self,
        store: Store,
        workers: Workers,
        known: Callable[[], Mapping[str, Collection[int]]],
        last_good: LastGood,
        *,
        failure_rate: FailureRate = lambda _model, _version: 0.0,
        describe: Described = lambda _model, _version: None,
        evaluated: Evaluated = lambda _model, _version, _sha256: (False, "nobody here can look for one"),
        replica: str = "this",
        alarms: Alarms | None = None,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        self._store = store
        self._workers = workers
        self._known = known
        self._last_good = last_good
        self._write_seconds = write_seconds
        self._reader = RouteReader(store, last_good)
        self._ordering = asyncio.Lock()
        self.rollouts = Rollouts(
            store, self._reader, self.versions, failure_rate, alarms or Alarms(), write_seconds=write_seconds
        )
        self.preflight = Preflight(store, workers, self.versions, describe, evaluated, replica)

    def models(self) -> Sequence[str]:
        """Return the models in the repository and those that only workers still know, by name."""
        return sorted({*self._known(), *models_of(self._workers.reports())})

    def versions(self, model: str) -> Mapping[int, FleetVersion]:
        """Return the versions of *model*, ascending. Raises UnknownModel."""
        self._check_model(model)
        return versions_of(model, self._workers.reports(), self._known().get(model, ()))

    async def read_route(self, model: str) -> tuple[RouteDocument, StoredRoute]:
        """Return the route and what the store holds of it. Raises UnknownModel, UnknownRoute or CorruptRoute."""
        self._check_model(model)
        async with answered_within(self._write_seconds):
            found = await self._store.read(model)
        if found is None:
            raise UnknownRoute(model)
        return stored.decode(model, found.payload, found.digest).document, found

    async def routes(self, models: Sequence[str]) -> RoutesNow:
        """Return the routes of *models*; never fails: without the store they are those that were served last."""
        return await self._reader.read(models, self._workers.reports())

    async def history(self, model: str, limit: int, before: str = "") -> Sequence[AuditEntry]:
        """Return at most *limit* audit entries of *model*, newest first; those older than the one with id *before*."""
        self._check_model(model)
        async with answered_within(self._write_seconds):
            return await self._store.history(model, limit=limit, before=before)

    async def quality(self, model: str, seconds: float | None = None) -> Mapping[int, Quality]:
        """Return version → what labels said of it, ever or in the last *seconds*, over the fleet."""
        self._check_model(model)
        async with answered_within(self._write_seconds):
            return read_quality(await self._store.quality(model, seconds=seconds))

    async def assigned(self, model: str) -> Mapping[str, str]:
        """Return ``revision|version`` → remembered answers that the split gave to it, over the fleet."""
        self._check_model(model)
        async with answered_within(self._write_seconds):
            return await self._store.assigned(model)

    async def cohorts(self, model: str, hours: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
        """Return hour since the epoch → what labels of its answers counted by revision, over the fleet."""
        self._check_model(model)
        async with answered_within(self._write_seconds):
            return await self._store.cohorts(model, hours)

    async def explain(self, model: str, key: bytes, values: Values) -> dict[str, Any]:
        """Return which version a unit with *key* gets and why, with the revision that says so.

        *values* are the rest of a pretended request, for rules; where the key comes from holds *key*.
        """
        self._check_model(model)
        current = await self._reader.current(model)
        if current.document is None or current.seating is None:
            raise current.damage or UnknownRoute(model)
        source = current.document.assign.by

        def with_key(kind: str, name: str) -> Sequence[bytes]:
            is_key = source is not None and (kind, name) == (source.kind, source.name)
            return (key,) if is_key else values(kind, name)

        compiled = routing.compile_route(current.document, current.seating)
        explanation = compiled.explain(key, with_key)
        copies = copied_percents(compiled, shadows_of(current.document, current.rollout), explanation)
        return {"model": model, "revision": current.revision, **explanation.as_dict(), "copied": written(copies)}

    async def put_route(
        self, model: str, data: object, *, expected: int | None, who: str, reason: str, force: bool = False
    ) -> tuple[RouteDocument, int]:
        """Replace the route of *model* by the document *data* and return it with its revision.

        *expected* is the revision that is replaced, 0 for none; None takes whatever is current, still
        compared and set in one step. A document that changes nothing is answered with the current
        revision and leaves no audit entry. *force* gives weight also to a file that a rollout took back.
        Another split pauses a rollout that is under way, another baseline ends it.
        Raises RevisionConflict when somebody was faster, VersionQuarantined.
        """
        self._check_model(model)
        new = document.parse(data, model=model)

        def replaced(current: CurrentRoute) -> RouteDocument:
            _refuse_newer(current)
            return new

        return await self._change(model, replaced, expected=expected, who=who, reason=reason, force=force)

    async def check_route(self, model: str, data: object, *, force: bool = False) -> RouteDocument:
        """Return the document *data* as `put_route` would write it, and write nothing. Raises what that would."""
        self._check_model(model)
        new = document.parse(data, model=model)
        async with answered_within(self._write_seconds):
            current = await self._reader.current(model)
        _refuse_newer(current)
        if new != current.document:
            self._check(current, new, force=force)
        return new

    async def set_weights(
        self, model: str, weights: object, *, expected: int | None, who: str, reason: str, force: bool = False
    ) -> tuple[RouteDocument, int]:
        """Replace the split of the route by *weights*; the rest of the document stays. Otherwise as put_route."""
        self._check_model(model)
        split = parse_weights(weights)

        def reweighted(current: CurrentRoute) -> RouteDocument:
            if current.document is None:
                raise current.damage or UnknownRoute(model)
            return current.document.with_split(split)

        return await self._change(model, reweighted, expected=expected, who=who, reason=reason, force=force)

    async def restore(
        self, model: str, revision: int | None, *, expected: int | None, who: str, reason: str
    ) -> tuple[RouteDocument, int]:
        """Bring back what the route was at *revision*, as a new write; or what was served last, after a wipe.

        Without *revision* the store must hold no route: the snapshot's document and seats are written
        under a new incarnation, so nobody changes version. Raises NothingToRestore.
        """
        self._check_model(model)
        if revision is None:
            return await self._restore_last_good(model, who=who, reason=reason)
        entries = await self.history(model, RESTORE_ENTRIES)
        after = next((e.after for e in entries if e.revision == revision and e.after is not None), None)
        if after is None:
            raise NothingToRestore(
                f"the history of model {model!r} has no route at revision {revision}; "
                f"`gateway routes history {model}` shows those it has"
            )
        reason = reason or f"restore of revision {revision}"
        return await self.put_route(model, after, expected=expected, who=who, reason=reason)

    async def seed(self, model: str, route: RouteDocument, *, who: str, reason: str) -> bool:
        """Write *route* if the model has none, and say whether it did. Somebody who was faster is no error.

        A version that FAILED is let through: what the files say must hold as soon as it is repaired,
        and until then its share is answered by the baseline.
        """
        fleet = self.versions(model)
        check_presence(route, fleet, self._known().get(model, ()))
        check_signatures(route, fleet)
        check_shadows(None, route, fleet, self._known().get(model, ()))
        check_record(None, route, fleet)
        check_feedback(None, route, fleet)
        payload = stored.encode(Held(route, seating.seat_route(route)))
        entry = AuditEntry(1, who, reason, "route", None, route.as_dict())
        try:
            async with answered_within(self._write_seconds):
                await self._store.write(model, payload, entry, expected=0)
        except RevisionConflict:
            return False
        return True

    async def load(self, model: str, version: int, *, who: str, reason: str) -> None:
        """Order *version* to be loaded, again if it FAILED. It gets no traffic by that. Raises UnknownVersion.

        A model that was withdrawn is back in service under its route by the same order.
        """
        self._check_version(model, version)
        async with answered_within(self._write_seconds), self._ordering:
            head = await self._head(model)
            if head is not None and head.orders.get(WHOLE_MODEL) == "unload":
                await self._order(model, WHOLE_MODEL, "load", head, who=who, reason=reason)
            await self._order(model, version, "load", head, who=who, reason=reason)

    async def withdraw(self, model: str, *, who: str, reason: str) -> None:
        """Order the whole model out of service. Its route stays, and is served again after any ``load``."""
        self._check_model(model)
        async with answered_within(self._write_seconds), self._ordering:
            await self._order(model, WHOLE_MODEL, "unload", await self._head(model), who=who, reason=reason)

    async def unload(self, model: str, version: int, *, who: str, reason: str) -> None:
        """Order *version* to be unloaded. Raises VersionInUse while it is needed, UnknownVersion.

        Orders are taken one at a time, and versions that were ordered to leave count as gone: two
        orders at once cannot take the last two versions away.
        """
        self._check_version(model, version)
        async with answered_within(self._write_seconds), self._ordering:
            head = await self._head(model)
            check_unload(
                model,
                version,
                route=await self._served(model),
                fleet=self.versions(model),
                reports=self._workers.reports(),
                leaving=[v for v, verb in head.orders.items() if verb == "unload"] if head else [],
            )
            await self._order(model, version, "unload", head, who=who, reason=reason)

    async def _change(
        self,
        model: str,
        change: Callable[[CurrentRoute], RouteDocument],
        *,
        expected: int | None,
        who: str,
        reason: str,
        force: bool,
    ) -> tuple[RouteDocument, int]:
        check_reason(reason)
        attempts = WRITE_ATTEMPTS if expected is None else 1
        async with answered_within(self._write_seconds):
            for attempt in range(1, attempts + 1):
                current = await self._reader.current(model)
                if expected not in {None, current.revision}:
                    raise RevisionConflict(model, expected, current.revision)
                new = change(current)
                if new == current.document:
                    return new, current.revision
                try:
                    return new, await self._write(current, new, who=who, reason=reason, force=force)
                except RevisionConflict:
                    if attempt == attempts:
                        raise
        raise AssertionError("a change ends with an answer or an error")

    async def _write(self, current: CurrentRoute, new: RouteDocument, *, who: str, reason: str, force: bool) -> int:
        quarantine = self._check(current, new, force=force)
        before = current.document.as_dict() if current.document else None
        entry = AuditEntry(current.revision + 1, who, reason, "route", before, new.as_dict(), address=address_of(who))
        rollout = current.rollout
        if rollout is not None and current.document is not None and is_under_way(rollout):
            now = await self._store.now()
            rollout = edited(rollout, current.document, new, who=who, now=now, revision=current.revision)
        held = Held(new, self._seats(current, new), rollout, quarantine)
        fence = fence_of(held)
        payload = stored.encode(held)
        told = of_change(current.held, held, revision=max(entry.revision, 1), who=who, reason=reason)
        written = await self._store.write(new.model, payload, entry, expected=current.revision, fence=fence, told=told)
        return written.revision

    def _check(self, current: CurrentRoute, new: RouteDocument, *, force: bool) -> tuple[Quarantined, ...]:
        """Refuse what cannot be routed here and now; return the quarantine as the write leaves it."""
        check_optimize(new, current.rollout)
        fleet, on_disk = self.versions(new.model), self._known().get(new.model, ())
        check_presence(new, fleet, on_disk, before=current.document)
        check_health(new, fleet)
        check_signatures(new, fleet)
        check_shadows(current.document, new, fleet, on_disk)
        check_record(current.document, new, fleet)
        check_feedback(current.document, new, fleet)
        digests = {version: each.digest for version, each in fleet.items()}
        return check_quarantine(new, current.document, digests, current.quarantine, force=force)

    def _seats(self, current: CurrentRoute, new: RouteDocument) -> seating.Seating:
        """Move as few units as possible, also when the store lost the route and its seats are on disk only."""
        held = current if current.document else self._reader.last_good(new.model)
        if held is None or held.document is None or held.seating is None:
            return seating.seat_route(new)
        return seating.reseat_route(held.document, held.seating, new)

    async def _restore_last_good(self, model: str, *, who: str, reason: str) -> tuple[RouteDocument, int]:
        check_reason(reason)
        held = self._reader.last_good(model)
        if held is None or held.document is None or held.seating is None:
            raise NothingToRestore(f"this gateway has no snapshot of the route of model {model!r}; name a revision")
        reason = reason or "restore of the snapshot"
        entry = AuditEntry(1, who, reason, "route", None, held.document.as_dict(), address=address_of(who))
        rollout = replace(held.rollout, since=1) if held.rollout else None
        written_as = Held(held.document, held.seating, rollout, held.quarantine)
        async with answered_within(self._write_seconds):
            told = of_change(None, written_as, revision=1, who=who, reason=entry.reason)
            try:
                written = await self._store.write(
                    model, stored.encode(written_as), entry, expected=0, fence=fence_of(written_as), told=told
                )
            except RevisionConflict as exc:
                raise NothingToRestore(
                    f"the store holds revision {exc.actual} of the route {model!r}; name the revision to restore"
                ) from exc
        return held.document, written.revision

    async def _order(
        self, model: str, version: int, verb: str, head: RouteHead | None, *, who: str, reason: str
    ) -> None:
        check_reason(reason)
        revision = max(head.revision, 0) if head else 0
        entry = AuditEntry(revision, who, reason, verb, None, None, address=address_of(who))
        await self._store.order(model, version, verb, entry)

    async def _head(self, model: str) -> RouteHead | None:
        return (await self._store.heads([model])).get(model)

    async def _served(self, model: str) -> RouteDocument | None:
        """Return the route that workers follow: the store's, or while it shows none, the one they hold."""
        current = await self._reader.current(model)
        held = current if current.document else self._reader.last_good(model)
        return held.document if held else None

    def _check_model(self, model: str) -> None:
        if model not in self._known() and model not in models_of(self._workers.reports()):
            raise UnknownModel(model)

    def _check_version(self, model: str, version: int) -> None:
        if version not in self.versions(model):
            raise UnknownVersion(model, str(version))


def _refuse_newer(current: CurrentRoute) -> None:
    """Refuse to replace a route that a newer release wrote."""
    if current.damage is not None and current.damage.reason == "newer_schema":
        raise current.damage
