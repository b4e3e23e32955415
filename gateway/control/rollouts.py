"""Everything that an operator or the controller may do with a rollout: part of the one door for changes.

Each is one compare-and-set of the route with its rollout, its quarantine and its audit entry. Judging is not done
here: ``core.analysis`` says what the evidence means, ``core.steering`` what to do about it.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.control.checks import check_candidate, check_reason
from gateway.control.deadline import answered_within
from gateway.control.rollout_status import assessed
from gateway.control.rollout_writes import RouteWrite, changed, is_under_way, quarantined, written_as
from gateway.core import rollout as rollouts
from gateway.core import stored
from gateway.core.errors import (
    InvalidDocument,
    NoRollout,
    RevisionConflict,
    RolloutUnderWay,
    RouteOptimized,
    UnknownRoute,
    VersionQuarantined,
)
from gateway.core.latency import told
from gateway.core.members import at
from gateway.core.outputs import told_deciles
from gateway.core.phases import Event, MoveRefused
from gateway.core.plan import read_plan

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.control.alarms import Alarms
    from gateway.control.fleet import FleetVersion
    from gateway.control.rollout_status import Assessed
    from gateway.control.route_reader import CurrentRoute, RouteReader
    from gateway.core.plan import Plan
    from gateway.core.rollout import Change, Rollout
    from gateway.core.stored import Held
    from gateway.ports.store import Store

    FailureRate = Callable[[str, int], float]
    """Model and version → the fraction of its requests that failed so far."""

    Build = Callable[[Held, int], Awaitable[RouteWrite | None]]
    """Route now, its revision → what to write, None for nothing."""

WRITE_ATTEMPTS: Final = 5
"""How often a write that takes whatever is current tries again after somebody was faster."""


class Rollouts:
    """The rollouts of all models. Changes raise StoreUnavailable within *write_seconds*; after it they may have landed.

    *fleet_of* returns the versions of a model, or raises UnknownModel. *expected* is the revision of the route that a
    change is made for, None for whatever is current; RevisionConflict says that somebody was faster.
    """

    def __init__(
        self,
        store: Store,
        reader: RouteReader,
        fleet_of: Callable[[str], Mapping[int, FleetVersion]],
        failure_rate: FailureRate,
        alarms: Alarms,
        *,
        write_seconds: float,
    ) -> None:
        self._store = store
        self._reader = reader
        self._fleet_of = fleet_of
        self._failure_rate = failure_rate
        self.alarms = alarms
        self._write_seconds = write_seconds

    async def look(self, model: str) -> tuple[CurrentRoute, Assessed]:
        """Return the route of *model* and what is known of its last rollout now. Raises NoRollout."""
        self._fleet_of(model)
        async with answered_within(self._write_seconds):
            current = await self._reader.current(model)
            if current.rollout is None:
                raise NoRollout(model)
            assessment = await assessed(self._store, model, current.rollout)
        return current, assessment.with_alarms(self.alarms.of(model, current.rollout))

    async def start(
        self,
        model: str,
        candidates: Sequence[int],
        plan: Mapping[str, Any],
        *,
        expected: int | None,
        who: str,
        reason: str,
        supersede: bool = False,
        force: bool = False,
        dry_run: bool = False,
    ) -> tuple[Rollout, int]:
        """Start a rollout of *candidates* and return it with the route's revision; the controller does the rest.

        *plan* is what a route's member ``rollout`` holds; empty takes the route's. *supersede* ends a rollout that is
        under way and returns to the split before it. *force* lifts the quarantine of a file that was taken back. With
        *dry_run* all is checked and nothing written: the rollout is the one that would be, the revision the one now.
        Raises UnknownVersion, VersionUnavailable, VersionQuarantined, RolloutUnderWay, RouteOptimized or
        InvalidDocument.
        """
        given = read_plan(plan) if plan else None

        async def build(held: Held, revision: int) -> RouteWrite:
            self._check_start(held, candidates, supersede=supersede, force=force)
            now = await self._store.now()
            document, said = held.document, f"rollout of version {_listed(candidates)}"
            if held.rollout is not None and is_under_way(held.rollout):
                ended = rollouts.move(held.rollout, Event.SUPERSEDE, now=now, revision=revision, reason="superseded")
                document = document.with_split(ended.split or document.split)
                said += f" in place of that of version {_listed(held.rollout.candidates)}"
            chosen = given or self._own_plan(held)
            self._check_alarms(chosen)
            rollout = rollouts.start(
                secrets.token_hex(8),
                candidates=tuple(candidates),
                baseline=document.baseline,
                plan=chosen,
                before=document.split,
                baseline_rate=self._failure_rate(model, document.baseline),
                now=now,
            )
            change = rollouts.Change(replace(rollout, reason=reason), document.split, document.baseline)
            said += f": {reason}" if reason else ""
            return changed(held, change, revision, who=who, reason=said, digest_of=partial(self._digest, model))

        return await self._write(model, build, expected=expected, reason=reason, dry_run=dry_run)

    async def move(
        self,
        model: str,
        event: Event,
        *,
        expected: int | None,
        who: str,
        reason: str,
        force: bool = False,
        full: bool = False,
        version: int | None = None,
    ) -> tuple[Rollout, int]:
        """Do what an operator asks, and return the rollout with the route's revision. Raises NoRollout or MoveRefused.

        A pause of what is paused changes nothing. *force* promotes out of a hold, *full* to the end at once, *version*
        the one of several candidates that goes on alone. A retry
        starts anew from the split that the route has now, and lifts the quarantine of the candidate's file.
        """

        async def build(held: Held, revision: int) -> RouteWrite | None:
            old = held.rollout
            if old is None:
                raise NoRollout(model)
            chosen = "" if version is None else f" version {version}"
            said = f"{event}{chosen}" + (f": {reason}" if reason else f" by {who}")
            change = rollouts.move(
                old, event, now=await self._store.now(), revision=revision, reason=said, force=force, full=full,
                new_id=secrets.token_hex(8), version=version,
            )  # fmt: skip
            if event is Event.RETRY:
                change = self._again(held, old, change)
            if change.rollout == old:
                return None
            return changed(
                held, change, revision, who=who, reason=f"rollout of version {_listed(old.candidates)}: {said}",
                digest_of=partial(self._digest, model),
            )  # fmt: skip

        return await self._write(model, build, expected=expected, reason=reason)

    async def apply(
        self, model: str, change: Change, *, expected: int, who: str, reason: str, guard: str = ""
    ) -> tuple[Rollout, int]:
        """Write *change*, which was made for the revision *expected*. *guard*: what a rollback is because of."""

        async def build(held: Held, revision: int) -> RouteWrite:
            digest_of = partial(self._digest, model)
            return changed(held, change, revision, who=who, reason=reason, guard=guard, digest_of=digest_of)

        return await self._write(model, build, expected=expected)

    async def absent(self, model: str, seconds: float, *, expected: int, who: str) -> tuple[Rollout, int]:
        """Note that the store was away for *seconds*, which a rollout's clock does not count."""

        async def build(held: Held, revision: int) -> RouteWrite:
            assert held.rollout is not None
            after = replace(held, rollout=held.rollout.after_absence(seconds))
            reason = f"the store was away for {seconds:.0f} s, which do not count"
            return written_as(held, after, revision, who=who, reason=reason)

        return await self._write(model, build, expected=expected)

    async def freeze(self, model: str, frozen: Rollout, *, expected: int, who: str) -> tuple[Rollout, int]:
        """Hold runs and outputs against what *frozen* has from the next revision on; the rollout stays where it is."""

        async def build(held: Held, revision: int) -> RouteWrite:
            assert held.rollout is not None
            after = replace(held.rollout, limits=frozen.limits, deciles=frozen.deciles)
            reason = _what_is_frozen(held.rollout, after)
            return written_as(held, replace(held, rollout=after), revision, who=who, reason=reason)

        return await self._write(model, build, expected=expected)

    async def _write(
        self, model: str, build: Build, *, expected: int | None, reason: str = "", dry_run: bool = False
    ) -> tuple[Rollout, int]:
        check_reason(reason)
        self._fleet_of(model)
        attempts = WRITE_ATTEMPTS if expected is None else 1
        async with answered_within(self._write_seconds):
            for attempt in range(1, attempts + 1):
                current = await self._reader.current(model)
                if expected not in {None, current.revision}:
                    raise RevisionConflict(model, expected, current.revision)
                held = current.held
                if held is None:
                    raise current.damage or UnknownRoute(model)
                write = await build(held, current.revision)
                if write is None:
                    return _rollout_of(held), current.revision
                if dry_run:
                    return _rollout_of(write.held), current.revision
                try:
                    return _rollout_of(write.held), await self._store_write(model, write, current.revision)
                except RevisionConflict:
                    if attempt == attempts:
                        raise
        raise AssertionError("a change ends with an answer or an error")

    async def _store_write(self, model: str, write: RouteWrite, expected: int) -> int:
        payload = stored.encode(write.held)
        written = await self._store.write(
            model, payload, write.entry, expected=expected, fence=write.fence, told=write.told
        )
        return written.revision

    def _check_start(self, held: Held, candidates: Sequence[int], *, supersede: bool, force: bool) -> None:
        model, fleet = held.document.model, self._fleet_of(held.document.model)
        if held.document.optimize is not None:
            raise RouteOptimized(model)
        for candidate in candidates:
            with at("candidate" if len(candidates) == 1 else "candidates"):
                check_candidate(held.document, candidate, fleet)
            found = quarantined(candidate, self._digest(model, candidate), held.quarantine)
            if found is not None and not force:
                raise VersionQuarantined(model, candidate, found.reason)
        if held.rollout is not None and is_under_way(held.rollout) and not supersede:
            raise RolloutUnderWay(model, held.rollout.candidates, held.rollout.phase)

    def _check_alarms(self, plan: Plan) -> None:
        if plan.alarms and not self.alarms.can_ask:
            reason = "cannot be asked: start the gateway with --prometheus-url, or leave them out"
            raise InvalidDocument("alarms", reason)

    def _own_plan(self, held: Held) -> Plan:
        if held.document.rollout is None:
            raise InvalidDocument(
                "steps", "there is no plan: write the steps here, or the member rollout into the route"
            )
        return held.document.rollout

    def _again(self, held: Held, old: Rollout, change: Change) -> Change:
        """Return the *change* of a retry for the route as it is now, which may not be what the *old* one left."""
        model, document = held.document.model, held.document
        if document.optimize is not None:
            raise RouteOptimized(model)
        if document.baseline != old.baseline:
            why = f" because version {document.baseline} is the baseline by now; start a new one"
            raise MoveRefused(old.phase, Event.RETRY, why)
        for candidate in old.candidates:
            with at("candidate" if len(old.candidates) == 1 else "candidates"):
                check_candidate(document, candidate, self._fleet_of(model))
        with at("split"):
            return change._replace(rollout=replace(change.rollout, before=document.split))

    def _digest(self, model: str, version: int) -> str:
        found = self._fleet_of(model).get(version)
        return found.digest if found else ""


def _listed(candidates: Sequence[int]) -> str:
    return ", ".join(map(str, candidates))


def _what_is_frozen(before: Rollout, after: Rollout) -> str:
    """Return the reason of the revision from which on runs and outputs are held against what *after* has."""
    limits = {rows: edges for rows, edges in after.limits.items() if rows not in before.limits}
    parts = []
    if limits:
        parts.append(f"the baseline's runs take at most, 50/90/99 % of them, {told(limits)}: slower ones count")
    if not before.deciles and after.deciles:
        parts.append(f"the baseline's outputs have the deciles {told_deciles(after.deciles)}: all versions' count")
    return f"from now on: {'; '.join(parts)}"


def _rollout_of(held: Held) -> Rollout:
    assert held.rollout is not None
    return held.rollout
