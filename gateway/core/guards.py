"""The guards of a rollout: what they watch, how much they tolerate, and how far each may go.

``alpha`` is shared out among the guards that may roll back, by weights that are rescaled once, when a rollout starts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.quantities import check_fraction, percent_of, written_percent

if TYPE_CHECKING:
    from collections.abc import Mapping

ENFORCE: Final = ("off", "hold", "rollback")
"""*off* computes and shows; *hold* holds the rollout where *rollback* would take the canary back."""

WEIGHTS: Final = {"errors": 0.5, "invalid": 0.1, "latency": 0.25, "labels": 0.15}
"""The share of alpha that each e-process has, before rescaling."""

LIMITS: Final = {"tolerate": (0.000001, 0.45), "certify": (0.0001, 0.5), "margin": (0.0, 1.0)}
LATENCY_TOLERATE: Final = (0.0, 10.0)
MAX_LABELS: Final = 1_000_000_000

DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "errors": {"tolerate": 0.005, "certify": None, "margin": 0.0, "enforce": "rollback"},
    "invalid": {"tolerate": 0.0001, "margin": 0.0, "enforce": "rollback"},
    "latency": {"tolerate": 0.25, "enforce": "rollback"},
    "labels": {"margin": 0.05, "paired": False, "least": None, "enforce": "rollback"},
    "outputs": {"enforce": "rollback"},
}
"""Guard → its members and what they are where a plan leaves them out. None: computed at the start, or not there."""

UNLESS_NAMED: Final = ("errors", "invalid", "latency", "outputs")
"""The guards of a plan that names none. Labels have to be sent, so they have to be asked for."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard; a member that *name* does not have keeps the value below.

    tolerate: the rate, or for latency the excess, that is let be. certify: the failure rate to be excluded before a
    promotion. margin: how much worse odds than the baseline's are let be. All are fractions of one. paired: labels are
    compared on requests that both versions predicted. least: labelled answers of the canary that a pass needs; without
    it silence passes.
    """

    name: str
    tolerate: float | None = None
    certify: float | None = None
    margin: float | None = None
    paired: bool | None = None
    enforce: str = "rollback"
    least: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.name, DEFAULTS)
        with at("enforce"):
            check_choice(self.enforce, ENFORCE)
        for member in ("tolerate", "certify", "margin"):
            value = getattr(self, member)
            if value is not None:
                least, most = limits(self.name, member)
                with at(member):
                    object.__setattr__(self, member, check_fraction(value, least=least, most=most))

    def as_dict(self) -> dict[str, Any]:
        """Return the guard as a plan writes it, every member that it has spelled out."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name in DEFAULTS[self.name]}
        return {
            member: written_percent(value) if isinstance(value, float) else value
            for member, value in values.items()
            if value is not None
        }


def limits(name: str, member: str) -> tuple[float, float]:
    """Return the least and the most that a percent of the guard *name* may be."""
    return LATENCY_TOLERATE if (name, member) == ("latency", "tolerate") else LIMITS[member]


def guards_of(data: object, *, paired: bool) -> tuple[Guard, ...]:
    """Return the guards that a plan's member ``guards`` describes; *paired* is what labels are unless it says.

    Raises InvalidDocument.
    """
    members = members_of(data, DEFAULTS, what="set of guards")
    return tuple(_guard(name, members[name], paired=paired) for name in DEFAULTS if name in members)


def default_guards(*, paired: bool) -> tuple[Guard, ...]:
    """Return the guards of a plan that names none."""
    return guards_of({name: {} for name in UNLESS_NAMED}, paired=paired)


def shares_of_alpha(guards: tuple[Guard, ...]) -> Mapping[str, float]:
    """Return the share of alpha, together 1, of each guard with an e-process that may roll back."""
    weights = {guard.name: WEIGHTS[guard.name] for guard in guards if _counts(guard)}
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}


def switch_of(data: object, *, on: str, off: str) -> object:
    """Return *data*, but *on* and *off* where YAML read those bare words as a truth value."""
    return {True: on, False: off}[data] if isinstance(data, bool) else data


def _counts(guard: Guard) -> bool:
    return guard.name in WEIGHTS and guard.enforce == "rollback"


def _guard(name: str, data: object, *, paired: bool) -> Guard:
    with at(name):
        defaults = DEFAULTS[name] | ({"paired": paired} if name == "labels" else {})
        given = members_of(data, defaults, what="guard")
        values = defaults | {member: _value(name, member, value) for member, value in given.items()}
        return Guard(name, **values)


def _value(name: str, member: str, value: object) -> object:
    if member == "enforce":
        return switch_of(value, on="on", off="off")
    with at(member):
        if member == "paired":
            return check_truth(value)
        if member == "least":
            return _count(value)
        least, most = limits(name, member)
        return percent_of(value, least=least, most=most)


def _count(value: object) -> int:
    if type(value) is not int or not 1 <= value <= MAX_LABELS:
        raise InvalidDocument("", f"{shown(value)} is no number of labelled answers; write 1 to {MAX_LABELS}")
    return value


def check_truth(value: object) -> bool:
    """Return *value* if it is true or false."""
    if not isinstance(value, bool):
        raise InvalidDocument("", f"{shown(value)} is neither true nor false; write one of them")
    return value
