"""Intervals that hold at every moment: pinned to another library's figures, and counted in simulations."""

from __future__ import annotations

from math import inf, lgamma, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.confidence import Arm, Interval, difference, ln_apart, ln_excluded, rates, ratio

# Computed by scipy 1.17: betabinom.logpmf less binom.logpmf, brentq for ends, minimize_scalar over the common rate.
EXCLUDED = [
    ((0, 10), 0.5, 5.195319509003), ((7, 10), 0.3, 1.984029842279), ((900, 1000), 0.88, -1.686800698540),
    ((50, 50), 0.9, 2.737149378914),
]  # fmt: skip
RATES = [
    ((7, 10), (0.252412890085, 0.967484860212)), ((900, 1000), (0.861816415648, 0.931098503138)),
    ((3, 200), (0.000825395376, 0.065129928174)),
]  # fmt: skip
PAIRS = [
    ((900, 1000), (930, 1000), (-0.0271116687, 0.0883661957), (0.9706717395, 1.1029679069)),
    ((7, 10), (3, 200), (-0.9780536384, -0.1421031299), (0.00068718331, 0.1811374025)),
    ((300, 600), (40, 60), (-0.1137878566, 0.3958628937), (0.7826743480, 1.8760591950)),
]

ARMS = st.integers(1, 300).flatmap(lambda trials: st.builds(Arm, st.integers(0, trials), st.just(trials)))


@pytest.mark.parametrize(("counts", "rate", "value"), EXCLUDED)
def test_the_mixture_has_its_pinned_values(counts: tuple[int, int], rate: float, value: float) -> None:
    assert ln_excluded(Arm(*counts), rate) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("counts", "ends"), RATES)
def test_the_interval_of_a_rate_has_its_pinned_ends(counts: tuple[int, int], ends: tuple[float, float]) -> None:
    assert rates(Arm(*counts), 0.05) == pytest.approx(ends, abs=1e-9)


@pytest.mark.parametrize(("first", "second", "apart", "over"), PAIRS)
def test_differences_and_ratios_have_their_pinned_ends(
    first: tuple[int, int], second: tuple[int, int], apart: tuple[float, float], over: tuple[float, float]
) -> None:
    assert difference(Arm(*first), Arm(*second), 0.05) == pytest.approx(apart, abs=1e-7)
    assert ratio(Arm(*first), Arm(*second), 0.05) == pytest.approx(over, rel=1e-6)


def test_without_trials_nothing_is_excluded() -> None:
    nothing, some = Arm(0, 0), Arm(9, 10)

    assert nothing.rate is None
    assert rates(nothing, 0.05) == (0, 1)
    assert difference(nothing, some, 0.05) == difference(some, nothing, 0.05) == (-1, 1)
    assert ratio(nothing, nothing, 0.05) == (0, inf)


def test_without_gains_a_ratio_is_bounded_on_the_side_that_is_known() -> None:
    none, some = Arm(0, 50), Arm(25, 50)

    up, down = ratio(none, some, 0.05), ratio(some, none, 0.05)

    assert up.low > 1
    assert (up.high, down.low) == (inf, 0)
    assert down.high == pytest.approx(1 / up.low)
    assert rates(none, 0.05).low == 0
    assert rates(Arm(50, 50), 0.05).high == 1


def test_a_rate_that_contradicts_a_single_trial_is_impossible() -> None:
    assert ln_excluded(Arm(1, 2), 0.0) == ln_excluded(Arm(1, 2), 1.0) == inf
    assert ln_excluded(Arm(0, 2), 0.0) < 0
    assert ln_excluded(Arm(2, 2), 1.0) < 0


@settings(max_examples=30)
@given(ARMS, ARMS)
def test_what_was_seen_lies_inside_and_turning_the_arms_round_turns_the_interval(first: Arm, second: Arm) -> None:
    assert first.rate is not None
    assert second.rate is not None
    found, turned = difference(first, second, 0.05), difference(second, first, 0.05)

    assert found.low <= second.rate - first.rate <= found.high
    assert turned == pytest.approx(Interval(-found.high, -found.low), abs=1e-7)


@given(ARMS, st.integers(2, 50))
def test_more_of_the_same_narrows_an_interval_and_less_doubt_widens_it(arm: Arm, times: int) -> None:
    more = Arm(arm.gains * times, arm.trials * times)

    width = [each.high - each.low for each in (rates(more, 0.05), rates(arm, 0.05), rates(arm, 0.01))]

    assert width[0] < width[1] < width[2]


def test_the_least_product_is_that_of_a_fine_grid() -> None:
    first, second = Arm(40.5, 90), Arm(31.25, 50)

    for apart in (-0.3, 0.0, 0.05, 0.6):
        grid = np.linspace(max(0, -apart), min(1, 1 - apart), 20_001)[1:-1]
        least = min(ln_excluded(first, rate) + ln_excluded(second, rate + apart) for rate in grid.tolist())
        assert ln_apart(first, second, apart) == pytest.approx(least, abs=1e-5)


# How often the truth is ever left out


def watched(rates: tuple[float, float], *, steps: int = 1_500, runs: int = 1_500) -> tuple[float, float]:
    """Return how many of *runs* pairs of arms ever leave out the truth, looked at after each trial of both.

    Returned are the product of both mixtures at 5 %, which the difference and the ratio are made of, and for
    comparison the textbook's interval for a difference, at the same 5 %.
    """
    drawn = np.random.default_rng(7)
    gains = [np.cumsum(drawn.random((runs, steps)) < rate, axis=1) for rate in rates]
    trials = np.arange(1, steps + 1)
    half = np.array([lgamma(each + 0.5) for each in range(steps + 1)])
    whole = np.array([lgamma(each + 1) for each in range(steps + 1)])
    logs = sum(
        half[k] + half[trials - k] - whole[trials] - log(np.pi) - k * log(p) - (trials - k) * log(1 - p)
        for k, p in zip(gains, rates, strict=True)
    )
    assert logs[3, 99] == pytest.approx(
        sum(ln_excluded(Arm(int(k[3, 99]), 100), p) for k, p in zip(gains, rates, strict=True))
    )
    first, second = (k[:, 29:] / trials[29:] for k in gains)
    spread = np.sqrt((first * (1 - first) + second * (1 - second)) / trials[29:])
    missed = np.abs(second - first - (rates[1] - rates[0])) > 1.96 * spread
    return float((logs >= log(20)).any(axis=1).mean()), float(missed.any(axis=1).mean())


@pytest.mark.parametrize("pair", [(0.9, 0.9), (0.5, 0.6), (0.02, 0.03)])
def test_the_truth_is_ever_left_out_by_at_most_one_in_twenty_and_the_textbook_does_much_worse(
    pair: tuple[float, float],
) -> None:
    ours, textbook = watched(pair)

    assert ours <= 0.05
    assert textbook > 0.2


def test_gains_between_0_and_1_are_covered_too() -> None:
    drawn = np.random.default_rng(11)
    missed = 0
    for _ in range(200):
        gains = np.cumsum(drawn.beta(0.3, 0.7, 400))
        missed += any(ln_excluded(Arm(float(gains[n - 1]), n), 0.3) >= log(20) for n in range(10, 401, 10))

    assert missed <= 10
