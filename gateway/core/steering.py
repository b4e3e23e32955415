"""What a rollout does next: ``next_action(snapshot, verdict, now)``, the whole of the controller's judgement.

The same snapshot gives the same action however often it is asked, and an action carries the revision that it was made
for: a lease that changes hands repeats nothing. FAIL is answered in every phase under watch. HOLD never raises a
weight, and INCONCLUSIVE only under ``on_insufficient_data: advance``, which the plan's author asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.core.phases import ENDED, Event, Phase
from gateway.core.rollout import move
from gateway.core.verdicts import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.rollout import Change, Rollout
    from gateway.core.verdicts import Verdict

PREFLIGHT_PATIENCE_SECONDS: Final = 60
"""A canary that cannot be loaded within this time is for somebody to look at; the rollout waits on."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known: the *rollout*, the route's *revision*, and whether each candidate that is in it is loaded and warm
    on every living worker of every replica and has passed what it must before its first step (*is_ready*); *lacks*
    says what of that is still to come, and *failed*, by candidate, what was not passed. *waits_for* says what others
    have to answer before anything may be raised, or taken back for lack of evidence; empty for nothing."""

    rollout: Rollout
    revision: int
    is_ready: bool = False
    lacks: str = ""
    failed: Mapping[int, str] = field(default_factory=dict)
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing. *alert*: somebody should look, because it will not go on by itself."""

    reason: str
    alert: bool = False


@dataclass(frozen=True, slots=True)
class _Move:
    """Write *change* if the route is still at *revision*; say *reason* in history and to whoever is notified."""

    change: Change
    revision: int
    reason: str


@dataclass(frozen=True, slots=True)
class SetWeight(_Move):
    """Go on to the next phase or step."""


@dataclass(frozen=True, slots=True)
class Promote(_Move):
    """The only candidate that is left gets all of the split and becomes the baseline."""


@dataclass(frozen=True, slots=True)
class Rollback(_Move):
    """The candidates that failed go to 0 and their digests are quarantined, because of *guard*."""

    guard: str


@dataclass(frozen=True, slots=True)
class Hold(_Move):
    """Stand still."""


@dataclass(frozen=True, slots=True)
class Pause(_Move):
    """Stand still until somebody approves."""


@dataclass(frozen=True, slots=True)
class Resume(_Move):
    """Go on from where it stood still."""


Action = Wait | SetWeight | Promote | Rollback | Hold | Pause | Resume


def next_action(snapshot: Snapshot, verdict: Verdict, now: float) -> Action:
    """Return what to do with a rollout of which *verdict* is said at *now*, seconds of the store's clock."""
    rollout = snapshot.rollout
    if rollout.phase in ENDED:
        return Wait(f"it is {rollout.phase}")
    if rollout.phase is Phase.PENDING:
        return _act(SetWeight, snapshot, Event.DONE, now, "load and warm the canary")
    if verdict.kind is Kind.FAIL:
        return _back(snapshot, Event.FAIL, now, verdict.text, verdict.reasons[0].guard, verdict.version)
    if snapshot.failed and rollout.goal is Phase.PREFLIGHT:
        version, reason = next(iter(snapshot.failed.items()))
        return _back(snapshot, Event.FAIL, now, reason, "golden", version)
    limit = rollout.plan.limit_seconds
    if limit is not None and rollout.time(now) >= limit:
        return _back(snapshot, Event.FAIL, now, f"it has taken longer than its limit of {limit} s", "limit")
    if rollout.phase is Phase.PAUSED:
        waits = "it waits for a choice of one candidate" if rollout.must_choose else "it waits for approval"
        return Wait(waits if rollout.gate else "it is paused", alert=rollout.gate)
    if snapshot.waits_for and verdict.kind is not Kind.HOLD:
        return Wait(snapshot.waits_for)
    if rollout.phase is Phase.HOLD:
        return _held(snapshot, verdict, now)
    if verdict.kind is Kind.HOLD:
        return _act(Hold, snapshot, Event.HOLD, now, verdict.text)
    return _live(snapshot, verdict, now)


def _live(snapshot: Snapshot, verdict: Verdict, now: float) -> Action:
    """Return the action in a phase with a goal and no objection."""
    rollout = snapshot.rollout
    if rollout.phase is Phase.PREFLIGHT:
        if snapshot.is_ready:
            return _act(SetWeight, snapshot, Event.DONE, now, "the canary is ready on every worker")
        waited = rollout.time(now) - rollout.entered
        reason = f"the canary is not yet ready on every worker{': ' * bool(snapshot.lacks)}{snapshot.lacks}"
        return Wait(reason, alert=waited >= PREFLIGHT_PATIENCE_SECONDS)
    left = rollout.entered + rollout.goal_seconds() - rollout.time(now)
    if left > 0:
        return Wait(f"{rollout.phase} has {left:.0f} s to go; {verdict.text}")
    if not _is_met(rollout, verdict):
        return _act(Hold, snapshot, Event.OVERDUE, now, f"not enough evidence: {verdict.text}")
    if rollout.phase is Phase.BAKE:
        return _act(Promote, snapshot, Event.DONE, now, verdict.text)
    return _onward(snapshot, Event.DONE, now, verdict.text)


def _held(snapshot: Snapshot, verdict: Verdict, now: float) -> Action:
    """Return the action of a rollout that stands still: clear it, wait, or do what the plan says after ``max_hold``."""
    rollout, plan = snapshot.rollout, snapshot.rollout.plan
    if verdict.kind is not Kind.HOLD and (not rollout.overdue or _is_met(rollout, verdict)):
        return _act(Resume, snapshot, Event.CLEAR, now, f"what held it is gone: {verdict.text}")
    if rollout.time(now) - rollout.stopped < plan.max_hold_seconds:
        return Wait(f"it is held: {verdict.text}")
    if plan.on_insufficient_data == "rollback" and not snapshot.waits_for:
        return _back(snapshot, Event.OVERDUE, now, f"held for too long: {verdict.text}", "insufficient_data")
    is_clean = verdict.kind is Kind.INCONCLUSIVE and verdict.failures == 0
    if plan.on_insufficient_data == "advance" and is_clean and rollout.goal in {Phase.SHADOW, Phase.STEP}:
        return _onward(snapshot, Event.OVERDUE, now, f"goes on without enough evidence, as planned: {verdict.text}")
    return Wait(f"it has been held for longer than {plan.max_hold_seconds} s: {verdict.text}", alert=True)


def _is_met(rollout: Rollout, verdict: Verdict) -> bool:
    """Say whether the evidence suffices for the goal: enough compared pairs for a shadow, a PASS for the others."""
    if rollout.goal is Phase.SHADOW:
        return verdict.pairs >= rollout.plan.min_units
    return verdict.kind is Kind.PASS


def _onward(snapshot: Snapshot, event: Event, now: float, reason: str) -> Action:
    """Go on by *event*, unless the step that ends here has a gate that nobody has opened, or needs a choice."""
    rollout = snapshot.rollout
    if rollout.must_choose:
        reason = f"choose one of versions {', '.join(map(str, rollout.live))} and promote it: {reason}"
    is_gated = rollout.goal is Phase.STEP and rollout.plan.steps[rollout.step].approve and not rollout.approved
    if is_gated or rollout.must_choose:
        change = move(rollout, Event.PAUSE, now=now, revision=snapshot.revision, reason=reason, gate=True)
        said = reason if rollout.must_choose else f"it waits for approval: {reason}"
        return Pause(change, snapshot.revision, said)
    return _act(SetWeight, snapshot, event, now, reason)


def _act(
    kind: type[SetWeight | Promote | Hold | Resume], snapshot: Snapshot, event: Event, now: float, reason: str
) -> Action:
    change = move(snapshot.rollout, event, now=now, revision=snapshot.revision, reason=reason)
    return kind(change, snapshot.revision, reason)


def _back(
    snapshot: Snapshot, event: Event, now: float, reason: str, guard: str, version: int | None = None
) -> Rollback:
    """Take *version* back, or None: all candidates."""
    change = move(snapshot.rollout, event, now=now, revision=snapshot.revision, reason=reason, version=version)
    return Rollback(change, snapshot.revision, reason, guard)
