"""A rollout as the store holds it: a JSON value beside the route, read strictly because the store is not trusted."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.guards import check_truth
from gateway.core.latency import read_limits, written_limits
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.outputs import read_deciles
from gateway.core.phases import Phase
from gateway.core.plan import read_plan
from gateway.core.quantities import check_fraction
from gateway.core.rollout import GOALS, Rollout
from gateway.core.splits import version_of, weights_of, written

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES: Final = ("started", "entered", "stopped", "away_seconds")
SWITCHES: Final = ("overdue", "gate", "approved")
NUMBERS: Final = ("step", "since")
MEMBERS: Final = (
    "id", "candidate", "baseline", "plan", "before", "certify", "phase", "origin", "reason", "limits",
    *TIMES, *SWITCHES, *NUMBERS,
)  # fmt: skip
LATER: Final = ("deciles",)
"""Members that 0.2.0 did not know: written where they say something, so that it reads most rollouts."""


def as_dict(rollout: Rollout) -> dict[str, Any]:
    """Return *rollout* for JSON: ``read_rollout`` reads the same value from it."""
    return {
        "id": rollout.id,
        "candidate": str(rollout.candidate),
        "baseline": str(rollout.baseline),
        "plan": rollout.plan.as_dict(),
        "before": written(rollout.before),
        "certify": rollout.certify,
        "phase": rollout.phase.value,
        "origin": rollout.origin.value if rollout.origin else None,
        "reason": rollout.reason,
        "limits": written_limits(rollout.limits),
        **{name: getattr(rollout, name) for name in (*TIMES, *SWITCHES, *NUMBERS)},
        **({"deciles": list(rollout.deciles)} if rollout.deciles else {}),
    }


def read_rollout(data: object) -> Rollout:
    """Return the rollout that *data*, read from JSON, describes. Raises InvalidDocument with the culprit's path."""
    members = members_of(data, (*MEMBERS, *LATER), needed=MEMBERS, what="stored rollout")

    def read(name: str, reader: Callable[[Any], Any]) -> Any:
        with at(name):
            return reader(members[name])

    return Rollout(
        id=members["id"],
        candidate=read("candidate", version_of),
        baseline=read("baseline", version_of),
        plan=read("plan", read_plan),
        before=read("before", weights_of),
        certify=read("certify", lambda value: check_fraction(value, least=0.0001, most=0.5)),
        phase=read("phase", _phase),
        origin=read("origin", _origin),
        reason=read("reason", _text),
        limits=read("limits", read_limits),
        deciles=read("deciles", read_deciles) if "deciles" in members else (),
        **{name: read(name, _time) for name in TIMES},
        **{name: read(name, check_truth) for name in SWITCHES},
        **{name: read(name, _count) for name in NUMBERS},
    )


def _phase(value: object) -> Phase:
    check_choice(value, list(Phase))
    return Phase(str(value))


def _origin(value: object) -> Phase | None:
    if value is None:
        return None
    check_choice(value, [Phase.PENDING.value, *GOALS])
    return Phase(str(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidDocument("", f"{shown(value)} is no text")
    return value


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InvalidDocument("", f"{shown(value)} is no time in seconds")
    return float(value)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise InvalidDocument("", f"{shown(value)} is no whole number from 0")
    return value
