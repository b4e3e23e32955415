"""What labels ask of a split, one judgement at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bandit import LEAST_FRESH, aim, judge, pooled, towards
from gateway.core.cohorts import Stratum
from gateway.core.confidence import Arm
from gateway.core.optimize import Optimize
from gateway.core.slots import SLOTS

BY_ACCURACY = Optimize("accuracy")
EVEN = {1: 50, 2: 50}


def stratum(revision: int = 3, discount: float = 1.0, **arms: tuple[float, float]) -> Stratum:
    return Stratum(revision, {int(name[1:]): Arm(*arm) for name, arm in arms.items()}, discount)


def test_the_better_version_gets_more_by_a_step_at_most_and_the_reason_says_why() -> None:
    found = judge(BY_ACCURACY, EVEN, 3, [stratum(v1=(160, 200), v2=(190, 200))])

    assert found.split == {1: 4000, 2: 6000}
    assert found.chances[2] > 0.99
    assert (
        "version 2 is the best by accuracy with a chance of 1.000 (1: 0.8000 of 200, 2: 0.9500 of 200)" in found.reason
    )


def test_before_the_labels_suffice_nothing_moves() -> None:
    found = judge(BY_ACCURACY, EVEN, 3, [stratum(v1=(10, 99), v2=(400, 400))])

    assert (found.split, found.chances) == (None, {})
    assert found.reason == "waits for labels: version 1 has 99 of 100"


def test_weights_are_moved_again_only_by_labels_of_answers_under_them() -> None:
    old, new = stratum(3, v1=(160, 200), v2=(190, 200)), stratum(4, v1=(8, 9), v2=(50, 50))

    found = judge(BY_ACCURACY, {1: 40, 2: 60}, 4, [old, new])

    assert found.split is None
    assert found.reason.startswith(
        f"waits for labels of answers under these weights: version 1 has 9 of {LEAST_FRESH};"
    )
    assert judge(BY_ACCURACY, {1: 40, 2: 60}, 4, [old, stratum(4, v1=(8, 10), v2=(50, 50))]).split is not None


def test_a_move_by_less_than_one_percent_is_not_made() -> None:
    found = judge(BY_ACCURACY, {1: 505, 2: 9495}, 3, [stratum(v1=(160, 200), v2=(1900, 2000))])

    assert found.split is None
    assert found.reason.startswith("stays: version 2 is the best")


def test_versions_without_weight_that_share_nothing_stay_at_zero() -> None:
    found = judge(BY_ACCURACY, {1: 50, 2: 50, 7: 0}, 3, [stratum(v1=(160, 200), v2=(190, 200))])

    assert found.split == {1: 4000, 2: 6000, 7: 0}


def test_one_stratum_counts_as_it_is() -> None:
    assert pooled([stratum(v1=(160, 200), v2=(30, 40))], (1, 2)) == {
        1: pytest.approx(Arm(160, 200)), 2: pytest.approx(Arm(30, 40))
    }  # fmt: skip


def test_two_equal_versions_stay_equal_while_times_and_weights_change() -> None:
    """Totals would call version 2 far better: it had most of the good time's traffic."""
    bad_time, good_time = stratum(1, v1=(90, 900), v2=(10, 100)), stratum(2, v1=(90, 100), v2=(810, 900))

    arms = pooled([bad_time, good_time], (1, 2))

    assert arms[1].rate == pytest.approx(arms[2].rate)


def test_a_stratum_in_which_one_version_has_no_label_tells_nothing() -> None:
    whole = stratum(1, v1=(90, 100), v2=(80, 100))

    assert pooled([whole, stratum(2, v1=(0, 500)), stratum(3, v1=(0, 5), v2=(0, 0))], (1, 2)) == pooled([whole], (1, 2))


def test_without_a_stratum_that_tells_something_nobody_has_labels() -> None:
    assert pooled([stratum(v1=(1, 2))], (1, 2)) == {1: Arm(0, 0), 2: Arm(0, 0)}


def test_old_labels_count_less_where_they_are_discounted() -> None:
    old, new = stratum(1, 0.25, v1=(0, 100), v2=(0, 100)), stratum(1, v1=(100, 100), v2=(100, 100))

    arm = pooled([old, new], (1, 2))[1]

    assert arm.rate == pytest.approx(0.8)
    assert arm.trials == pytest.approx(100 * 1.25**2 / (1 + 0.25**2))


def test_an_aim_keeps_every_floor_and_follows_the_chances_beyond() -> None:
    assert aim({1: 0.0, 2: 0.75, 3: 0.25}, 500) == {1: 500, 2: 500 + 6375, 3: 500 + 2125}
    assert aim({1: 1 / 3, 2: 1 / 3, 3: 1 / 3}, 0) == {1: 3334, 2: 3333, 3: 3333}
    assert aim({1: 0.1, 2: 0.9}, SLOTS // 2) == {1: 5000, 2: 5000}


def splits(floor: int, versions: int) -> st.SearchStrategy[dict[int, int]]:
    chances = st.lists(st.floats(0.001, 1), min_size=versions, max_size=versions)
    return chances.map(lambda given: aim({n: each / sum(given) for n, each in enumerate(given, start=1)}, floor))


@given(st.integers(2, 10).flatmap(lambda n: st.tuples(splits(37, n), splits(37, n))), st.integers(100, SLOTS))
def test_a_move_keeps_sum_floor_and_step_and_overshoots_nowhere(pair: tuple[dict[int, int], ...], step: int) -> None:
    current, target = pair

    after = towards(current, target, step)

    assert sum(after.values()) == SLOTS
    assert min(after.values()) >= 37
    for version, slots in after.items():
        assert abs(slots - current[version]) <= step
        assert min(current[version], target[version]) <= slots <= max(current[version], target[version])
