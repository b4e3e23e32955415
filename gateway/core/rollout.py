"""One rollout as a value: where it stands, what it may do, and which split belongs to each phase.

Stored next to the route and written with it in one comparison, so a rollout and its split never disagree. ``move`` is
the one door: it follows the table in ``phases.py`` and refuses what is not in it. When to move is for ``steering.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import gcd
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.candidates import Left, check_candidates, check_left, check_steps, unchosen
from gateway.core.errors import InvalidDocument
from gateway.core.latency import bounds_of, check_limits, frozen
from gateway.core.members import at, shown, text_of
from gateway.core.outputs import frozen_deciles, read_deciles
from gateway.core.phases import TABLE, Event, Goto, MoveRefused, Phase
from gateway.core.slots import SLOTS, seats
from gateway.core.splits import MAX_WEIGHT, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.evidence import Evidence
    from gateway.core.latency import Bounds, Limits
    from gateway.core.plan import Plan

STOPPED: Final = (Phase.HOLD, Phase.PAUSED)
GOALS: Final = (Phase.PREFLIGHT, Phase.SHADOW, Phase.STEP, Phase.BAKE)
"""The phases that have something to reach, and from which a rollout may be stopped and go on."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """The state of one rollout.

    candidates: ascending; each is compared with the baseline and with nothing else. left: those that are out while
    others go on, so never all of them.
    before: the split that it started from, to which a failure returns. certify: the failure rate to exclude, fixed at
    the start. started: seconds of the store's clock. away_seconds: how long the store was away since; that time does
    not count. entered, stopped: when the current goal, and a stop of it or its success, began, in its own seconds
    (``time``).
    step: index into the plan's steps. since: the first revision of the current goal. origin: the phase that a stopped
    rollout goes on from, None where it is not stopped. overdue: stopped for lack of evidence. gate: stopped at the end
    of a step that asks for approval. approved: this step's gate was opened. reason: of the last move. limits: how long
    the baseline's runs take, for those classes of rows of which enough were seen. deciles: the edges of the bins of
    outputs that are numbers; empty until enough were seen.
    """

    id: str
    candidates: tuple[int, ...]
    baseline: int
    plan: Plan
    before: Mapping[int, int]
    certify: float
    started: float
    phase: Phase = Phase.PENDING
    step: int = 0
    since: int = 0
    entered: float = 0.0
    stopped: float = 0.0
    away_seconds: float = 0.0
    origin: Phase | None = None
    overdue: bool = False
    gate: bool = False
    approved: bool = False
    reason: str = ""
    limits: Limits = field(default_factory=dict)
    deciles: tuple[float, ...] = ()
    left: Mapping[int, Left] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with at("id"):
            text_of(self.id)
        with at("candidates" if len(self.candidates) > 1 else "candidate"):
            object.__setattr__(self, "candidates", check_candidates(self.candidates, self.baseline))
        check_steps(self.plan.steps, self.candidates)
        with at("before"):
            object.__setattr__(self, "before", weights_of(self.before))
            if not self.before.get(self.baseline):
                reason = f"gives the baseline {self.baseline} no weight, so nothing could be compared; give it some"
                raise InvalidDocument("", reason)
        with at("limits"):
            object.__setattr__(self, "limits", check_limits(self.limits))
        with at("deciles"):
            object.__setattr__(self, "deciles", read_deciles(self.deciles))
        with at("step"):
            if type(self.step) is not int or not 0 <= self.step < len(self.plan.steps):
                raise InvalidDocument("", f"{shown(self.step)} is none of the plan's {len(self.plan.steps)} steps")
        if (self.origin is not None) != (self.phase in STOPPED):
            raise InvalidDocument(
                "origin", f"{shown(self.origin)} does not go with {self.phase}; stopped phases have one"
            )
        with at("left"):
            is_chosen = self.goal is Phase.BAKE or self.phase is Phase.SUCCEEDED
            check_left(self.left, self.candidates, is_chosen=is_chosen)

    @property
    def live(self) -> tuple[int, ...]:
        """The candidates that are in it still, or were when it ended; at least one."""
        return tuple(version for version in self.candidates if version not in self.left)

    @property
    def candidate(self) -> int | None:
        """The only candidate that is in it; None while several are."""
        return self.live[0] if len(self.live) == 1 else None

    @property
    def alpha(self) -> float:
        """The chance that one healthy candidate is taken back: of as many as it started with, each has its part."""
        return self.plan.alpha / len(self.candidates)

    @property
    def must_choose(self) -> bool:
        """Whether it cannot go on behind its last step, because somebody has to choose among several candidates."""
        is_last = self.goal is Phase.STEP and self.step + 1 == len(self.plan.steps)
        return is_last and len(self.live) > 1

    def failed(self) -> Mapping[int, str]:
        """Return candidate → why, for those that were taken back."""
        failed = {version: left.reason for version, left in self.left.items() if left.failed}
        if self.phase is Phase.ROLLED_BACK:
            failed |= dict.fromkeys(self.live, self.reason)
        return failed

    @property
    def goal(self) -> Phase:
        """The phase whose goal is pursued: the origin of a stopped rollout, else where it stands."""
        return self.origin or self.phase

    def time(self, now: float) -> float:
        """Return the rollout's own seconds at *now*, seconds of the store's clock: those that the store was there."""
        return now - self.started - self.away_seconds

    def goal_seconds(self) -> int:
        """Return how long the current goal has to be watched; 0 where it is not a matter of time."""
        if self.goal is Phase.SHADOW and self.plan.shadow is not None:
            return self.plan.shadow.seconds
        if self.goal is Phase.STEP:
            return self.plan.steps[self.step].seconds
        return self.plan.holdback.seconds if self.goal is Phase.BAKE else 0

    def bounds(self, version: int) -> tuple[Bounds | None, ...]:
        """Return what the runs of *version* are held against, per class of rows: the canary may be a little slower."""
        guard = self.plan.guard("latency")
        tolerate = guard.tolerate if guard else None
        return bounds_of(self.limits, 0.0 if version == self.baseline else tolerate or 0.0)

    def after_evidence(self, evidence: Evidence) -> Rollout:
        """Return this rollout with what *evidence* suffices to freeze; itself where there is nothing new."""
        limits = frozen(self.limits, evidence.run_times(self.baseline))
        deciles = self.deciles or frozen_deciles(evidence.values(self.baseline))
        if limits is self.limits and deciles is self.deciles:
            return self
        return replace(self, limits=limits, deciles=deciles)

    def kept(self) -> Kept | None:
        """Return the version that this rollout replaced, kept to be gone back to; None where it did not succeed."""
        if self.phase is not Phase.SUCCEEDED:
            return None
        ended = self.started + self.away_seconds + self.stopped
        return Kept(self.baseline, ended + self.plan.keep_loaded_seconds)

    def after_absence(self, seconds: float) -> Rollout:
        """Return this rollout after the store was away for *seconds*, in which no clock ran."""
        return replace(self, away_seconds=self.away_seconds + seconds)


class Kept(NamedTuple):
    """A *version* that stays loaded without traffic, *until* then, seconds of the store's clock."""

    version: int
    until: float


class Change(NamedTuple):
    """What a move makes of the route: all of it is written at once, fenced by the revision that it was made for.

    *split* None leaves the split as it is, but that the weight of those who *failed* goes to the baseline; *baseline*
    is the route's baseline from now on. *failed*: the candidates that this takes back.
    """

    rollout: Rollout
    split: Mapping[int, int] | None
    baseline: int
    failed: tuple[int, ...] = ()

    def of(self, split: Mapping[int, int]) -> Mapping[int, int]:
        """Return what becomes of *split*, the route's now."""
        if self.split is not None or not self.failed:
            return self.split or split
        weights = dict(split if sum(split.values()) <= MAX_WEIGHT else seats(split))
        freed = sum(weights.get(version, 0) for version in self.failed)
        none = dict.fromkeys(self.failed, 0)
        return weights_of(weights | none | {self.baseline: weights.get(self.baseline, 0) + freed})


def start(
    id: str,  # noqa: A002 - the word that the API has for it
    *,
    candidates: tuple[int, ...],
    baseline: int,
    plan: Plan,
    before: Mapping[int, int],
    baseline_rate: float,
    now: float,
) -> Rollout:
    """Return a new rollout of *candidates*, pending.

    before: the route's split now. baseline_rate: the baseline's failure rate now, a fraction. now: seconds of the
    store's clock. Raises InvalidDocument where the baseline has no weight, or the plan is not one for *candidates*.
    """
    return Rollout(id, candidates, baseline, plan, before, plan.certify(baseline_rate), now)


def move(
    rollout: Rollout,
    event: Event,
    *,
    now: float,
    revision: int,
    reason: str,
    force: bool = False,
    full: bool = False,
    gate: bool = False,
    new_id: str = "",
    version: int | None = None,
) -> Change:
    """Return what *event* makes of *rollout* and its route. Raises MoveRefused, and then nothing has changed.

    now: seconds of the store's clock. revision: the route's now; the change will be the next one. force: promote out of
    a hold. full: promote to the end at once. gate: a pause that is a step's end. new_id: names the rollout that a retry
    starts, with empty evidence. version: the candidate that fails, or is promoted; None for all there are. One of
    several that fails goes out and the others go on; one that is promoted goes on alone.
    """
    if version is not None and version not in rollout.live:
        raise MoveRefused(rollout.phase, event, f" for version {version}, which is not in it")
    target = _target(rollout, event, force=force, full=full, version=version)
    if event is Event.RETRY:
        if new_id in {"", rollout.id}:
            raise MoveRefused(rollout.phase, event, " without a new id")
        fresh = Rollout(
            new_id, rollout.candidates, rollout.baseline, rollout.plan, rollout.before, rollout.certify, now,
            reason=reason,
        )  # fmt: skip
        return Change(fresh, None, rollout.baseline)
    if target is rollout.phase and target in STOPPED:
        return Change(rollout, None, rollout.baseline)
    if event is Event.FAIL and version is not None and len(rollout.live) > 1:
        after = replace(rollout, left={**rollout.left, version: Left(True, reason)}, reason=reason)
        return Change(after, None, rollout.baseline, (version,))
    if event is Event.PROMOTE and version is not None:
        others = {other: Left(False, f"version {version} was promoted") for other in rollout.live if other != version}
        rollout = replace(rollout, left={**rollout.left, **others})
    after = _enter(rollout, target, event, now=now, revision=revision, gate=gate)
    after = replace(after, reason=reason)
    baseline = after.live[0] if target is Phase.SUCCEEDED else after.baseline
    return Change(after, split_of(after), baseline, rollout.live if target is Phase.ROLLED_BACK else ())


def split_of(rollout: Rollout) -> Mapping[int, int] | None:
    """Return the split that belongs to where *rollout* stands; None where it stays what it is."""
    before, plan = rollout.before, rollout.plan
    match rollout.phase:
        case Phase.STEP:
            return split_at(before, _shares(rollout, plan.steps[rollout.step].of))
        case Phase.BAKE:
            return split_at(before, _shares(rollout, plan.holdback.of))
        case Phase.SUCCEEDED:
            return split_at(before, _shares(rollout, lambda _: SLOTS))
        case Phase.PREFLIGHT | Phase.SHADOW | Phase.ROLLED_BACK:
            return weights_of({**before, **dict.fromkeys(rollout.candidates, 0)})
        case Phase.ABORTED | Phase.SUPERSEDED:
            failed = {version for version, left in rollout.left.items() if left.failed}
            own = {each: 0 if each in failed else before.get(each, 0) for each in rollout.candidates}
            return weights_of({**before, **own})
        case _:
            return None


def split_at(before: Mapping[int, int], shares: Mapping[int, int]) -> Mapping[int, int]:
    """Return the split that gives candidates their *shares* of the SLOTS, and the others the rest as in *before*.

    But for the one seat that every weight above 0 buys, so at most one less for each of the others.

    Weights sum to 100 where that is exact, else to SLOTS where that is.
    """
    others = seats({version: weight for version, weight in before.items() if version not in shares})
    rest = SLOTS - sum(shares.values())
    weights = {version: count * rest for version, count in others.items()}
    weights |= {version: slots * SLOTS for version, slots in shares.items()}
    common = gcd(*weights.values())
    total = sum(weights.values()) // common
    scale = next((whole // total for whole in (100, SLOTS) if whole % total == 0), 1)
    return MappingProxyType({version: weight // common * scale for version, weight in sorted(weights.items())})


def _shares(rollout: Rollout, slots_of: Callable[[int], int]) -> Mapping[int, int]:
    """Return candidate → slots, 0 for those that left."""
    return {version: 0 if version in rollout.left else slots_of(version) for version in rollout.candidates}


def _target(rollout: Rollout, event: Event, *, force: bool, full: bool, version: int | None) -> Phase:
    """Return the phase that *event* leads to, every rule of the table followed. Raises MoveRefused."""
    cell = TABLE[rollout.phase].get(event)
    if cell is None:
        raise MoveRefused(rollout.phase, event)
    if event is Event.PROMOTE:
        return _promoted(rollout, force=force, full=full, version=version)
    target = _led_to(rollout, cell)
    if rollout.must_choose and (target is Phase.BAKE or (event is Event.RESUME and rollout.gate)):
        raise MoveRefused(rollout.phase, event, unchosen(rollout.live))
    return target


def _led_to(rollout: Rollout, cell: Phase | Goto) -> Phase:
    match cell:
        case Goto.FIRST:
            return Phase.SHADOW if rollout.plan.shadow else Phase.STEP
        case Goto.NEXT:
            return Phase.STEP if rollout.step + 1 < len(rollout.plan.steps) else Phase.BAKE
        case Goto.ORIGIN:
            return rollout.goal
        case Goto.POLICY:
            return _overdue(rollout)
        case _:
            return Phase(cell)


def _promoted(rollout: Rollout, *, force: bool, full: bool, version: int | None) -> Phase:
    if rollout.phase is Phase.HOLD and not force:
        raise MoveRefused(rollout.phase, Event.PROMOTE, " without force")
    if rollout.goal not in {Phase.STEP, Phase.BAKE}:
        raise MoveRefused(rollout.phase, Event.PROMOTE, f" from before its first step ({rollout.goal})")
    if version is None and len(rollout.live) > 1:
        raise MoveRefused(rollout.phase, Event.PROMOTE, unchosen(rollout.live))
    return Phase.SUCCEEDED if full or rollout.goal is Phase.BAKE else Phase.BAKE


def _overdue(rollout: Rollout) -> Phase:
    """Return where a rollout without enough evidence goes: it stands still first, then the policy decides.

    *advance* passes steps only: the end is never reached without a certificate.
    """
    policy = rollout.plan.on_insufficient_data
    if rollout.phase is not Phase.HOLD or policy == "hold":
        return Phase.HOLD
    if policy == "rollback":
        return Phase.ROLLED_BACK
    if rollout.origin is Phase.SHADOW:
        return Phase.STEP
    if rollout.origin is Phase.STEP:
        return Phase.STEP if rollout.step + 1 < len(rollout.plan.steps) else Phase.BAKE
    return Phase.HOLD


def _enter(rollout: Rollout, target: Phase, event: Event, *, now: float, revision: int, gate: bool) -> Rollout:
    """Return *rollout* in *target*: stopped, going on where it was, ended, or with a new goal."""
    time = rollout.time(now)
    if target in STOPPED:
        stopped = rollout.stopped if rollout.phase in STOPPED else time
        return replace(
            rollout, phase=target, origin=rollout.goal, stopped=stopped, overdue=event is Event.OVERDUE, gate=gate
        )
    moved = replace(rollout, phase=target, origin=None, overdue=False, gate=False)
    if event in {Event.CLEAR, Event.RESUME}:
        return replace(moved, approved=rollout.approved or rollout.gate)
    if target not in GOALS:
        return replace(moved, stopped=time) if target is Phase.SUCCEEDED else moved
    walked = rollout.step + 1 if rollout.goal is Phase.STEP and target is Phase.STEP else rollout.step
    return replace(moved, step=walked, since=revision + 1, entered=time, approved=False)
