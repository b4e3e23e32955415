"""What a move of a rollout makes of all that is written with its route: the pure half of every such write.

The operators' door, the controller and a worker's rollback build the same value here and differ only in who reads and
compares. A rollout that is under watch puts a fence on every write of its route, also on those that are not about it:
without one no evidence is taken for the new revision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.control.checks import MAX_REASON, weighted
from gateway.core.audit import address_of
from gateway.core.errors import VersionQuarantined
from gateway.core.evidence import written_slots
from gateway.core.notification import of_rollout
from gateway.core.phases import ENDED, LIVE, Event, Phase
from gateway.core.rollout import move
from gateway.core.seating import reseat_route
from gateway.core.slots import seats
from gateway.core.stored import Held, Quarantined
from gateway.ports.routes import AuditEntry, Fence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.candidates import Left
    from gateway.core.document import RouteDocument
    from gateway.core.notification import Notification
    from gateway.core.rollout import Change, Rollout

    DigestOf = Callable[[int], str]
    """A version of the model → the SHA-256 of its file, hexadecimal; empty where that is not known."""

ROLLOUT: Final = "rollout"
"""The action of an audit entry that a rollout left."""

WHO: Final = "gateway"
"""Whose name is in the history where a rollout moves itself."""


@dataclass(frozen=True, slots=True)
class RouteWrite:
    """All that one compare-and-set writes. *entry* is for the revision after the one that is replaced.

    *told*: what goes out to whoever is notified, written with the rest.
    """

    held: Held
    entry: AuditEntry
    fence: Fence | None
    told: Sequence[Notification] = ()


def is_under_way(rollout: Rollout | None) -> bool:
    """Say whether a rollout is there and has not ended."""
    return rollout is not None and rollout.phase not in ENDED


def fence_of(held: Held) -> Fence | None:
    """Return the fence of a route that is written as *held*: none before a rollout's preflight and after its end."""
    rollout = held.rollout
    if rollout is None or rollout.phase not in LIVE:
        return None
    return Fence(rollout.id, written_slots(seats(held.document.split)))


def written_as(before: Held, after: Held, revision: int, *, who: str, reason: str) -> RouteWrite:
    """Return the write that makes *after* of *before*, which is at *revision*, because of a rollout."""
    entry = AuditEntry(
        revision + 1, who, reason[:MAX_REASON], ROLLOUT, before.document.as_dict(), after.document.as_dict(),
        address=address_of(who),
    )  # fmt: skip
    told = of_rollout(before, after, revision=revision + 1, who=who, reason=reason)
    return RouteWrite(after, entry, fence_of(after), told)


def changed(
    held: Held, change: Change, revision: int, *, who: str, reason: str, guard: str = "", digest_of: DigestOf
) -> RouteWrite:
    """Return the write that *change* makes of *held* at *revision*.

    A rollback names its *guard* in front of the reason, and quarantines the files of the canaries that failed by their
    digests; one that is not known cannot be quarantined. A retry lifts the quarantine of its canaries.
    """
    document = replace(held.document, split=change.of(held.document.split), baseline=change.baseline)
    seating = held.seating if document == held.document else reseat_route(held.document, held.seating, document)
    rollout, quarantine = change.rollout, held.quarantine
    if change.failed:
        reason = reason if reason.startswith(f"{guard}: ") or not guard else f"{guard}: {reason}"
        rollout = replace(rollout, reason=reason, left=_told(rollout.left, change.failed, reason))
        for version in change.failed:
            quarantine = _quarantined_too(quarantine, version, digest_of(version), reason)
    elif rollout.phase is Phase.PENDING:
        for version in rollout.candidates:
            digest = digest_of(version)
            quarantine = tuple(each for each in quarantine if each.version != version and each.digest != digest)
    after = Held(document, seating, rollout, quarantine)
    return written_as(held, after, revision, who=who, reason=reason)


def taken_back(
    held: Held, rollout_id: str, version: int, revision: int, *, reason: str, guard: str, digest_of: DigestOf
) -> RouteWrite | None:
    """Return the write that takes the canary *version* of the rollout *rollout_id* back; None where that is over."""
    rollout = held.rollout
    if rollout is None or rollout.id != rollout_id or rollout.phase not in LIVE or version not in rollout.live:
        return None
    change = move(rollout, Event.FAIL, now=rollout.started, revision=revision, reason=reason, version=version)
    return changed(held, change, revision, who=WHO, reason=reason, guard=guard, digest_of=digest_of)


def _told(left: Mapping[int, Left], failed: tuple[int, ...], reason: str) -> Mapping[int, Left]:
    return {version: each._replace(reason=reason) if version in failed else each for version, each in left.items()}


def _quarantined_too(
    quarantine: tuple[Quarantined, ...], version: int, digest: str, reason: str
) -> tuple[Quarantined, ...]:
    if not digest:
        return quarantine
    kept = tuple(each for each in quarantine if each.digest != digest)
    return (*kept, Quarantined(digest, version, reason[:MAX_REASON]))


def edited(rollout: Rollout, old: RouteDocument, new: RouteDocument, *, who: str, now: float, revision: int) -> Rollout:
    """Return what a change of the route by hand makes of the *rollout* that is under way.

    Another split pauses it, and the evidence stays; another baseline ends it, because nothing could be compared any
    more. Everything else lets it go on. now: seconds of the store's clock.
    """
    if new.baseline != old.baseline:
        reason = f"{who} made version {new.baseline} the baseline"
        return move(rollout, Event.ABORT, now=now, revision=revision, reason=reason).rollout
    if new.split != old.split:
        reason = f"{who} changed the weights"
        return move(rollout, Event.PAUSE, now=now, revision=revision, reason=reason).rollout
    return rollout


def check_quarantine(
    new: RouteDocument,
    old: RouteDocument | None,
    digests: Mapping[int, str],
    quarantine: tuple[Quarantined, ...],
    *,
    force: bool,
) -> tuple[Quarantined, ...]:
    """Return what stays in quarantine when *new* replaces *old*.

    *digests* are those of the model's files. Weight for a quarantined file lifts its quarantine with *force*, and
    raises VersionQuarantined without it. A share that was there before, such as a rule's, is no new one.
    """
    before = {version for _, version in weighted(old)} if old else set()
    for version in {version for _, version in weighted(new)} - before:
        found = quarantined(version, digests.get(version, ""), quarantine)
        if found is not None and not force:
            raise VersionQuarantined(new.model, version, found.reason)
        quarantine = tuple(each for each in quarantine if each is not found)
    return quarantine


def quarantined(version: int, digest: str, quarantine: tuple[Quarantined, ...]) -> Quarantined | None:
    """Return the entry of *version*'s file: by *digest* where that is known, else by the version's number."""
    known = [each for each in quarantine if (each.digest == digest if digest else each.version == version)]
    return known[-1] if known else None
