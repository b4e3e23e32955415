"""A rollout's plan: steps, guards and what to do without evidence, as a value that cannot be built wrong.

Read from the member ``rollout`` of a route document, or from the request that starts a rollout. Every refusal is an
InvalidDocument with the path of the culprit. Which version is the canary is not said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from gateway.core.alarms import Alarm, read_alarms
from gateway.core.errors import InvalidDocument
from gateway.core.guards import Guard, check_truth, default_guards, guards_of, shares_of_alpha, switch_of
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.policies import expanded
from gateway.core.preflight import Golden, check_demands, read_demands, read_golden
from gateway.core.quantities import (
    check_distance,
    check_fraction,
    check_seconds,
    percent_of,
    seconds_of,
    slots_by_version,
    slots_of,
    written_percent,
    written_seconds,
    written_slots,
)
from gateway.core.slots import SLOTS

MEMBERS: Final = (
    "steps", "holdback", "shadow", "guards", "alpha", "on_insufficient_data", "max_hold", "min_units", "limit",
    "confirm", "golden", "require", "keep_loaded", "alarms", "policy",
)  # fmt: skip
POLICIES: Final = ("hold", "advance", "rollback")
SWITCH: Final = ("on", "off")
MAX_STEPS: Final = 100
MAX_UNITS: Final = 1_000_000_000
ALPHA: Final = (0.0001, 0.1)
DIFFER: Final = (0.0001, 0.45)
HOLDBACK_SLOTS: Final = 9500
HOLDBACK_SECONDS: Final = 1800
KEEP_LOADED_SECONDS: Final = 24 * 3600
LEAST_CERTIFY: Final = 0.01
"""The certified failure rate where a plan names none: this, or twice the baseline's where that is more."""


@dataclass(frozen=True, slots=True)
class Step:
    """The canary has *slots* of the SLOTS for *seconds*; with *approve* somebody has to let it go on after that.

    One number is what each candidate of the rollout has; a mapping names each and what it has.
    """

    slots: int | Mapping[int, int]
    seconds: int
    approve: bool = False

    def __post_init__(self) -> None:
        with at("weight"):
            if isinstance(self.slots, Mapping):
                object.__setattr__(self, "slots", MappingProxyType(dict(sorted(self.slots.items()))))
            given = list(self.slots.values()) if isinstance(self.slots, Mapping) else [self.slots]
            if not given or any(type(slots) is not int or not 1 <= slots <= SLOTS for slots in given):
                raise InvalidDocument("", f"{shown(self.slots)} slots cannot be given; give 1 to {SLOTS}")
        with at("for"):
            check_seconds(self.seconds)
        with at("approve"):
            check_truth(self.approve)

    @property
    def versions(self) -> tuple[int, ...]:
        """The candidates that are named, ascending; none where all have the same."""
        return tuple(self.slots) if isinstance(self.slots, Mapping) else ()

    @property
    def most(self) -> int:
        """The slots of the candidate that has the most."""
        return max(self.slots.values()) if isinstance(self.slots, Mapping) else self.slots

    def of(self, candidate: int) -> int:
        """Return the slots of *candidate*; 0 where others are named."""
        return self.slots.get(candidate, 0) if isinstance(self.slots, Mapping) else self.slots

    def as_dict(self) -> dict[str, Any]:
        weight: Any = (
            {str(version): written_slots(slots) for version, slots in self.slots.items()}
            if isinstance(self.slots, Mapping)
            else written_slots(self.slots)
        )
        return {"weight": weight, "for": written_seconds(self.seconds)} | ({"approve": True} if self.approve else {})


@dataclass(frozen=True, slots=True)
class ShadowPhase:
    """Before the first step the canary gets copies of *share* of the requests for *seconds*, and answers nobody.

    *differ* of the pairs may differ; numbers differ where they are more than *tolerance* apart.
    """

    seconds: int
    share: float = 1.0
    differ: float = 0.02
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        with at("for"):
            check_seconds(self.seconds)
        with at("share"):
            object.__setattr__(self, "share", check_fraction(self.share, least=0.0001, most=1.0))
        with at("differ"):
            object.__setattr__(self, "differ", check_fraction(self.differ, least=DIFFER[0], most=DIFFER[1]))
        with at("tolerance"):
            object.__setattr__(self, "tolerance", check_distance(self.tolerance))

    def as_dict(self) -> dict[str, Any]:
        return {
            "for": written_seconds(self.seconds),
            "share": written_percent(self.share),
            "differ": written_percent(self.differ),
            "tolerance": self.tolerance,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """How a canary is moved. *limit_seconds*, where given, bounds the whole rollout: past it the canary is taken back.

    *steps* ascend, *holdback* is the last watch before success and no smaller than the last step. *confirm* ``off`` is
    for models that must not run twice: their failures count unconfirmed. *golden* and *require* are what the canary has
    to pass before its first step. *keep_loaded_seconds*: how long the old version stays loaded after a success.
    *alarms* are asked by the controller only.
    """

    steps: tuple[Step, ...]
    holdback: Step
    guards: tuple[Guard, ...]
    shadow: ShadowPhase | None = None
    alpha: float = 0.01
    on_insufficient_data: str = "hold"
    max_hold_seconds: int = 24 * 3600
    min_units: int = 100
    limit_seconds: int | None = None
    confirm: str = "on"
    golden: Golden = field(default_factory=Golden)
    require: tuple[str, ...] = ()
    keep_loaded_seconds: int = KEEP_LOADED_SECONDS
    alarms: tuple[Alarm, ...] = ()

    def __post_init__(self) -> None:
        with at("steps"):
            self._check_steps()
        with at("holdback"):
            if self.holdback.versions:
                raise InvalidDocument("weight", "names candidates, and one is left by then; write one number")
            if self.holdback.most < self.steps[-1].most:
                raise InvalidDocument("weight", "is below the last step's; a bake never lowers the canary, write more")
        with at("alpha"):
            object.__setattr__(self, "alpha", check_fraction(self.alpha, least=ALPHA[0], most=ALPHA[1]))
        with at("on_insufficient_data"):
            check_choice(self.on_insufficient_data, POLICIES)
        with at("confirm"):
            check_choice(self.confirm, SWITCH)
        with at("max_hold"):
            check_seconds(self.max_hold_seconds)
        with at("min_units"):
            if type(self.min_units) is not int or not 1 <= self.min_units <= MAX_UNITS:
                raise InvalidDocument("", f"{shown(self.min_units)} is no number of units; write 1 to {MAX_UNITS}")
        with at("limit"):
            self._check_limit()
        with at("require"):
            check_demands(self.require)
        with at("keep_loaded"):
            check_seconds(self.keep_loaded_seconds)

    def guard(self, name: str) -> Guard | None:
        """Return the guard called *name*, or None where the plan has none."""
        return next((guard for guard in self.guards if guard.name == name), None)

    def shares_of_alpha(self) -> Mapping[str, float]:
        """Return the share of alpha, together 1, of each guard that may roll back."""
        return shares_of_alpha(self.guards)

    def certify(self, baseline_rate: float) -> float:
        """Return the failure rate η to exclude before a promotion; *baseline_rate* is that at the rollout's start.

        An old baseline that fails at 2 % itself must not block its successor for ever.
        """
        errors = self.guard("errors")
        named = errors.certify if errors else None
        return min(0.5, max(LEAST_CERTIFY, 2 * baseline_rate)) if named is None else named

    def warnings(self) -> tuple[str, ...]:
        """Return what is allowed and probably not meant, each with what to write instead."""
        found = []
        errors = self.guard("errors")
        if errors is not None and errors.tolerate is not None and self.certify(0.0) < 2 * errors.tolerate:
            found.append(
                f"guards.errors.certify {written_percent(self.certify(0.0))} is less than twice what is tolerated; "
                f"a canary at {written_percent(errors.tolerate)} is then neither certified nor taken back: write at "
                f"least {written_percent(2 * errors.tolerate)}"
            )
        if self.confirm == "off":
            found.append("confirm: off counts failures that a request may have caused itself; leave it out if you can")
        if not self.shares_of_alpha():
            found.append("no guard may roll back; only a breaker and a second death of a worker take this canary back")
        if self.holdback.most == SLOTS:
            found.append("holdback.weight 100 leaves no baseline to compare with during the bake; write 95")
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan in its own form: ``read_plan`` reads the same value from it.

        Every member is spelled out but those that not every plan has, and those that release 0.2.0 does not know where
        they are the default: it can still read such a plan.
        """
        optional = {
            "shadow": self.shadow.as_dict() if self.shadow else None,
            "limit": written_seconds(self.limit_seconds) if self.limit_seconds else None,
            "golden": self.golden.as_value() if self.golden != Golden() else None,
            "require": list(self.require) or None,
            "keep_loaded": (
                written_seconds(self.keep_loaded_seconds) if self.keep_loaded_seconds != KEEP_LOADED_SECONDS else None
            ),
            "alarms": [alarm.as_dict() for alarm in self.alarms] or None,
        }
        return {
            "steps": [step.as_dict() for step in self.steps],
            "holdback": self.holdback.as_dict(),
            "guards": {guard.name: guard.as_dict() for guard in self.guards},
            "alpha": written_percent(self.alpha),
            "on_insufficient_data": self.on_insufficient_data,
            "max_hold": written_seconds(self.max_hold_seconds),
            "min_units": self.min_units,
            "confirm": self.confirm,
        } | {member: value for member, value in optional.items() if value is not None}

    def _check_steps(self) -> None:
        if not 1 <= len(self.steps) <= MAX_STEPS:
            raise InvalidDocument("", f"{len(self.steps)} steps cannot be walked; write 1 to {MAX_STEPS}")
        for index, (before, after) in enumerate(pairwise(self.steps), start=1):
            if not _ascends(before, after):
                raise InvalidDocument(f"[{index}].weight", "is no more than the step before; steps ascend")

    def _check_limit(self) -> None:
        if self.limit_seconds is None:
            return
        check_seconds(self.limit_seconds)
        shadow = self.shadow.seconds if self.shadow else 0
        least = shadow + sum(step.seconds for step in (*self.steps, self.holdback))
        if self.limit_seconds < least:
            raise InvalidDocument("", f"is shorter than all steps together; write at least {written_seconds(least)}")


def read_plan(data: object) -> Plan:
    """Return the plan that *data*, read from JSON or YAML, describes, a policy expanded. Raises InvalidDocument."""
    members = members_of(expanded(data), MEMBERS, needed=("steps",), what="rollout")
    steps = _steps(members["steps"])
    shadow = _shadow(members["shadow"]) if "shadow" in members else None
    paired = shadow is not None
    with at("holdback"):
        holdback = _step(members["holdback"], ("weight", "for")) if "holdback" in members else _default_holdback(steps)
    with at("guards"):
        guards = guards_of(members["guards"], paired=paired) if "guards" in members else default_guards(paired=paired)
    with at("alpha"):
        alpha = percent_of(members.get("alpha", "1%"), least=ALPHA[0], most=ALPHA[1])
    with at("golden"):
        golden = read_golden(members.get("golden", "own"))
    with at("require"):
        require = read_demands(members.get("require", []))
    with at("alarms"):
        alarms = read_alarms(members.get("alarms", []))
    return Plan(
        steps,
        holdback,
        guards,
        shadow,
        alpha,
        members.get("on_insufficient_data", "hold"),
        _seconds({"max_hold": "24h"} | dict(members), "max_hold"),
        members.get("min_units", 100),
        _seconds(members, "limit") if "limit" in members else None,
        str(switch_of(members.get("confirm", "on"), on="on", off="off")),
        golden,
        require,
        _seconds({"keep_loaded": written_seconds(KEEP_LOADED_SECONDS)} | dict(members), "keep_loaded"),
        alarms,
    )


def _default_holdback(steps: tuple[Step, ...]) -> Step:
    """Return the last watch of a plan that names none: never below its last step."""
    return Step(max([HOLDBACK_SLOTS, *(step.most for step in steps)]), HOLDBACK_SECONDS)


def _ascends(before: Step, after: Step) -> bool:
    """Say whether no candidate has less than *before*, and one has more."""
    versions = after.versions or before.versions or (0,)
    gains = [after.of(version) - before.of(version) for version in versions]
    return min(gains) >= 0 and max(gains) > 0


def _steps(data: object) -> tuple[Step, ...]:
    if not isinstance(data, list):
        raise InvalidDocument("steps", f"{shown(data)} is no list; write such as [{{weight: 5, for: 5m}}]")
    steps = []
    for index, entry in enumerate(data):
        with at("steps"), at(f"[{index}]"):
            steps.append(_step(entry, ("weight", "for", "approve")))
    return tuple(steps)


def _step(data: object, allowed: tuple[str, ...]) -> Step:
    members = members_of(data, allowed, needed=("weight", "for"), what="step")
    with at("weight"):
        weight = members["weight"]
        slots = slots_by_version(weight) if isinstance(weight, Mapping) else slots_of(weight)
    return Step(slots, _seconds(members), members.get("approve", False))


def _shadow(data: object) -> ShadowPhase:
    with at("shadow"):
        members = members_of(data, ("for", "share", "differ", "tolerance"), needed=("for",), what="shadow phase")
        with at("share"):
            share = percent_of(members.get("share", "100%"), least=0.0001, most=1.0)
        with at("differ"):
            differ = percent_of(members.get("differ", "2%"), least=DIFFER[0], most=DIFFER[1])
        return ShadowPhase(_seconds(members), share, differ, members.get("tolerance", 0.0))


def _seconds(members: Mapping[Any, Any], name: str = "for") -> int:
    with at(name):
        return seconds_of(members[name])
