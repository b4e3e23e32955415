"""When a learner counts as better, when it looks, and what becomes of what it published."""

from __future__ import annotations

import random

import pytest

from gateway.core.learning import (
    Backoff,
    ChangeDetector,
    Comparison,
    Fate,
    Gate,
    Judgement,
    Progress,
    Schedule,
    chained,
    fate_of,
    gain_of_class,
    gain_of_number,
    interval,
    is_due,
    is_held_out,
    judge,
    judge_held_out,
)
from gateway.core.phases import Phase

GATE = Gate(by=0.01, alpha=0.05, least=100, held_out_least=20)


def rows(both: int, ours: int, theirs: int) -> Comparison:
    """Return a comparison in which both were right so often, and either alone so often."""
    return Comparison().with_rows([(1.0, 1.0)] * both + [(1.0, 0.0)] * ours + [(0.0, 1.0)] * theirs)


def test_a_comparison_adds_up_gains_and_by_how_much_either_was_ahead() -> None:
    found = Comparison().with_rows([(1.0, 0.25), (0.5, 1.0)]).with_rows([(1.0, 1.0)])

    assert found == Comparison(rows=3, won=0.75, lost=0.5, learner=2.5, serving=2.25)
    assert found.difference == pytest.approx(0.25 / 3)


def test_without_rows_there_is_no_difference_and_the_interval_holds_everything() -> None:
    assert Comparison().difference is None
    assert interval(Comparison(), 0.05) == (-1.0, 1.0)


def test_a_learner_that_is_surely_better_by_the_gate_passes() -> None:
    found = judge(rows(380, 100, 20), GATE)

    assert found.kind is Judgement.BETTER
    assert "+0.1600" in found.reason
    assert "500 rows" in found.reason


def test_a_learner_that_is_better_by_less_than_the_gate_asks_does_not_pass() -> None:
    assert judge(rows(380, 100, 20), Gate(0.2, 0.05, 100, 0)).kind is Judgement.INCONCLUSIVE


def test_too_few_rows_never_pass_however_good_they_look() -> None:
    found = judge(rows(0, 99, 0), GATE)

    assert (found.kind, found.reason) == (Judgement.INCONCLUSIVE, "99 rows were compared, and 100 are needed")


def test_a_learner_that_is_surely_worse_is_told_from_one_that_nobody_knows() -> None:
    assert judge(rows(380, 20, 100), GATE).kind is Judgement.WORSE
    assert judge(rows(480, 10, 10), GATE).kind is Judgement.INCONCLUSIVE


def test_rows_on_which_both_agree_make_the_interval_narrower_than_two_arms_would_be() -> None:
    few, many = interval(rows(100, 10, 2), 0.05), interval(rows(10_000, 10, 2), 0.05)

    assert many.high - many.low < (few.high - few.low) / 10
    assert few.low < 8 / 112 < few.high


def test_a_learner_that_is_no_better_seldom_passes_though_every_row_is_looked_at() -> None:
    chance = random.Random(20261121)
    gate = Gate(0.0, 0.05, 10, 0)
    passed = 0
    for _ in range(100):
        comparison = Comparison()
        for number in range(300):
            comparison = comparison.with_rows([(float(chance.random() < 0.8), float(chance.random() < 0.8))])
            if number % 30 == 29 and judge(comparison, gate).kind is Judgement.BETTER:
                passed += 1
                break

    assert passed <= 5, "5 % of 100"


def test_the_model_that_goes_out_must_be_no_worse_on_rows_that_it_never_saw() -> None:
    assert judge_held_out(rows(20, 3, 3), GATE).kind is Judgement.BETTER
    assert judge_held_out(rows(20, 3, 4), GATE).kind is Judgement.WORSE
    assert judge_held_out(rows(19, 0, 0), GATE).kind is Judgement.INCONCLUSIVE
    assert judge_held_out(Comparison(), Gate(0.0, 0.05, 10, 0)).kind is Judgement.BETTER, "none are held out"


def test_a_gain_is_one_for_right_and_falls_with_the_error_of_a_number() -> None:
    assert (gain_of_class("1", "1"), gain_of_class("1", "0")) == (1.0, 0.0)
    assert [gain_of_number(10.0, each, 4.0) for each in (10.0, 9.0, 14.0, 99.0)] == [1.0, 0.75, 0.0, 0.0]
    assert gain_of_number(10.0, float("nan"), 4.0) == 0.0


def test_about_the_share_is_held_out_and_an_answer_always_falls_on_the_same_side() -> None:
    names = [f"answer-{number}" for number in range(5_000)]
    held = {name for name in names if is_held_out(name, 0.1)}

    assert 430 < len(held) < 570
    assert held == {name for name in names if is_held_out(name, 0.1)}
    assert held < {name for name in names if is_held_out(name, 0.2)}
    assert not any(is_held_out(name, 0.0) for name in names)
    assert is_held_out("\ud800", 1.0), "half a surrogate is an id too"


def test_a_version_that_is_suddenly_wrong_is_noticed_within_thirty_rows() -> None:
    chance = random.Random(7)
    before = ChangeDetector().after(float(chance.random() < 0.05) for _ in range(2_000))
    after, needed = before, 0
    while not after.is_alarmed:
        after, needed = after.after([1.0]), needed + 1

    assert not before.is_alarmed
    assert needed < 30


def test_a_version_that_is_suddenly_right_is_a_change_too() -> None:
    assert not ChangeDetector().after([1.0] * 200).is_alarmed
    assert ChangeDetector().after([1.0] * 200 + [0.0] * 25).is_alarmed


@pytest.mark.parametrize(
    ("progress", "due"),
    [
        (Progress(100, 0.0, False), True),
        (Progress(99, 0.0, False), False),
        (Progress(1, 60.0, False), True),
        (Progress(1, 59.0, False), False),
        (Progress(1, 0.0, True), True),
        (Progress(0, 1e9, True), False),
    ],
)
def test_the_gate_is_looked_at_after_labels_or_time_or_a_change(progress: Progress, due: bool) -> None:
    assert is_due(progress, Schedule(labels=100, seconds=60, on_change=True)) is due


def test_what_no_schedule_names_is_never_due() -> None:
    assert not is_due(Progress(10**9, 1e9, True, True), Schedule())


@pytest.mark.parametrize("has_drifted", [True, False])
def test_drift_has_the_gate_looked_at_where_it_is_asked_for(has_drifted: bool) -> None:
    assert is_due(Progress(1, 0.0, True, has_drifted), Schedule(on_drift=True)) is has_drifted
    assert not is_due(Progress(0, 0.0, False, has_drifted), Schedule(on_drift=True))
    assert not is_due(Progress(1, 0.0, False, has_drifted), Schedule(on_change=True))


def test_a_wait_doubles_with_each_failure_up_to_the_most() -> None:
    assert [Backoff(10, 70).seconds(failures) for failures in (1, 2, 3, 4, 10**6)] == [10, 20, 40, 70, 70]


@pytest.mark.parametrize(
    ("phase", "fate"),
    [
        (Phase.PREFLIGHT, Fate.UNDER_WAY),
        (Phase.BAKE, Fate.UNDER_WAY),
        (Phase.SUCCEEDED, Fate.PROMOTED),
        (Phase.ROLLED_BACK, Fate.TAKEN_BACK),
        (Phase.ABORTED, Fate.TAKEN_BACK),
        (Phase.SUPERSEDED, Fate.PASSED_OVER),
    ],
)
def test_the_phase_of_the_last_rollout_says_what_became_of_the_version(phase: Phase, fate: Fate) -> None:
    assert fate_of(phase, is_ours=True) is fate
    assert fate_of(phase, is_ours=False) is Fate.PASSED_OVER


def test_the_digest_of_what_was_learned_depends_on_all_of_it_and_its_order() -> None:
    ab, ba = chained(chained("", b"a"), b"b"), chained(chained("", b"b"), b"a")

    assert len(ab) == 64
    assert ab == chained(chained("", b"a"), b"b")
    assert ab != ba
