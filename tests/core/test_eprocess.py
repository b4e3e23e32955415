"""The statistics: pinned values, and what each must do when a count or the odds change."""

from __future__ import annotations

from math import inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.eprocess import (
    has_collapsed,
    ln_absolute,
    ln_certificate,
    ln_mean,
    ln_mismatch,
    ln_paired,
    ln_relative,
    ln_slow,
    ln_sum,
    stability,
)
from gateway.core.evidence import Stratum

FIVE = 500 / 9500

RELATIVE = [
    ([(3, 0, FIVE)], 0.0, 7.507606076),
    ([(2, 0, 100 / 9900), (1, 4, FIVE)], 0.0, 3.962380875),
    ([(9, 0, 1.0)], 0.0, 5.376437598),
    ([(5, 20, FIVE)], 0.0, 2.276997799),
    ([(0, 10, FIVE)], 0.0, -1.403120711),
    ([(4, 1, 4 * FIVE)], 0.0, 3.688217831),
    ([(3, 0, FIVE)], 0.05, 7.387850561),
]
ABSOLUTE = [
    ((3, 3, 0.005), 13.824977604), ((3, 60, 0.005), 3.080948034), ((10, 500, 0.005), 4.762198450),
    ((0, 1000, 0.005), -6.829514516), ((1, 1000, 0.0001), 0.692695695),
]  # fmt: skip
CERTIFICATE = [((0, 393, 0.01), 2.988862712), ((0, 394, 0.01), 2.997287336), ((5, 3000, 0.005), 3.421166513)]

EVENTS = st.integers(0, 200)
STRATA = st.lists(st.builds(Stratum, EVENTS, EVENTS, st.floats(0.001, 50)), min_size=1, max_size=5)


def strata(*counts: tuple[int, int, float]) -> list[Stratum]:
    return [Stratum(*each) for each in counts]


@pytest.mark.parametrize(("counts", "margin", "value"), RELATIVE)
def test_the_comparison_has_its_pinned_values(
    counts: list[tuple[int, int, float]], margin: float, value: float
) -> None:
    assert ln_relative(strata(*counts), margin=margin) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("counts", "value"), ABSOLUTE)
def test_materiality_has_its_pinned_values(counts: tuple[int, int, float], value: float) -> None:
    assert ln_absolute(*counts) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("counts", "value"), CERTIFICATE)
def test_the_certificate_has_its_pinned_values(counts: tuple[int, int, float], value: float) -> None:
    assert ln_certificate(*counts) == pytest.approx(value, abs=1e-9)


def test_pairs_and_assignments_have_their_pinned_values() -> None:
    assert ln_paired(10, 0) == pytest.approx(5.474226795, abs=1e-9)
    assert ln_paired(30, 10) == pytest.approx(3.982635975, abs=1e-9)
    assert ln_mismatch([(400, 10_000, 0.05)]) == pytest.approx(9.160199447, abs=1e-9)


def test_without_events_every_process_stands_at_one() -> None:
    nothing = [
        ln_relative([]), ln_slow([[], [], []]), ln_absolute(0, 0, 0.005), ln_certificate(0, 0, 0.01), ln_paired(0, 0),
        ln_mismatch([]), ln_mismatch([(0, 0, 0.05)]),
    ]  # fmt: skip

    assert nothing == pytest.approx([0.0] * len(nothing), abs=1e-12)


@given(STRATA)
def test_the_order_of_strata_does_not_matter(each: list[Stratum]) -> None:
    assert ln_relative(each) == pytest.approx(ln_relative(each[::-1]), abs=1e-9)


@given(STRATA)
def test_merging_two_strata_of_equal_odds_changes_nothing(each: list[Stratum]) -> None:
    halves = [part for s in each for part in (Stratum(s.canary, 0, s.odds), Stratum(0, s.baseline, s.odds))]

    assert ln_relative(halves) == pytest.approx(ln_relative(each), abs=1e-9)


@given(STRATA)
def test_the_comparison_grows_with_the_canarys_events_and_falls_with_the_baselines(each: list[Stratum]) -> None:
    first, rest = each[0], each[1:]

    assert ln_relative([first._replace(canary=first.canary + 1), *rest]) > ln_relative(each)
    assert ln_relative([first._replace(baseline=first.baseline + 1), *rest]) < ln_relative(each)


@given(STRATA.filter(lambda each: each[0].canary + each[0].baseline > 0), st.floats(1.01, 4))
def test_the_comparison_falls_with_the_odds(each: list[Stratum], factor: float) -> None:
    first, rest = each[0], each[1:]

    assert ln_relative([first._replace(odds=first.odds * factor), *rest]) < ln_relative(each)


def test_a_stratum_of_infinite_odds_tells_nothing() -> None:
    assert ln_relative(strata((3, 0, FIVE), (50, 0, inf))) == ln_relative(strata((3, 0, FIVE)))


def test_the_mean_is_taken_over_products_and_not_inside_them() -> None:
    one, two = strata((2, 0, FIVE)), strata((3, 1, 1.0))

    assert ln_relative(one + two) != pytest.approx(ln_relative(one) + ln_relative(two), abs=1e-3)


def test_latency_is_the_mean_over_three_quantiles() -> None:
    slow = strata((20, 10, FIVE))

    assert ln_slow([slow, slow, slow]) == pytest.approx(ln_slow([slow]), abs=1e-12)
    assert ln_slow([slow, [], []]) == pytest.approx(ln_slow([slow]) - log(3), abs=1e-3)


def test_more_events_than_trials_count_as_that_many_trials() -> None:
    assert ln_absolute(5, 2, 0.005) == ln_absolute(5, 5, 0.005)
    assert ln_certificate(5, 2, 0.01) == ln_certificate(5, 5, 0.01)


def test_a_high_tolerance_has_fewer_alternatives_each_once() -> None:
    assert ln_absolute(1, 1, 0.4) == pytest.approx(log((0.8 / 0.4 + 0.9 / 0.4) / 2))


def test_a_mean_survives_numbers_that_no_float_holds() -> None:
    assert ln_mean([2000.0, -2000.0]) == pytest.approx(2000 - log(2))
    assert ln_sum([]) == -inf


def test_assignments_as_the_slots_say_raise_no_alarm_and_others_do() -> None:
    assert ln_mismatch([(500, 10_000, 0.05), (5000, 10_000, 0.5)]) < 0
    assert ln_mismatch([(400, 10_000, 0.05), (5200, 10_000, 0.5)]) > log(1000)


def test_stability_is_zero_for_equal_shares_and_symmetric() -> None:
    assert stability([], []) == stability([0, 0], [0, 0]) == 0
    assert stability([500, 500, 0], [1000, 1000, 0]) == pytest.approx(0, abs=1e-6)
    assert stability([900, 100], [500, 500]) == pytest.approx(stability([500, 500], [900, 100]))
    assert stability([900, 100], [500, 500]) > 0.25


@pytest.mark.parametrize(
    ("canary", "baseline", "has"),
    [
        ([1000, 0], [600, 400], True),
        ([0, 5000], [600, 400], True),
        ([999, 1], [600, 400], False),
        ([999, 0], [600, 400], False),
        ([1000, 0], [599, 400], False),
        ([1000, 0], [900, 100], False),
    ],
)
def test_a_collapse_is_one_answer_for_all_where_the_baseline_varies(
    canary: list[int], baseline: list[int], *, has: bool
) -> None:
    assert has_collapsed(canary, baseline, least=1000) is has
