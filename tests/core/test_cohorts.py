"""Labels kept apart by the hour of the answer and the weights it was given under."""

from __future__ import annotations

from gateway.core.cohorts import HOUR_SECONDS, HOURS_KEPT, cohort_fields, hours_back, read_cohorts, strata_of
from gateway.core.confidence import Arm
from gateway.core.feedback import Fact, Prediction, fields_of

NOW = 1000 * HOUR_SECONDS + 1.0


def told(version: int, revision: int, said: str, *, rule: str = "split") -> dict[str, float]:
    prediction, fact = Prediction(version, revision, rule, classes=("1",)), Fact("a", "label", (said,))
    return cohort_fields(prediction, fields_of(prediction, fact, 0.0))


def test_a_label_counts_for_its_revision_and_version() -> None:
    assert told(2, 7, "1") == {"7|2|classed": 1, "7|2|correct": 1}
    assert told(2, 7, "0") == {"7|2|classed": 1}


def test_a_reward_counts_whether_it_is_bounded() -> None:
    prediction, fact = Prediction(1, 3, "split"), Fact("a", "reward", ("0.5",))

    found = cohort_fields(prediction, fields_of(prediction, fact, 0.0))

    assert found == {"3|1|rewarded": 1, "3|1|sum_reward": 0.5, "3|1|bounded": 1}


def test_what_the_split_did_not_choose_is_in_no_cohort() -> None:
    assert told(2, 7, "1", rule="rule-1") == {}


def test_what_was_counted_is_read_and_nonsense_is_left_out() -> None:
    hashes = {5: {"7|2|classed": "4", "7|2|correct": "3", "x|2|classed": "1", "7|x|classed": "1", "7|2|odd": "1",
                  "7|2|bounded": "nan", "7|2|rewarded": "many", "7": "1"}}  # fmt: skip

    cohorts = read_cohorts(hashes)

    assert {key: {version: dict(each.counts) for version, each in found.items()} for key, found in cohorts.items()} == {
        (5, 7): {2: {"classed": 4.0, "correct": 3.0}}
    }


def test_hours_of_one_revision_are_one_stratum_without_a_half_life() -> None:
    cohorts = read_cohorts({
        3: {"7|1|classed": "4", "7|1|correct": "3"}, 4: {"7|1|classed": "6", "7|2|classed": "2", "8|2|classed": "9"},
    })  # fmt: skip

    strata = strata_of(cohorts, (1, 2), "accuracy", half_life_seconds=None, now=NOW)

    assert [tuple(each) for each in strata] == [
        (7, {1: Arm(3, 10), 2: Arm(0, 2)}, 1.0), (8, {1: Arm(0, 0), 2: Arm(0, 9)}, 1.0),
    ]  # fmt: skip


def test_with_a_half_life_each_stretch_of_it_is_a_stratum_and_counts_half_of_the_next() -> None:
    cohorts = read_cohorts({hour: {"7|1|classed": "1"} for hour in (997, 998, 999, 1000, 1001)})

    strata = strata_of(cohorts, (1,), "accuracy", half_life_seconds=2 * HOUR_SECONDS, now=NOW)

    assert [(each.arms[1].trials, each.discount) for each in strata] == [(2, 1.0), (2, 0.5), (1, 0.25)]


def test_rewards_beyond_one_are_no_trials() -> None:
    cohorts = read_cohorts({3: {"7|1|rewarded": "2", "7|1|sum_reward": "5.5", "7|1|bounded": "1"}})

    assert strata_of(cohorts, (1,), "reward", half_life_seconds=None, now=NOW)[0].arms[1] == Arm(0, 0)


def test_as_far_back_is_looked_as_labels_count() -> None:
    assert hours_back(None, NOW) == range(1001 - HOURS_KEPT, 1001)
    assert hours_back(3 * HOUR_SECONDS, NOW) == range(971, 1001)
    assert len(hours_back(1000 * HOUR_SECONDS, NOW)) == HOURS_KEPT
