"""Ready plans: which steps and which bake a policy stands for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.analysis import assess
from gateway.core.errors import InvalidDocument
from gateway.core.evidence import Arms, Counter, Evidence
from gateway.core.plan import read_plan
from gateway.core.policies import PARAMETERS, POLICIES, expanded
from gateway.core.slots import SLOTS
from gateway.core.verdicts import Kind


def steps_of(policy: Any) -> list[tuple[Any, str]]:
    """Return weight and time of each step of *policy*, and of its bake."""
    plan = read_plan({"policy": policy}).as_dict()
    return [(each["weight"], each["for"]) for each in (*plan["steps"], plan["holdback"])]


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        ("all_at_once", [(100, "1m"), (100, "30m")]),
        ({"name": "all_at_once", "bake": "1h"}, [(100, "1m"), (100, "1h")]),
        ("blue_green", [(95, "1m"), (95, "30m")]),
        ({"name": "blue_green", "holdback": 0, "bake": "10m"}, [(100, "1m"), (100, "10m")]),
        ({"name": "blue_green", "holdback": "0.5%"}, [("99.5%", "1m"), ("99.5%", "30m")]),
        ("canary", [(10, "10m"), (95, "30m")]),
        ({"name": "canary", "size": 30, "wait": "600s", "holdback": "0"}, [(30, "10m"), (100, "30m")]),
        ("linear", [(20, "5m"), (40, "5m"), (60, "5m"), (80, "5m"), (95, "30m")]),
        ({"name": "linear", "size": 50, "wait": "1m", "holdback": 0}, [(50, "1m"), (100, "30m")]),
    ],
)
def test_a_policy_is_ordinary_steps_and_an_ordinary_bake(policy: Any, steps: list[tuple[Any, str]]) -> None:
    assert steps_of(policy) == steps


def test_a_policy_leaves_the_rest_of_a_plan_as_it_is() -> None:
    rest: dict[str, Any] = {"guards": {"errors": {"tolerate": "2%"}}, "limit": "2h"}

    by_policy = read_plan({**rest, "policy": "canary"})

    steps = {"steps": [{"weight": 10, "for": "10m"}], "holdback": {"weight": 95, "for": "30m"}}
    assert by_policy == read_plan({**rest, **steps})
    assert "policy" not in by_policy.as_dict()


def test_all_traffic_at_once_is_warned_of_because_nothing_is_compared() -> None:
    (warning,) = read_plan({"policy": "all_at_once"}).warnings()

    assert "no baseline to compare with" in warning
    assert read_plan({"policy": "blue_green"}).warnings() == ()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"policy": "canary", "steps": []}, "steps"),
        ({"policy": "canary", "holdback": {}}, "holdback"),
        ({"policy": "red_green"}, "policy"),
        ({"policy": None}, "policy"),
        ({"policy": {}}, "policy.name"),
        ({"policy": {"name": 7}}, "policy.name"),
        ({"policy": {"name": "red_green"}}, "policy.name"),
        ({"policy": {"name": "canary", "colour": 1}}, "policy.colour"),
        ({"policy": {"name": "blue_green", "size": 5}}, "policy.size"),
        ({"policy": {"name": "all_at_once", "holdback": 5}}, "policy.holdback"),
        ({"policy": {"name": "canary", "size": 0}}, "policy.size"),
        ({"policy": {"name": "canary", "size": 95}}, "policy.size"),
        ({"policy": {"name": "linear", "size": "0.5%"}}, "policy.size"),
        ({"policy": {"name": "canary", "wait": 5}}, "policy.wait"),
        ({"policy": {"name": "linear", "wait": "0s"}}, "policy.wait"),
        ({"policy": {"name": "canary", "bake": "soon"}}, "policy.bake"),
        ({"policy": {"name": "blue_green", "holdback": 51}}, "policy.holdback"),
        ({"policy": {"name": "blue_green", "holdback": -1}}, "policy.holdback"),
        ({"policy": {"name": "blue_green", "holdback": False}}, "policy.holdback"),
    ],
)
def test_a_refusal_names_the_place_in_the_policy(data: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_plan(data)

    assert caught.value.field == field


def counted(*, baseline_slots: int, failed: int, **kinds: int) -> Evidence:
    """Return what a canary counts that fails all of its *failed* requests, and a baseline that fails none."""
    counts = {"n": failed, "failed": failed, "error": failed, **kinds}
    slots = {3: {1: baseline_slots, 2: SLOTS - baseline_slots}}
    return Evidence({Counter(3, 2, kind): count for kind, count in counts.items()}, slots)


def kind_of(evidence: Evidence, holdback: int, **said: bool) -> Kind:
    plan = read_plan({"policy": {"name": "blue_green", "holdback": holdback}})
    return assess(evidence, plan, Arms(2, 1), certify=0.01, **said).kind


def test_with_a_holdback_a_crash_is_found_by_comparison_though_late() -> None:
    assert kind_of(counted(baseline_slots=500, failed=110), 5) is not Kind.FAIL
    assert kind_of(counted(baseline_slots=500, failed=120), 5) is Kind.FAIL


def test_without_a_holdback_no_count_condemns_and_none_certifies_what_fails() -> None:
    crash = counted(baseline_slots=0, failed=10_000)

    assert kind_of(crash, 0) is Kind.INCONCLUSIVE
    assert kind_of(crash, 0, tripped=True) is Kind.FAIL
    assert kind_of(counted(baseline_slots=0, failed=9, deaths=2), 0) is Kind.FAIL


@pytest.mark.parametrize("data", [{"steps": []}, [], None, "canary"])
def test_what_names_no_policy_is_left_alone(data: object) -> None:
    assert expanded(data) is data


VALUES = st.integers(-1, 101) | st.sampled_from(["1%", "5m", "90s", "x", "33.33%"]) | st.none() | st.booleans()


@given(st.sampled_from(sorted(POLICIES)), st.dictionaries(st.sampled_from(PARAMETERS), VALUES))
def test_a_policy_that_is_not_refused_makes_a_plan_that_is_not(name: str, told: dict[str, Any]) -> None:
    data: object = {"policy": "canary"}
    with suppress(InvalidDocument):
        data = expanded({"policy": {"name": name, **told}})

    plan = read_plan(data)

    assert read_plan(plan.as_dict()) == plan
    assert plan.holdback.most >= plan.steps[-1].most


@given(st.recursive(st.none() | st.text(), lambda node: st.dictionaries(st.text(), node), max_leaves=4))
def test_whatever_a_policy_is_it_is_read_or_refused_as_a_document(policy: object) -> None:
    with suppress(InvalidDocument):
        read_plan({"policy": policy})
