"""The judgement: what each guard says, how they weigh together, and which verdict comes first."""

from __future__ import annotations

import json
from math import exp
from time import perf_counter
from typing import Any

import pytest

from gateway.core.analysis import LARGEST, assess
from gateway.core.evidence import KINDS, RUN_KINDS, Arms, Counter, Evidence
from gateway.core.plan import read_plan
from gateway.core.verdicts import Kind, Verdict

ARMS = Arms(canary=2, baseline=1)
STEPS = [{"weight": 5, "for": "5m"}]
FIVE = {1: 9500, 2: 500}
HALF = {1: 5000, 2: 5000}
HEALTHY = {"2|n": 500, "1|n": 9500}


def judge(
    counts: dict[str, int], *, slots: dict[int, int] | None = None, certify: float = 0.01, **changes: Any
) -> Verdict:
    """Assess *counts*, ``version|kind`` → how many, all under one revision; *changes* are the plan's or assess's."""
    asked = {name: changes.pop(name) for name in ("alpha", "since", "tripped") if name in changes}
    counters = {}
    for name, count in counts.items():
        version, kind, *batch_class = name.split("|")
        counters[Counter(3, int(version), kind, int(*batch_class))] = count
    evidence = Evidence(counters, {3: slots or FIVE})
    return assess(evidence, read_plan({"steps": STEPS} | changes), ARMS, certify=certify, **asked)


def guards(verdict: Verdict) -> list[str]:
    return [reason.guard for reason in verdict.reasons]


def test_no_traffic_is_not_enough_evidence() -> None:
    verdict = judge({})

    assert verdict.kind is Kind.INCONCLUSIVE
    assert guards(verdict) == ["certificate", "units"]
    assert verdict.e_values["total"] == pytest.approx(1)


def test_the_third_failure_of_a_canary_that_fails_always_takes_it_back() -> None:
    two = judge({"2|n": 2, "2|failed": 2, "2|error": 2, "1|n": 38})
    three = judge({"2|n": 3, "2|failed": 3, "2|error": 3, "1|n": 57})

    assert two.kind is Kind.INCONCLUSIVE
    assert three.kind is Kind.FAIL
    assert guards(three) == ["errors"]
    assert "canary 3 error in 3 requests, baseline 0 error" in three.text
    assert three.requests_to_decision == 0
    assert three.failures == 3


def test_below_three_failures_errors_count_for_nothing() -> None:
    assert judge({"2|n": 2, "2|error": 2}).e_values["errors"] == 1
    assert judge({"2|n": 2, "2|invalid": 2}).e_values["invalid"] == 1
    assert judge({"2|n": 3, "2|error": 3}).e_values["errors"] == pytest.approx(exp(7.507606076))


def test_a_canary_that_is_worse_and_tolerable_is_never_taken_back_for_errors() -> None:
    verdict = judge({"2|n": 20_000, "2|error": 60, "2|failed": 60, "1|n": 380_000, "1|error": 38})

    assert verdict.e_values["errors"] < 1
    assert verdict.kind is Kind.PASS


def test_a_canary_that_is_bad_and_no_worse_than_the_baseline_is_not_taken_back() -> None:
    verdict = judge({"2|n": 1000, "2|error": 40, "2|failed": 40, "1|n": 19_000, "1|error": 760, "1|failed": 760})

    assert verdict.e_values["errors"] < 10
    assert verdict.kind is Kind.INCONCLUSIVE


def test_each_guard_alone_needs_its_share_of_alpha() -> None:
    verdict = judge({}, guards={"errors": {}, "invalid": {}, "latency": {}, "labels": {}})

    assert verdict.thresholds == pytest.approx(
        {"errors": 200, "invalid": 1000, "latency": 400, "labels": 2000 / 3, "total": 100}
    )


@pytest.mark.parametrize(
    ("counts", "guard"),
    [
        ({"2|n": 100, "2|invalid": 6}, "invalid"),
        ({"2|n": 200, "2|slow50": 190, "2|slow90": 150, "1|slow50": 1900, "1|slow90": 380}, "latency"),
        ({"2|n": 900, "2|labelled": 400, "1|labelled": 7600, "2|wrong": 120, "1|wrong": 760}, "labels"),
    ],
)
def test_every_guard_can_take_a_canary_back_by_itself(counts: dict[str, int], guard: str) -> None:
    verdict = judge(counts, guards={"errors": {}, "invalid": {}, "latency": {}, "labels": {}})

    assert verdict.kind is Kind.FAIL
    assert guards(verdict) == [guard]


def test_paired_labels_are_judged_by_who_alone_was_wrong() -> None:
    paired = {"labels": {"paired": True}}

    assert judge({"2|pair_lost": 30, "2|pair_won": 1, "2|wrong": 0}, guards=paired).kind is Kind.FAIL
    assert judge({"2|pair_lost": 5, "2|pair_won": 5, "2|wrong": 500}, guards=paired).kind is Kind.INCONCLUSIVE


def test_a_slower_batch_class_needs_more_failed_runs() -> None:
    assert judge({"2|n": 60, "2|error|8": 7}).kind is not Kind.FAIL
    assert judge({"2|n": 60, "2|error": 7}).kind is Kind.FAIL


def test_three_canaries_and_a_worker_alone_need_more_at_a_smaller_alpha() -> None:
    counts = {"2|n": 3, "2|error": 3}

    assert judge(counts, alpha=0.01 / 3).kind is Kind.FAIL
    assert judge(counts, alpha=0.01 / 100 / 3).kind is Kind.HOLD


@pytest.mark.parametrize(
    ("enforce", "kind"), [("rollback", Kind.FAIL), ("hold", Kind.HOLD), ("off", Kind.INCONCLUSIVE)]
)
def test_a_guard_goes_as_far_as_it_may_and_always_shows_its_value(enforce: str, kind: Kind) -> None:
    verdict = judge({"2|n": 9, "2|error": 9}, guards={"errors": {"enforce": enforce}, "latency": {}})

    assert verdict.kind is kind
    assert verdict.e_values["errors"] > 1000
    assert verdict.thresholds["errors"] == pytest.approx(150 if enforce == "rollback" else 200)


def test_where_no_guard_may_roll_back_the_total_stands_at_one() -> None:
    assert judge({"2|n": 9, "2|error": 9}, guards={}).e_values == {"total": 1}


def test_suspicion_holds_before_it_takes_back() -> None:
    verdict = judge({"2|n": 60, "2|error": 3, "2|failed": 3, "1|n": 1140})

    assert 10 <= verdict.e_values["total"] < 100
    assert verdict.kind is Kind.HOLD
    assert guards(verdict) == ["total"]


def test_a_certificate_and_enough_units_in_this_step_pass() -> None:
    assert judge(HEALTHY).kind is Kind.PASS
    assert guards(judge(HEALTHY)) == ["certificate"]
    assert "0 of 500 requests failed" in judge(HEALTHY).text
    assert guards(judge(HEALTHY, since=4)) == ["units"]
    assert guards(judge({"2|n": 393})) == ["certificate"]
    assert judge({"2|n": 394}).kind is Kind.PASS
    assert judge({"2|n": 394}, min_units=1000).kind is Kind.INCONCLUSIVE


def test_a_first_death_holds_and_a_second_takes_back() -> None:
    assert guards(judge(HEALTHY | {"2|deaths": 1})) == ["deaths"]
    assert judge(HEALTHY | {"2|deaths": 1}).kind is Kind.HOLD
    assert judge(HEALTHY | {"2|deaths": 2}).kind is Kind.FAIL
    assert judge(HEALTHY | {"1|deaths": 2}).kind is Kind.PASS


def test_a_tripped_breaker_takes_back() -> None:
    verdict = judge(HEALTHY, tripped=True)

    assert verdict.kind is Kind.FAIL
    assert guards(verdict) == ["breaker"]


COLLAPSED = HEALTHY | {"2|out_0": 1000, "1|out_0": 600, "1|out_1": 400}


@pytest.mark.parametrize(("enforce", "kind"), [("rollback", Kind.FAIL), ("hold", Kind.HOLD), ("off", Kind.PASS)])
def test_one_answer_for_everybody_is_a_failure(enforce: str, kind: Kind) -> None:
    assert judge(COLLAPSED, guards={"outputs": {"enforce": enforce}}).kind is kind
    assert judge(COLLAPSED, guards={}).kind is Kind.PASS


def test_other_outputs_than_the_baselines_only_hold() -> None:
    drifted = {"2|out_0": 900, "2|out_1": 100, "1|out_0": 500, "1|out_1": 500}

    assert guards(judge(HEALTHY | drifted)) == ["drift"]
    assert judge(HEALTHY | drifted).kind is Kind.HOLD
    assert judge(HEALTHY | drifted | {"2|out_0": 899}).kind is Kind.PASS
    assert judge(HEALTHY | {"2|out_0": 1000, "1|out_0": 1000}).kind is Kind.PASS


def test_shadow_pairs_that_differ_hold() -> None:
    shadow: dict[str, Any] = {"shadow": {"for": "1m"}}

    assert guards(judge(HEALTHY | {"2|pair_n": 500, "2|differ": 40}, **shadow)) == ["disagreement"]
    assert judge(HEALTHY | {"2|pair_n": 500, "2|differ": 10}, **shadow).kind is Kind.PASS
    assert judge(HEALTHY | {"2|pair_n": 500, "2|differ": 10}, **shadow).pairs == 500


def test_units_that_are_not_assigned_as_the_slots_say_hold_and_blame_the_router() -> None:
    verdict = judge(HEALTHY | {"2|assigned": 400, "1|assigned": 9600})

    assert verdict.kind is Kind.HOLD
    assert guards(verdict) == ["assignment"]
    assert "not the version" in verdict.text


def test_failures_that_both_arms_share_hold_and_take_nobody_back() -> None:
    both = {"2|n": 100, "2|failed": 6, "1|n": 1900, "1|failed": 120}

    assert guards(judge(both)) == ["common"]
    assert judge(both).kind is Kind.HOLD
    assert guards(judge(both | {"2|n": 99})) == ["certificate", "units"]
    assert guards(judge(both | {"1|failed": 90})) == ["certificate"]


def test_failing_comes_before_holding_and_holding_before_passing() -> None:
    worst = COLLAPSED | {"2|deaths": 2, "2|error": 50, "2|failed": 50}

    assert judge(worst).kind is Kind.FAIL
    assert guards(judge(worst)) == ["errors", "deaths", "outputs"]
    assert judge(HEALTHY | {"2|deaths": 1}).certificate.stands


def test_the_same_totals_in_another_order_give_the_same_verdict() -> None:
    counts = {"2|n": 300, "2|error": 2, "2|error|4": 3, "1|error": 9, "1|n": 5000, "2|slow50": 40, "1|slow50": 800}

    assert judge(counts) == judge(dict(reversed(counts.items())))


def test_a_forecast_says_how_many_requests_a_decision_takes() -> None:
    assert judge({}).requests_to_decision == 394
    assert judge({"2|n": 94}).requests_to_decision == 300
    assert judge(HEALTHY).requests_to_decision == 0
    assert judge({"2|n": 1000, "2|failed": 10}).requests_to_decision is None
    suspicious = judge({"2|n": 60, "2|error": 3, "2|failed": 3})
    assert suspicious.requests_to_decision is not None
    assert 0 < suspicious.requests_to_decision < 60


def test_a_verdict_can_be_carried_by_json_however_large_its_evidence() -> None:
    verdict = judge({"2|n": 10_000, "2|error": 10_000, "2|failed": 10_000}, slots=HALF)

    carried = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))

    assert carried["kind"] == "FAIL"
    assert carried["reasons"][0]["guard"] == "errors"
    assert carried["e_values"]["errors"] == LARGEST
    assert carried["certificate"]["stands"] is False


def test_an_assessment_of_a_whole_rollout_takes_about_a_millisecond() -> None:
    """Six revisions, every kind, three batch classes. The bound has room for coverage and for other work beside it."""
    revisions = dict.fromkeys(range(1, 7), HALF)
    counts = {
        Counter(revision, version, kind, batch_class): 3
        for revision in revisions
        for version in (1, 2)
        for kind in KINDS
        for batch_class in (range(3) if kind in RUN_KINDS else (0,))
    }
    evidence, plan = Evidence(counts, revisions), read_plan({"steps": STEPS})

    taken = []
    for _ in range(20):
        began = perf_counter()
        assess(evidence, plan, ARMS, certify=0.01)
        taken.append(perf_counter() - began)

    assert min(taken) < 0.01


@pytest.mark.parametrize(
    ("guard", "labelled", "kind", "reasons"),
    [
        ({"least": 30}, 29, Kind.INCONCLUSIVE, ["labels"]),
        ({"least": 30}, 30, Kind.PASS, []),
        ({"least": 30, "enforce": "hold"}, 0, Kind.INCONCLUSIVE, ["labels"]),
        ({"least": 30, "enforce": "off"}, 0, Kind.PASS, []),
        ({}, 0, Kind.PASS, []),
    ],
)
def test_a_canary_that_nobody_labelled_passes_only_where_no_labels_are_asked_for(
    guard: dict[str, Any], labelled: int, kind: Kind, reasons: list[str]
) -> None:
    verdict = judge(HEALTHY | {"2|labelled": labelled, "1|labelled": 500}, guards={"errors": {}, "labels": guard})

    assert verdict.kind is kind
    assert [reason.guard for reason in verdict.reasons if reason.guard == "labels"] == reasons
