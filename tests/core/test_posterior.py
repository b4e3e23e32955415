"""The chance that a rate is higher: against exact fractions and another library's integrals."""

from __future__ import annotations

from fractions import Fraction
from math import comb, fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.confidence import Arm
from gateway.core.posterior import beta_chances, chance_higher, chances_best

# Computed by scipy 1.17: the integral of the first distribution function over the second one's quantiles.
CHANCES = [
    ((900, 1000), (930, 1000), 0.9920274671), ((0, 50), (5, 50), 0.9941097889), ((0, 0), (1, 1), 0.7026423673),
    ((50, 50), (50, 50), 0.5), ((7, 10), (3, 200), 0.0000000004),
]  # fmt: skip

ARMS = st.integers(0, 10**6).flatmap(lambda trials: st.builds(Arm, st.integers(0, trials), st.just(trials)))


@pytest.mark.parametrize(("first", "second", "chance"), CHANCES)
def test_the_chance_has_its_pinned_values(first: tuple[int, int], second: tuple[int, int], chance: float) -> None:
    assert chance_higher(Arm(*first), Arm(*second)) == pytest.approx(chance, abs=1e-4)


@settings(max_examples=30)
@given(ARMS, ARMS)
def test_one_of_two_is_the_higher(first: Arm, second: Arm) -> None:
    assert chance_higher(first, second) + chance_higher(second, first) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.5, 1e6), (1e8, 1e7), (3, 2)])
def test_a_distribution_is_whole(a: float, b: float) -> None:
    assert fsum(chance for _, chance in beta_chances(a, b)) == pytest.approx(1, abs=1e-6)


def test_a_distribution_of_whole_parameters_is_a_sum_of_binomials() -> None:
    a, b = 4, 3
    half = sum(Fraction(comb(a + b - 1, k), 2 ** (a + b - 1)) for k in range(a, a + b))

    assert fsum(chance for place, chance in beta_chances(a, b) if place < 0) == pytest.approx(float(half), abs=1e-3)


@pytest.mark.parametrize(("first", "second", "chance"), CHANCES)
def test_of_two_the_chance_of_being_best_is_that_of_being_higher(
    first: tuple[int, int], second: tuple[int, int], chance: float
) -> None:
    assert chances_best([Arm(*first), Arm(*second)]) == pytest.approx([1 - chance, chance], abs=2e-3)


def test_equal_arms_share_the_chance_and_a_hopeless_one_has_none() -> None:
    equal, hopeless = Arm(50, 100), Arm(1, 100)

    assert chances_best([equal, hopeless, equal, equal]) == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=2e-3)
