"""Drift: how large, how sure, how soon; and how seldom without any, however often it is looked at."""

from __future__ import annotations

import random
from math import exp, log
from typing import TYPE_CHECKING

import pytest

from gateway.core.drift import (
    DRIFTED_FROM,
    FALSE_ALARMS,
    LARGEST_BOUND,
    TOLERATED,
    ColumnDrift,
    Detector,
    Rate,
    State,
    VersionDrift,
    bounds,
    by_chance,
    psi,
)
from gateway.core.outputs import BINS
from gateway.core.reference import PREDICTION, Column, Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

EVEN = Column("amount", "numbers", (0, *[200] * 10, 0, 0), tuple(range(11)))
CLASSES = Column(PREDICTION, "hashed", (600, 400, *[0] * (BINS - 2)))


def draws(draw: random.Random, weights: Sequence[float], rows: int) -> list[int]:
    counts = [0] * len(weights)
    for number in draw.choices(range(len(weights)), weights, k=rows):
        counts[number] += 1
    return counts


def test_the_index_is_zero_for_equal_shares_and_what_its_formula_says_for_others() -> None:
    assert psi([100, 100], [1000, 1000]) == 0
    a, b = 150.5 / 201, 50.5 / 201
    assert psi([100, 100], [150, 50]) == pytest.approx((a - 0.5) * log(a / 0.5) + (b - 0.5) * log(b / 0.5), abs=1e-9)


def test_a_bin_that_one_side_lacks_has_a_finite_index() -> None:
    assert 1 < psi([1000, 0], [500, 500]) < 5


def test_chance_alone_makes_about_as_much_index_as_is_taken_off() -> None:
    draw = random.Random(5)
    found = [psi(list(EVEN.counts[1:11]), draws(draw, EVEN.counts[1:11], 1000)) for _ in range(200)]

    assert sum(found) / len(found) == pytest.approx(by_chance(EVEN.counts[1:11], [100] * 10) - 9 / 2000, rel=0.15)


def test_a_bound_allows_what_is_tolerated_and_more_for_a_small_reference() -> None:
    large, small = bounds([50_000, 50_000]), bounds([5, 5])

    assert large[0] == pytest.approx(0.5 + TOLERATED, abs=0.01)
    assert small[0] > 0.9


def test_a_detector_of_a_constant_column_looks_at_the_other_bins_only() -> None:
    assert bounds([1000, 0])[0] > LARGEST_BOUND
    detector = Detector([1000, 0])
    detector.look([50, 0])
    calm = detector.log_e
    detector.look([0, 50])

    assert calm < 0 < detector.log_e


def test_a_detector_without_any_bin_to_look_at_never_says_anything() -> None:
    detector = Detector([1000])
    detector.look([50])

    assert detector.log_e == 0


def test_at_the_edge_of_the_null_false_alarms_within_n_looks_stay_below_n_over_the_limit() -> None:
    """Every bin at its bound or below, the worst case, and looks after every single row."""
    looks, limit, runs, draw = 150, 1500, 300, random.Random(1)
    edge = bounds([500, 500])[0]
    alarms = 0
    for _ in range(runs):
        detector = Detector([500, 500])
        for _ in range(looks):
            detector.look([1, 0] if draw.random() < edge else [0, 1])
            if detector.log_e >= log(limit):
                alarms += 1
                break

    assert alarms / runs <= looks / limit + 0.05


def test_the_same_detector_without_its_tolerance_would_break_that_bound() -> None:
    """The negative control: rows just beyond the bound are found, so the test above could fail."""
    draw, alarms = random.Random(1), 0
    edge = bounds([500, 500])[0] + 0.2
    for _ in range(50):
        detector = Detector([500, 500])
        for _ in range(150):
            detector.look([1, 0] if draw.random() < edge else [0, 1])
        alarms += detector.log_e >= log(1500)

    assert alarms > 25


def test_no_drift_is_never_found_in_many_looks_at_the_default_limit() -> None:
    draw, drifted = random.Random(2), 0
    for _ in range(20):
        column = ColumnDrift(EVEN, 30)
        for _ in range(60):
            column.look(draws(draw, EVEN.counts, 32))
            drifted += column.finding().state is State.DRIFTED

    assert drifted == 0


@pytest.mark.parametrize(("share", "rows"), [(1.0, 24), (0.7, 48), (0.4, 240)])
def test_a_shift_is_found_within_so_many_rows(share: float, rows: int) -> None:
    """*share* of the rows leaves the reference's range; 30 columns share the chance of a false alarm."""
    draw = random.Random(3)
    weights = [each * (1 - share) / 2000 for each in EVEN.counts]
    weights[11] = share
    slow = 0
    for _ in range(20):
        column = ColumnDrift(EVEN, 30)
        for _ in range(10):
            column.look(draws(draw, EVEN.counts, 50))
        for _ in range(rows):
            column.look(draws(draw, weights, 1))
        slow += column.finding().state is not State.DRIFTED

    assert slow <= 1


def test_a_finding_says_what_moved_and_how_sure_that_is() -> None:
    column = ColumnDrift(EVEN, 30)
    column.look([0] * 11 + [200, 0])

    found = column.finding()

    assert found.state is State.DRIFTED
    assert found.text.startswith("amount: 100% of the last 200 rows are above 10, 0% of the reference (PSI ")
    assert found.log_e >= found.log_limit == log(30 / FALSE_ALARMS)
    assert found.as_dict()["state"] == "drifted"
    assert found.as_dict()["reason"] == found.text


def test_a_finding_tells_how_much_is_missing_and_out_of_range_and_what_is_usual() -> None:
    column = ColumnDrift(Column("amount", "numbers", (0, *[194] * 10, 0, 60), tuple(range(11))), 30)
    column.look([10, *[11] * 10, 30, 50])

    found = column.finding()

    assert (found.missing, found.outside) == (Rate(0.25, 0.03), Rate(0.2, 0.0))
    assert found.text.endswith("; 25% missing, usually 3%; 20% out of range, usually 0%")
    assert found.as_dict()["missing"] == {"now": 0.25, "usual": 0.03}
    assert found.as_dict()["outside"] == {"now": 0.2, "usual": 0.0}


def test_texts_that_are_none_of_the_commonest_are_told_as_other_classes() -> None:
    column = ColumnDrift(Column("city", "classes", (90, 5, 5), (), ("de",)), 3)
    column.look([100, 100, 0])

    assert column.finding().outside == Rate(0.5, 0.05)
    assert column.finding().text.endswith("; 0% missing, usually 5%; 50% of other classes, usually 5%")


def test_a_column_that_cannot_say_and_one_without_rows_have_no_rates() -> None:
    hashed, fresh = ColumnDrift(CLASSES, 1), ColumnDrift(EVEN, 1)
    hashed.look([1, *[0] * (BINS - 1)])

    for column in (hashed, fresh):
        assert (column.finding().missing, column.finding().outside) == (None, None)
        assert column.finding().as_dict()["missing"] is None


KNOWN = Column("note vocabulary", "vocabulary", (*[0] * 8, 20, 180, 0))


def test_texts_of_fewer_known_words_are_told_with_what_is_usual() -> None:
    column = ColumnDrift(KNOWN, 3)
    column.look([20, 20, 160, *[0] * 8])

    found = column.finding()

    assert found.state is State.DRIFTED
    assert found.text.startswith("note vocabulary: 22% of the tokens of the last 200 rows are known, usually 94% (PSI ")


def test_texts_without_any_tokens_are_told_as_such() -> None:
    column = ColumnDrift(KNOWN, 3)
    column.look([*[0] * 9, 20, 180])

    assert "are without tokens, 0% of the reference" in column.finding().text
    assert column.finding().text.endswith("; 90% without tokens, usually 0%")
    column.look([*[0] * 10, 5000])
    assert column.finding().state is State.DRIFTED


def test_drift_ends_when_the_rows_look_as_they_used_to_again() -> None:
    column = ColumnDrift(EVEN, 30)
    column.look([0] * 11 + [2000, 0])
    assert column.finding().state is State.DRIFTED

    for _ in range(12):
        column.look([0, *[10] * 10, 0, 0])
        column.finding()

    assert column.finding().state is State.STABLE
    assert column.finding().text == "amount: as in the reference (PSI 0.00)"


def test_few_rows_are_no_verdict_and_neither_is_a_small_reference() -> None:
    few, small = ColumnDrift(EVEN, 1), ColumnDrift(Column("b", "numbers", (0, 40, 40, 0, 0), (0, 1, 2)), 1)
    few.look([0, *[10] * 10, 0, 0])
    small.look([0, 1000, 1000, 0, 0])

    assert (few.finding().state, small.finding().state) == (State.UNKNOWN, State.UNKNOWN)
    assert "100 rows are too few" in few.finding().text


def test_a_small_shift_is_shown_and_told_to_nobody() -> None:
    column = ColumnDrift(EVEN, 1)
    column.look([0, 150, 150, 140, 100, 110, 110, 70, 60, 60, 50, 0, 0])

    assert column.finding().state is State.MOVED


def test_a_large_index_is_drift_where_no_single_bin_outgrew_its_bound() -> None:
    """The lower half of the bins is a third of what it was; every other gains less than is tolerated."""
    wide = Column("wide", "numbers", (0, *[100] * 30, 0), tuple(range(30)))
    column = ColumnDrift(wide, 1)
    column.look([0, *[6] * 15, *[61] * 15, 0])

    found = column.finding()

    assert found.log_e < found.log_limit
    assert found.psi > DRIFTED_FROM
    assert found.state is State.DRIFTED


def test_the_window_is_of_the_newest_thousand_rows() -> None:
    column = ColumnDrift(EVEN, 1)
    for _ in range(30):
        column.look([0, *[10] * 10, 0, 0])

    assert column.finding().rows == 1000


def test_answers_that_are_all_the_same_are_told_as_such() -> None:
    column = ColumnDrift(CLASSES, 1)
    column.look([1000, *[0] * (BINS - 1)])

    assert column.finding().text == "prediction: all of the last 1000 answers are in class bin 0 of 20"


def test_answers_that_were_all_the_same_before_have_not_collapsed() -> None:
    column = ColumnDrift(Column(PREDICTION, "hashed", (999, 1, *[0] * (BINS - 2))), 1)
    column.look([1000, *[0] * (BINS - 1)])

    assert column.finding().state is State.STABLE


def test_answers_that_only_moved_are_told_by_the_bin_that_grew() -> None:
    column = ColumnDrift(CLASSES, 1)
    column.look([100, 900, *[0] * (BINS - 2)])

    assert column.finding().text.startswith("prediction: 90% of the last 1000 rows are in class bin 1 of 20, 40% of")


def test_a_version_takes_the_columns_and_bins_that_its_reference_has() -> None:
    version = VersionDrift(Reference((EVEN, CLASSES), 2000, "rows.csv"))

    version.look({"amount": [0] * 11 + [100, 0], PREDICTION: [1, 2], "nobody": [1]}, 100)
    version.look({"amount": [0] * 13}, 0)

    amount, prediction = version.findings()
    assert (version.rows, amount.rows, prediction.rows) == (100, 100, 0)
    assert amount.state is State.DRIFTED
    assert version.bins == version.reference.id


def test_the_mean_over_alternatives_is_what_the_detector_says() -> None:
    detector = Detector([500, 500])
    detector.look([8, 2])
    cells = detector._cells

    assert exp(detector.log_e) == pytest.approx(sum(map(exp, cells)) / len(cells))
