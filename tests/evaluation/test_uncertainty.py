"""How sure a difference is."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.evaluation.predictions import Classes, Numbers
from gateway.evaluation.scores import scores_of
from gateway.evaluation.uncertainty import differences, disagreement


def hits(right: int, wrong: int) -> Classes:
    """Return a classifier that is right in the first rows and wrong in the others."""
    rows = right + wrong
    return Classes(("a", "b"), np.zeros(rows, int), np.array([0] * right + [1] * wrong), None)


def test_a_version_that_answers_as_the_baseline_differs_by_nothing_and_that_is_known() -> None:
    found = differences(1, {1: scores_of(hits(80, 20)), 2: scores_of(hits(80, 20))}, 100, 0)

    assert (found[2]["accuracy"].value, found[2]["accuracy"].low, found[2]["accuracy"].high) == (0, 0, 0)
    assert not found[2]["accuracy"].is_sure


def test_the_interval_of_a_paired_difference_is_that_of_its_rows() -> None:
    """One is right in ten rows more of 400: the rows' difference has mean 0.025 and standard error 0.0078."""
    found = differences(1, {1: scores_of(hits(300, 100)), 2: scores_of(hits(310, 90))}, 400, 0)[2]["accuracy"]

    assert found.value == pytest.approx(0.025)
    assert found.low == pytest.approx(0.025 - 1.96 * 0.0078, abs=0.003)
    assert found.high == pytest.approx(0.025 + 1.96 * 0.0078, abs=0.003)
    assert found.is_sure


def test_a_seed_gives_the_same_interval_each_time_and_another_one_another() -> None:
    draw = np.random.default_rng(0)
    right = draw.normal(size=50)
    scores = {1: scores_of(Numbers(right, right + 0.1)), 2: scores_of(Numbers(right, right + draw.normal(size=50)))}

    first, again, other = (differences(1, scores, 50, seed)[2]["mse"] for seed in (7, 7, 8))

    assert first == again
    assert (first.low, first.value) != (other.low, other.value)


def test_a_score_that_most_resamples_cannot_know_has_no_interval() -> None:
    right = np.array([0] * 30 + [1])
    found = Classes(("a", "b"), right, right, np.tile([0.6, 0.4], (31, 1)))

    apart = differences(1, {1: scores_of(found), 2: scores_of(found)}, 31, 0)[2]["roc_auc"]

    assert (apart.value, apart.low, apart.high, apart.is_sure) == (0, None, None, False)


@pytest.mark.parametrize(
    ("lost", "won", "p_value"),
    [(0, 0, 1.0), (5, 5, 1.0), (3, 8, 0.2265625), (1, 11, 0.00634765625), (0, 10, 2 / 2**10), (10, 0, 2 / 2**10)],
)
def test_mcnemar_s_test_is_a_fair_coin_over_the_rows_that_one_alone_gets_right(
    lost: int, won: int, p_value: float
) -> None:
    right = np.zeros(lost + won + 5, int)
    first, second = right.copy(), right.copy()
    second[:lost] = 1
    first[lost : lost + won] = 1

    found = disagreement(Classes(("a", "b"), right, first, None), Classes(("a", "b"), right, second, None))

    assert found is not None
    assert (found.only_baseline, found.only_version) == (lost, won)
    assert found.p_value == pytest.approx(p_value)


def test_many_rows_do_not_overflow_mcnemar_s_test() -> None:
    found = disagreement(hits(50_000, 50_000), hits(60_000, 40_000))

    assert found is not None
    assert 0 <= found.p_value < 1e-300


def test_numbers_are_not_put_to_mcnemar_s_test() -> None:
    assert disagreement(Numbers(np.ones(3), np.ones(3)), Numbers(np.ones(3), np.ones(3))) is None
