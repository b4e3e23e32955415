"""A rollout as the store holds it: a JSON value beside the route, read strictly because the store is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from gateway.core.candidates import Left
from gateway.core.errors import InvalidDocument
from gateway.core.guards import check_truth
from gateway.core.latency import read_limits, written_limits
from gateway.core.members import at, check_choice, members_of, shown, step_of
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
    "id", "baseline", "plan", "before", "certify", "phase", "origin", "reason", "limits",
    *TIMES, *SWITCHES, *NUMBERS,
)  # fmt: skip
LATER: Final = ("deciles",)
"""Members that 0.2.0 did not know: written where they say something, so that it reads most rollouts."""
ONE: Final = "candidate"
SEVERAL: Final = ("candidates", "left")
"""In place of ONE where there are several, so that a rollout of one is written as it was before there were."""


def as_dict(rollout: Rollout) -> dict[str, Any]:
    """Return *rollout* for JSON: ``read_rollout`` reads the same value from it."""
    return {
        "id": rollout.id,
        **_written_candidates(rollout),
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
    is_of_one = not (isinstance(data, Mapping) and "candidates" in data)
    needed = (*MEMBERS, *([ONE] if is_of_one else SEVERAL))
    members = members_of(data, (*needed, *LATER), needed=needed, what="stored rollout")

    def read(name: str, reader: Callable[[Any], Any]) -> Any:
        with at(name):
            return reader(members[name])

    return Rollout(
        id=members["id"],
        candidates=(read(ONE, version_of),) if is_of_one else read("candidates", _versions),
        baseline=read("baseline", version_of),
        plan=read("plan", read_plan),
        before=read("before", weights_of),
        certify=read("certify", lambda value: check_fraction(value, least=0.0001, most=0.5)),
        phase=read("phase", _phase),
        origin=read("origin", _origin),
        reason=read("reason", _text),
        limits=read("limits", read_limits),
        deciles=read("deciles", read_deciles) if "deciles" in members else (),
        left={} if is_of_one else read("left", _left),
        **{name: read(name, _time) for name in TIMES},
        **{name: read(name, check_truth) for name in SWITCHES},
        **{name: read(name, _count) for name in NUMBERS},
    )


def _written_candidates(rollout: Rollout) -> dict[str, Any]:
    if len(rollout.candidates) == 1:
        return {ONE: str(rollout.candidates[0])}
    return {
        "candidates": [str(version) for version in rollout.candidates],
        "left": {str(version): left._asdict() for version, left in rollout.left.items()},
    }


def _versions(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise InvalidDocument("", f"{shown(value)} is no list of versions")
    return tuple(version_of(each) for each in value)


def _left(value: object) -> Mapping[int, Left]:
    if not isinstance(value, Mapping):
        raise InvalidDocument("", f"{shown(value)} says of no version why it left")
    found = {}
    for key, entry in value.items():
        with at(step_of(key)):
            members = members_of(entry, Left._fields, needed=Left._fields, what="candidate that left")
            found[version_of(key)] = Left(check_truth(members["failed"]), _text(members["reason"]))
    return found


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
