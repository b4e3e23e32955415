"""What a report says of two versions, and when it says nothing."""

from __future__ import annotations

from math import inf

import pytest

from gateway.core.confidence import Arm
from gateway.core.experiment import (
    RULE,
    Asked,
    answers_of,
    arm_of,
    assignment_of,
    compare,
    compared,
    segment_of,
    trials_to_see,
)
from gateway.core.quality import read_quality

ASKED = Asked(1, 2)
HALVES = {1: 5000, 2: 5000}


def fields(version: int, *, classed: int, correct: int, rule: str = "split") -> dict[str, str]:
    return {f"{version}|in|{rule}|classed": str(classed), f"{version}|in|{rule}|correct": str(correct)}


def test_only_what_the_rule_chose_is_compared() -> None:
    qualities = read_quality([
        fields(1, classed=100, correct=90), fields(2, classed=50, correct=40),
        fields(2, classed=900, correct=0, rule="rule-1"), {"2|classed": "950", "2|correct": "40"},
    ])  # fmt: skip

    assert compared(ASKED, qualities)["accuracy"].arms == ((90, 100), (40, 50))
    assert compared(ASKED._replace(rule="rule-1"), qualities) == {}
    assert segment_of(qualities, 7, "split").counts == {}


def test_rewards_are_compared_only_where_all_of_them_are_from_0_to_1() -> None:
    def rewards(version: int, bounded: int) -> dict[str, str]:
        kinds = {"rewarded": 4, "bounded": bounded, "sum_reward": 2.5}
        return {f"{version}|in|split|{kind}": str(many) for kind, many in kinds.items()}

    assert compared(ASKED, read_quality([rewards(1, 4), rewards(2, 4)]))["reward"].arms == ((2.5, 4), (2.5, 4))
    assert compared(ASKED, read_quality([rewards(1, 4), rewards(2, 3)])) == {}


def test_sums_that_rounding_took_out_of_range_are_rates_still() -> None:
    def segment(total: str) -> Arm:
        read = read_quality([{"1|in|split|rewarded": "3", "1|in|split|bounded": "3", "1|in|split|sum_reward": total}])
        return arm_of(segment_of(read, 1, "split"), "reward")

    assert segment("3.0000000001") == (3.0, 3)
    assert segment("-1e-12") == (0.0, 3)


def test_a_difference_is_seen_where_its_interval_leaves_out_zero() -> None:
    clear = compare(Arm(900, 1000), Arm(990, 1000), apart=0.01, alpha=0.05)
    open_ = compare(Arm(900, 1000), Arm(910, 1000), apart=0.01, alpha=0.05)
    worse = compare(Arm(990, 1000), Arm(900, 1000), apart=0.01, alpha=0.05)

    assert (clear.is_seen, open_.is_seen, worse.is_seen) == (True, False, True)
    assert clear.chance_second_higher > 0.999 > open_.chance_second_higher > 0.5
    shown = clear.as_dict()
    assert shown["difference"]["value"] == pytest.approx(0.09)
    assert shown["ratio"]["value"] == pytest.approx(1.1)


def test_an_end_of_the_ratio_that_nothing_bounds_is_null() -> None:
    shown = compare(Arm(0, 30), Arm(15, 30), apart=0.01, alpha=0.05)

    assert shown.ratio.high == inf
    assert (shown.as_dict()["ratio"]["value"], shown.as_dict()["ratio"]["high"]) == (None, None)


# How much longer


def test_the_forecast_comes_true_where_the_rates_are_as_it_says() -> None:
    more = trials_to_see(Arm(450, 500), Arm(430, 500), apart=0.02, alpha=0.05)

    assert more is not None
    grown = (more + 1000) / 2
    base = 450.5 / 501

    def seen(apart: float, trials: float) -> bool:
        return compare(Arm(base * trials, trials), Arm((base + apart) * trials, trials), apart=0.02, alpha=0.05).is_seen

    assert seen(0.02, grown * 1.001)
    assert seen(-0.02, grown * 1.001)
    assert not (seen(0.02, grown * 0.98) and seen(-0.02, grown * 0.98))


def test_what_can_be_seen_already_needs_nothing_and_a_smaller_difference_needs_more() -> None:
    arms = Arm(4500, 5000), Arm(4500, 5000)

    found = [trials_to_see(*arms, apart=apart, alpha=0.05) for apart in (0.2, 0.02, 0.01)]

    assert found[0] == 0
    assert found[1] is not None
    assert found[2] is not None
    assert 0 < found[1] < found[2]


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        (Arm(9, 10), Arm(900, 1000), 0.01),
        (Arm(50, 100), Arm(50, 100), 1e-9),
        (Arm(50, 100), Arm(50, 100), 0.6),
    ],
)
def test_nothing_is_forecast_of_a_young_arm_or_of_what_is_out_of_sight(first: Arm, second: Arm, apart: float) -> None:
    assert trials_to_see(first, second, apart=apart, alpha=0.05) is None


# Whether the split assigned as it says


def test_answers_as_the_slots_say_are_no_mismatch_and_a_loss_of_one_version_is() -> None:
    fine = assignment_of(ASKED, {"3|1": "5030", "3|2": "4970"}, {3: HALVES})
    lost = assignment_of(ASKED, {"3|1": "5030", "3|2": "4400"}, {3: HALVES})

    assert fine is not None
    assert lost is not None
    assert (fine.is_mismatch, lost.is_mismatch) == (False, True)
    assert fine.as_dict()["revisions"] == [{"revision": 3, "answers": [5030, 4970], "due_share": 0.5}]


def test_each_revision_counts_by_its_own_split() -> None:
    ramped = {"3|1": "9500", "3|2": "500", "4|1": "500", "4|2": "9500", "5|1": "7"}
    slots = {3: {1: 9500, 2: 500}, 4: {1: 500, 2: 9500}, 5: {1: 10_000, 2: 0}, 6: HALVES}

    found = assignment_of(ASKED, ramped, slots)

    assert found is not None
    assert list(found.units) == [3, 4]
    assert not found.is_mismatch
    assert answers_of(ramped, 1) == 10_007


def test_without_a_revision_that_splits_between_both_there_is_nothing_to_check() -> None:
    assert assignment_of(ASKED, {"3|1": "5"}, {3: {1: 10_000, 3: 0}}) is None
    assert assignment_of(ASKED, {"3|1": "5"}, {}) is None


@pytest.mark.parametrize(("field", "value"), [("x|1", "5"), ("3|", "5"), ("3", "5"), ("3|1", "many"), ("3|1", "-1")])
def test_a_field_that_counts_no_answers_is_left_out(field: str, value: str) -> None:
    assert answers_of({field: value}, 1) == 0


@pytest.mark.parametrize("rule", ["split", "missing", "pinned", "fallback", "rule-1", "rule-12"])
def test_every_rule_that_names_an_answer_can_be_asked_for(rule: str) -> None:
    assert RULE.fullmatch(rule)
