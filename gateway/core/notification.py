"""What is told to the outside of a decision: what happened to a model, why, and what that made of the weights.

Made of the same values that the decision writes, so that a store keeps both or neither. Nothing here knows who is
told, or how.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, members_of, shown
from gateway.core.phases import ENDED, Phase
from gateway.core.splits import version_of, weights_of, written
from gateway.core.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.rollout import Rollout
    from gateway.core.stored import Held

MAX_REASON: Final = 1_000
"""Characters of a reason that are told."""

MEMBERS: Final = ("type", "model", "revision", "actor", "reason", "weights", "rollout", "version")


class Kind(StrEnum):
    """What happened. The values are what configuration and receivers call it."""

    STARTED = "rollout.started"
    ADVANCED = "rollout.advanced"
    """It entered its next step, its shadow or its last watch."""
    HELD = "rollout.held"
    PAUSED = "rollout.paused"
    """By somebody, by a gate that waits for approval, or because the weights were changed by hand."""
    RESUMED = "rollout.resumed"
    ROLLED_BACK = "rollout.rolled_back"
    SUCCEEDED = "rollout.succeeded"
    ABORTED = "rollout.aborted"
    """By somebody, by another baseline, or because another rollout took its place."""
    CHANGED = "route.changed"
    """By somebody's hand: a write of the route, its weights, a restore."""
    QUARANTINED = "version.quarantined"
    ALERT = "breaker.alert"
    """One worker alone finds a canary bad and asks it no more; the fleet does not."""
    DRIFTED = "drift.found"
    """What a version is asked, or what it answers, looks like its reference no more."""
    UNUSUAL = "anomaly.found"
    """A version's latency, errors or traffic are out of its own ordinary."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing that happened to *model*.

    revision: of the route after it. actor: who did it, ``gateway`` for itself. reason: in words. before, after:
    version → weight of the split; the same where no weight moved, *before* empty where there was no route. rollout:
    what is said of the rollout (``_rollout_view``), None where the thing is about none. version: what it is about,
    where that is one.
    """

    kind: Kind
    model: str
    revision: int
    actor: str
    reason: str
    before: Mapping[int, int]
    after: Mapping[int, int]
    rollout: Mapping[str, Any] | None = None
    version: int | None = field(default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; versions are text, as in a route."""
        return {
            "type": self.kind.value,
            "model": self.model,
            "revision": self.revision,
            "actor": self.actor,
            "reason": self.reason[:MAX_REASON],
            "weights": {"before": written(self.before), "after": written(self.after)},
            "rollout": None if self.rollout is None else dict(self.rollout),
            "version": None if self.version is None else str(self.version),
        }

    def encoded(self) -> bytes:
        """Return the bytes that a store keeps."""
        return json.dumps(self.as_dict(), separators=(",", ":"), allow_nan=False).encode()


def read_notification(payload: bytes) -> Notification:
    """Return what *payload* keeps. Raises InvalidDocument: a store may hold anything."""
    data = members_of(strict_json(payload), MEMBERS, needed=MEMBERS, what="notification")
    kind, rollout, version = data["type"], data["rollout"], data["version"]
    if kind not in list(Kind):
        raise InvalidDocument("type", f"{shown(kind)} is no kind of notification")
    with at("revision"):
        if type(data["revision"]) is not int:
            raise InvalidDocument("", f"{shown(data['revision'])} is no revision")
    for name in ("model", "actor", "reason"):
        if not isinstance(data[name], str):
            raise InvalidDocument(name, f"{shown(data[name])} is no text")
    if not isinstance(rollout, dict | None):
        raise InvalidDocument("rollout", f"{shown(rollout)} is no object")
    with at("weights"):
        weights = members_of(data["weights"], ("before", "after"), needed=("before", "after"), what="pair of splits")
        before, after = (weights_of(weights[name]) if weights[name] else {} for name in ("before", "after"))
    return Notification(
        Kind(kind), data["model"], data["revision"], data["actor"], data["reason"], before, after, rollout,
        None if version is None else version_of(version),
    )  # fmt: skip


def of_rollout(before: Held, after: Held, *, revision: int, who: str, reason: str) -> Sequence[Notification]:
    """Return what a write that makes *after* of *before* tells because of a rollout; nothing where it only keeps books.

    revision: of the write.
    """
    said = _Said(before, after, revision, who, reason)
    old, new = before.rollout, after.rollout
    told = []
    if new is not None and (old is None or old.id != new.id):
        if old is not None and old.phase not in ENDED:
            others = ", ".join(map(str, new.candidates))
            told.append(said.rollout(Kind.ABORTED, old, f"a rollout of version {others} took its place"))
        told.append(said.rollout(Kind.STARTED, new, reason))
    elif new is not None and old is not None:
        told += said.failures(old, new)
        kind = _kind(old, new)
        if kind is not None and kind is not Kind.ROLLED_BACK:
            told.append(said.rollout(kind, new, reason))
    known = {each.digest for each in before.quarantine}
    told += [
        said.about(Kind.QUARANTINED, each.reason, version=each.version)
        for each in after.quarantine
        if each.digest not in known
    ]
    return told


def of_change(before: Held | None, after: Held, *, revision: int, who: str, reason: str) -> Sequence[Notification]:
    """Return what a change of the route by hand tells: itself, and what it did to a rollout."""
    changed = _Said(before, after, revision, who, reason).about(Kind.CHANGED, reason)
    if before is None or after.rollout is None:
        return [changed]
    consequence = of_rollout(before, after, revision=revision, who=who, reason=after.rollout.reason)
    return [changed, *consequence]


def alert(model: str, revision: int, *, actor: str, reason: str, version: int) -> Notification:
    """Return what one worker says of *version*, of which it finds more wrong than the fleet does."""
    return Notification(Kind.ALERT, model, revision, actor, reason, {}, {}, version=version)


def noticed(kind: Kind, model: str, revision: int, *, actor: str, reason: str, version: int) -> Notification:
    """Return what was seen of *version* that nobody decided: of *kind* DRIFTED or UNUSUAL."""
    return Notification(kind, model, revision, actor, reason, {}, {}, version=version)


@dataclass(frozen=True, slots=True)
class _Said:
    """What all notifications of one write share."""

    before: Held | None
    after: Held
    revision: int
    who: str
    reason: str

    def about(self, kind: Kind, reason: str, **given: Any) -> Notification:
        old = self.before.document.split if self.before else {}
        document = self.after.document
        return Notification(kind, document.model, self.revision, self.who, reason, old, document.split, **given)

    def rollout(self, kind: Kind, rollout: Rollout, reason: str) -> Notification:
        return self.about(kind, reason, rollout=_rollout_view(rollout), version=rollout.candidate)

    def failures(self, old: Rollout, new: Rollout) -> Sequence[Notification]:
        """Return one for each candidate that is taken back between two states of one rollout."""
        known, view = old.failed(), _rollout_view(new)
        return [
            self.about(Kind.ROLLED_BACK, why, rollout=view, version=version)
            for version, why in new.failed().items()
            if version not in known
        ]


def _kind(old: Rollout, new: Rollout) -> Kind | None:
    """Return what happened between two states of one rollout, None for nothing that is told."""
    if (old.phase, old.step) == (new.phase, new.step):
        return None
    if new.phase in _OF_PHASE:
        return _OF_PHASE[new.phase]
    if old.origin is not None and old.since == new.since:
        return Kind.RESUMED
    return None if new.phase is Phase.PREFLIGHT else Kind.ADVANCED


_OF_PHASE: Final = {
    Phase.HOLD: Kind.HELD,
    Phase.PAUSED: Kind.PAUSED,
    Phase.ROLLED_BACK: Kind.ROLLED_BACK,
    Phase.SUCCEEDED: Kind.SUCCEEDED,
    Phase.ABORTED: Kind.ABORTED,
}


def _rollout_view(rollout: Rollout) -> dict[str, Any]:
    """Return which rollout it is and where it stands; steps count from 1.

    *candidates* are those that are in it, or were when it ended; *candidate* is the only one, null for several.
    """
    return {
        "id": rollout.id,
        "candidate": None if rollout.candidate is None else str(rollout.candidate),
        "candidates": [str(version) for version in rollout.live],
        "baseline": str(rollout.baseline),
        "phase": rollout.phase.value,
        "step": rollout.step + 1 if rollout.goal is Phase.STEP else None,
        "steps": len(rollout.plan.steps),
        "gate": rollout.gate,
    }
