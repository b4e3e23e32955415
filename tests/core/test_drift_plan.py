"""What a route says of drift, and what that makes of a verdict."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.document import parse
from gateway.core.drift import ColumnFinding, State
from gateway.core.drift_plan import DriftPlan, held, read_drift
from gateway.core.errors import InvalidDocument
from gateway.core.plan import read_plan
from gateway.core.reference import MAX_COLUMNS
from gateway.core.rollout import Rollout
from gateway.core.verdicts import Certificate, Kind, Reason, Verdict

ROLLOUT = Rollout("r1", (2,), 1, read_plan({"steps": [{"weight": 5, "for": "1m"}]}), {1: 100}, 0.01, 0.0)
PAUSE = DriftPlan(pause=True, ignore=("clock",))


def finding(column: str, state: State = State.DRIFTED) -> ColumnFinding:
    return ColumnFinding(column, state, 1.0, 1000, 30.0, 20.0, f"{column}: moved")


def test_the_member_is_read_back_as_it_was_written() -> None:
    assert read_drift(PAUSE.as_dict()) == PAUSE
    assert read_drift({"pause": False}) == DriftPlan()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], ""),
        ({}, "pause"),
        ({"pause": "yes"}, "pause"),
        ({"pause": True, "ignore": "clock"}, "ignore"),
        ({"pause": True, "ignore": [7]}, "ignore"),
        ({"pause": True, "ignore": [""]}, "ignore"),
        ({"pause": True, "ignore": ["a", "a"]}, "ignore"),
        ({"pause": True, "ignore": [str(n) for n in range(MAX_COLUMNS + 1)]}, "ignore"),
        ({"pause": True, "limit": 1}, "limit"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_culprit(data: Any, field: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        read_drift(data)

    assert refused.value.field == field


def test_a_route_keeps_what_it_says_of_drift() -> None:
    document = parse({"model": "fraud", "split": {"1": 1}, "drift": PAUSE.as_dict()})

    assert document.drift == PAUSE
    assert parse(document.as_dict()) == document
    assert "drift" not in parse({"model": "fraud", "split": {"1": 1}}).as_dict()


def verdict(kind: Kind, **given: Any) -> Verdict:
    return Verdict(kind, (Reason("errors", "as counted"),), Certificate(1.0, 20.0, 0.01, 0, 9), **given)


@pytest.mark.parametrize("kind", [Kind.PASS, Kind.INCONCLUSIVE])
@pytest.mark.parametrize("version", [1, 2])
def test_drift_of_a_version_in_the_rollout_holds_it(kind: Kind, version: int) -> None:
    found = held(verdict(kind), ROLLOUT, PAUSE, {version: [finding("amount"), finding("stable", State.STABLE)]})

    assert found.kind is Kind.HOLD
    assert found.reasons == (Reason("drift", f"version {version}: amount: moved"),)


def test_a_hold_keeps_its_reasons_behind_those_of_drift() -> None:
    found = held(verdict(Kind.HOLD), ROLLOUT, PAUSE, {1: [finding("amount")]})

    assert [reason.guard for reason in found.reasons] == ["drift", "errors"]


def test_each_of_several_candidates_is_held() -> None:
    several = verdict(Kind.PASS, each=(verdict(Kind.PASS, version=2), verdict(Kind.FAIL, version=3)))

    found = held(several, ROLLOUT, PAUSE, {1: [finding("amount")]})

    assert [each.kind for each in found.each] == [Kind.HOLD, Kind.FAIL]


@pytest.mark.parametrize(
    ("kind", "plan", "found"),
    [
        (Kind.FAIL, PAUSE, {1: [finding("amount")]}),
        (Kind.PASS, DriftPlan(), {1: [finding("amount")]}),
        (Kind.PASS, PAUSE, {1: [finding("clock", State.IGNORED), finding("moved", State.MOVED)]}),
        (Kind.PASS, PAUSE, {7: [finding("amount")]}),
        (Kind.PASS, PAUSE, {}),
    ],
    ids=["condemned", "not wanted", "nothing that counts", "another version", "nothing known"],
)
def test_nothing_else_changes_a_verdict(kind: Kind, plan: DriftPlan, found: dict[int, list[ColumnFinding]]) -> None:
    before = verdict(kind)

    assert held(before, ROLLOUT, plan, found) is before
