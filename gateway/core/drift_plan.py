"""What a route says of drift: whether it holds a rollout, and which columns do not matter. And the holding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gateway.core.drift import State
from gateway.core.errors import InvalidDocument
from gateway.core.members import at, members_of, shown, text_of
from gateway.core.reference import MAX_COLUMNS
from gateway.core.verdicts import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.drift import ColumnFinding
    from gateway.core.rollout import Rollout
    from gateway.core.verdicts import Verdict

GUARD: Final = "drift"
"""The name in reasons and history."""

MEMBERS: Final = ("pause", "ignore")


@dataclass(frozen=True, slots=True)
class DriftPlan:
    """*pause*: drift of a version of a running rollout holds it. *ignore*: columns that are shown and never count."""

    pause: bool = False
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        with at("pause"):
            if not isinstance(self.pause, bool):
                raise InvalidDocument("", f"{shown(self.pause)} is neither true nor false; write one of them")
        with at("ignore"):
            if len(self.ignore) > MAX_COLUMNS or len(set(map(str, self.ignore))) < len(self.ignore):
                raise InvalidDocument("", f"names more than {MAX_COLUMNS} columns, or one twice; write each once")
            for name in self.ignore:
                text_of(name)

    def as_dict(self) -> dict[str, Any]:
        return {"pause": self.pause, "ignore": list(self.ignore)}


def read_drift(data: object) -> DriftPlan:
    """Return what the member ``drift`` says. Raises InvalidDocument."""
    members = members_of(data, MEMBERS, needed=("pause",), what="drift")
    ignore = members.get("ignore", [])
    if not isinstance(ignore, list):
        raise InvalidDocument("ignore", f"{shown(ignore)} is no list of columns; write such as [amount]")
    return DriftPlan(members["pause"], tuple(ignore))


def held(verdict: Verdict, rollout: Rollout, plan: DriftPlan, found: Mapping[int, Sequence[ColumnFinding]]) -> Verdict:
    """Return *verdict*, turned into HOLD where the plan wants that and a version that answers in *rollout* drifted.

    *found*: version → its findings, those of columns that the plan ignores marked so. FAIL stays what it is, and a HOLD
    keeps its reasons behind these. Drift is no fault of a candidate, so of several each is held.
    """
    if not plan.pause or verdict.kind is Kind.FAIL:
        return verdict
    reasons = tuple(
        Reason(GUARD, f"version {version}: {each.text}")
        for version in (rollout.baseline, *rollout.live)
        for each in found.get(version, ())
        if each.state is State.DRIFTED
    )
    if not reasons:
        return verdict
    each = tuple(held(one, rollout, plan, found) for one in verdict.each)
    own = verdict.reasons if verdict.kind is Kind.HOLD else ()
    return replace(verdict, kind=Kind.HOLD, reasons=reasons + own, each=each)
