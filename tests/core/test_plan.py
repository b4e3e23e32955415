"""A rollout's plan: what it may say, and how it refuses the rest."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidDocument
from gateway.core.guards import DEFAULTS, Guard
from gateway.core.plan import MAX_STEPS, MEMBERS, Plan, ShadowPhase, Step, read_plan
from gateway.core.quantities import percent_of, seconds_of, slots_of, written_percent, written_seconds, written_slots

STEPS: list[dict[str, Any]] = [{"weight": 1, "for": "60s"}, {"weight": 10, "for": "5m"}, {"weight": 50, "for": "10m"}]
FULL: dict[str, Any] = {
    "steps": [{"weight": 1, "for": "1m"}, {"weight": "2.5%", "for": "5m", "approve": True}],
    "holdback": {"weight": 95, "for": "30m"},
    "shadow": {"for": "10m", "share": "50%", "differ": "3%", "tolerance": 0.1},
    "guards": {
        "errors": {"tolerate": "0.5%", "certify": "1%", "margin": "5%", "enforce": "hold"},
        "invalid": {"tolerate": "0.01%", "margin": "0%", "enforce": "rollback"},
        "latency": {"tolerate": "25%", "enforce": "off"},
        "labels": {"margin": "5%", "paired": False, "enforce": "rollback"},
        "outputs": {"enforce": "hold"},
    },
    "alpha": "1%",
    "on_insufficient_data": "advance",
    "max_hold": "12h",
    "min_units": 500,
    "limit": "2h",
    "confirm": "off",
    "golden": {"of": "baseline", "tolerance": 0.1},
    "require": ["parity", "evaluation"],
    "keep_loaded": "12h",
}


NO_WEIGHTS: list[Any] = [0, -1, 101, 0.001, "0.001%", True, "x", None, [], "1 percent", 1e-9]


def refused(data: object) -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        read_plan(data)
    return caught.value


def test_a_plan_of_every_member_is_read_as_it_is_written() -> None:
    plan = read_plan(FULL)

    assert plan.as_dict() == FULL
    assert plan.steps == (Step(100, 60), Step(250, 300, approve=True))
    assert plan.shadow == ShadowPhase(600, 0.5, 0.03, 0.1)
    assert plan.guard("errors") == Guard("errors", 0.005, 0.01, 0.05, enforce="hold")


def test_what_is_left_out_has_a_default_that_is_spelled_out() -> None:
    plan = read_plan({"steps": STEPS})

    assert plan.as_dict() == {
        "steps": [{"weight": 1, "for": "1m"}, {"weight": 10, "for": "5m"}, {"weight": 50, "for": "10m"}],
        "holdback": {"weight": 95, "for": "30m"},
        "guards": {
            "errors": {"tolerate": "0.5%", "margin": "0%", "enforce": "rollback"},
            "invalid": {"tolerate": "0.01%", "margin": "0%", "enforce": "rollback"},
            "latency": {"tolerate": "25%", "enforce": "rollback"},
            "outputs": {"enforce": "rollback"},
        },
        "alpha": "1%",
        "on_insufficient_data": "hold",
        "max_hold": "24h",
        "min_units": 100,
        "confirm": "on",
    }
    assert read_plan(plan.as_dict()) == plan


def test_the_example_of_the_design_is_read() -> None:
    plan = read_plan({
        "steps": STEPS,
        "holdback": {"weight": 95, "for": "30m"},
        "guards": {"errors": {"tolerate": "0.5%"}, "latency": {"tolerate": "25%"}, "invalid": {}, "labels": {}},
        "alpha": "1%",
        "on_insufficient_data": "hold",
    })  # fmt: skip

    assert plan.shares_of_alpha() == pytest.approx({"errors": 0.5, "invalid": 0.1, "latency": 0.25, "labels": 0.15})
    assert plan.guard("outputs") is None


@pytest.mark.parametrize(
    ("weights", "wait", "terminate", "limit"),
    [([30], "600s", "600s", "1800s"), ([20, 40, 60, 80, 100], "300s", "300s", "3600s")],
)
def test_the_plans_of_another_service_are_read(weights: list[int], wait: str, terminate: str, limit: str) -> None:
    """SageMaker's canary of 30 %, and its linear steps of 20 %, with a limit of the whole."""
    steps = [{"weight": weight, "for": wait} for weight in weights]

    plan = read_plan({"steps": steps, "holdback": {"weight": 100, "for": terminate}, "limit": limit})

    assert [step.slots for step in plan.steps] == [weight * 100 for weight in weights]
    assert plan.limit_seconds == seconds_of(limit)


def test_alpha_is_shared_among_the_guards_that_may_roll_back() -> None:
    without_labels = read_plan({"steps": STEPS}).shares_of_alpha()
    watching = read_plan({"steps": STEPS, "guards": {"errors": {"enforce": False}, "latency": {"enforce": "hold"}}})

    assert without_labels == pytest.approx({"errors": 0.5 / 0.85, "invalid": 0.1 / 0.85, "latency": 0.25 / 0.85})
    assert watching.shares_of_alpha() == {}


def test_yaml_reads_a_bare_off_as_a_truth_value_and_so_do_we() -> None:
    guards = {"errors": {"enforce": False}}

    plan = read_plan({"steps": STEPS, "guards": guards, "confirm": True})

    assert plan.guard("errors") == Guard("errors", 0.005, None, 0.0, enforce="off")
    assert plan.confirm == "on"


@pytest.mark.parametrize(("said", "of"), [("own", "own"), ("baseline", "baseline"), ("off", "off"), (False, "off")])
def test_whose_golden_requests_are_replayed_is_one_word(said: object, of: str) -> None:
    plan = read_plan({"steps": STEPS, "golden": said})

    assert plan.golden.of == of
    assert read_plan(plan.as_dict()) == plan


def test_a_plan_of_defaults_is_one_that_release_0_2_0_reads() -> None:
    plan = read_plan({"steps": STEPS, "golden": "own", "require": [], "keep_loaded": "24h"})

    assert not {"golden", "require", "keep_loaded"} & plan.as_dict().keys()


def test_labels_are_compared_in_pairs_where_the_plan_has_a_shadow() -> None:
    plan = read_plan({"steps": STEPS, "guards": {"labels": {}}, "shadow": {"for": "1m"}})

    labels = plan.guard("labels")
    assert labels is not None
    assert labels.paired


@pytest.mark.parametrize(
    ("named", "baseline_rate", "certify"),
    [(None, 0.0, 0.01), (None, 0.02, 0.04), (None, 0.9, 0.5), ("2%", 0.3, 0.02)],
)
def test_the_rate_to_certify_is_named_or_follows_the_baseline(
    named: str | None, baseline_rate: float, certify: float
) -> None:
    errors = {"certify": named} if named else {}

    assert read_plan({"steps": STEPS, "guards": {"errors": errors}}).certify(baseline_rate) == certify


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"guards": {"errors": {"certify": "0.5%"}}}, "write at least 1%"),
        ({"confirm": "off"}, "confirm: off"),
        ({"guards": {"labels": {"enforce": "hold"}}}, "no guard may roll back"),
        ({"holdback": {"weight": 100, "for": "1m"}}, "write 95"),
    ],
)
def test_what_is_probably_not_meant_is_warned_of(change: dict[str, Any], said: str) -> None:
    assert read_plan({"steps": STEPS}).warnings() == ()

    warnings = read_plan({"steps": STEPS} | change).warnings()

    assert len(warnings) == 1
    assert said in warnings[0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"steps": []}, "steps"),
        ({"steps": {}}, "steps"),
        ({"steps": [{"weight": n + 1, "for": "1s"} for n in range(100)] + [STEPS[0]]}, "steps"),
        ({"steps": [STEPS[1], STEPS[0]]}, "steps[1].weight"),
        ({"steps": [{"weight": 1}]}, "steps[0].for"),
        ({"steps": ["1%"]}, "steps[0]"),
        ({"steps": [{"weight": 1, "for": "1m", "until": "x"}]}, "steps[0].until"),
        *[({"steps": [{"weight": weight, "for": "1m"}]}, "steps[0].weight")
          for weight in NO_WEIGHTS],
        *[({"steps": [{"weight": 1, "for": wait}]}, "steps[0].for")
          for wait in ("", "1", 60, "0s", "1.5m", "721h", "1d", None, "-1s")],
        ({"steps": [{"weight": 1, "for": "1m", "approve": "yes"}]}, "steps[0].approve"),
        ({"holdback": {"weight": 40, "for": "1m"}}, "holdback.weight"),
        ({"holdback": {"weight": 95, "for": "1m", "approve": True}}, "holdback.approve"),
        ({"shadow": {}}, "shadow.for"),
        ({"shadow": {"for": "1m", "share": "0%"}}, "shadow.share"),
        ({"shadow": {"for": "1m", "differ": 2}}, "shadow.differ"),
        *[({"shadow": {"for": "1m", "tolerance": value}}, "shadow.tolerance")
          for value in (-1, "1", True, float("nan"))],
        ({"guards": []}, "guards"),
        ({"guards": {"error": {}}}, "guards.error"),
        ({"guards": {"errors": None}}, "guards.errors"),
        ({"guards": {"errors": {"paired": True}}}, "guards.errors.paired"),
        ({"guards": {"labels": {"paired": "x"}}}, "guards.labels.paired"),
        ({"guards": {"labels": {"least": 0}}}, "guards.labels.least"),
        ({"guards": {"labels": {"least": True}}}, "guards.labels.least"),
        ({"guards": {"errors": {"least": 5}}}, "guards.errors.least"),
        *[({"guards": {"errors": {"tolerate": value}}}, "guards.errors.tolerate")
          for value in (0.5, "0%", "46%", "x%", None)],
        ({"guards": {"latency": {"tolerate": "1001%"}}}, "guards.latency.tolerate"),
        ({"guards": {"errors": {"enforce": "maybe"}}}, "guards.errors.enforce"),
        ({"guards": {"errors": {"enforce": True}}}, "guards.errors.enforce"),
        ({"alpha": "50%"}, "alpha"),
        ({"alpha": 0.01}, "alpha"),
        ({"on_insufficient_data": "pray"}, "on_insufficient_data"),
        ({"max_hold": "x"}, "max_hold"),
        *[({"min_units": value}, "min_units") for value in (0, True, 1.5, "100")],
        ({"limit": "10m"}, "limit"),
        ({"limit": None}, "limit"),
        ({"confirm": "sometimes"}, "confirm"),
        ({"candidate": "2"}, "candidate"),
        ({"golden": "mine"}, "golden"),
        ({"golden": 1}, "golden"),
        ({"golden": {"tolerance": 1}}, "golden.of"),
        ({"golden": {"of": "mine"}}, "golden.of"),
        ({"golden": {"of": "own", "tolerance": 1}}, "golden.tolerance"),
        ({"golden": {"of": "baseline", "tolerance": -1}}, "golden.tolerance"),
        ({"require": "parity"}, "require"),
        ({"require": ["parity", "luck"]}, "require[1]"),
        ({"require": ["parity", "parity"]}, "require[1]"),
        ({"require": [{}]}, "require[0]"),
        ({"keep_loaded": "0s"}, "keep_loaded"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_place_in_the_plan(change: dict[str, Any], field: str) -> None:
    assert refused({"steps": STEPS} | change).field == field


def test_a_plan_needs_steps() -> None:
    assert refused({}).field == "steps"
    assert refused("fast").field == ""


def test_a_plan_cannot_be_built_wrong() -> None:
    step, guards = Step(100, 60), read_plan({"steps": STEPS}).guards

    for build in (
        lambda: Step(0, 60),
        lambda: Step(1, 0),
        lambda: Guard("speed"),
        lambda: Guard("errors", tolerate=2.0),
        lambda: Guard("errors", tolerate=True),
        lambda: Plan((), step, guards),
        lambda: Plan((step,) * (MAX_STEPS + 1), step, guards),
        lambda: Plan((step,), step, guards, max_hold_seconds=0),
        lambda: Plan((step,), step, guards, ShadowPhase(600), limit_seconds=700),
    ):
        with pytest.raises(InvalidDocument):
            build()


@given(st.integers(1, 10_000))
def test_a_weight_is_read_as_it_is_written(slots: int) -> None:
    assert slots_of(written_slots(slots)) == slots


@given(st.integers(0, 10_000_000))
def test_a_percent_is_read_as_it_is_written(millionths: int) -> None:
    fraction = millionths / 1_000_000

    assert percent_of(written_percent(fraction), least=0, most=10) == fraction


@given(st.integers(1, 2_592_000))
def test_a_duration_is_read_as_it_is_written(seconds: int) -> None:
    assert seconds_of(written_seconds(seconds)) == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1%", "5m", "hold"]),
    lambda node: st.lists(node, max_size=3) | st.dictionaries(st.sampled_from(["for", "weight", *DEFAULTS]), node),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON))
def test_whatever_a_plan_holds_it_is_read_or_refused_as_a_document(data: dict[str, Any]) -> None:
    with suppress(InvalidDocument):
        plan = read_plan({"steps": STEPS} | data)

        assert read_plan(json.loads(json.dumps(plan.as_dict()))) == plan


def test_the_labels_that_a_pass_needs_are_written_where_they_are_asked_for_and_nowhere_else() -> None:
    """A gateway of 0.3.0 refuses a plan that has them, and reads all others."""
    asked, silent = (read_plan({"steps": STEPS, "guards": {"labels": given}}) for given in ({"least": 50}, {}))

    assert asked.as_dict()["guards"]["labels"]["least"] == 50
    assert read_plan(asked.as_dict()) == asked
    assert "least" not in silent.as_dict()["guards"]["labels"]
