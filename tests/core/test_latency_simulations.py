"""Seeded simulations of the guard latency: how soon a slow canary is found, and that an equally quick one never is.

Run times are lognormal, as measured ones are about. Limits are frozen from drawn runs by the product's own function, so
the coarseness of its edges is part of what is simulated.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.eprocess import LATENCY_GAINS, ln_slow
from gateway.core.evidence import Stratum
from gateway.core.latency import EDGES, FROZEN_FROM, ROWS, bounds_of, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Slower = Callable[[Floats, np.random.Generator], Floats]

pytestmark = pytest.mark.no_cover  # thousands of runs; what they pass through has tests of its own

GAINS = np.array(LATENCY_GAINS)
SIGMA = 0.5
MEDIAN_SECONDS = 0.002
BOUND = log(400)
RUNS = 400


def drawn(chance: np.random.Generator, many: int) -> Floats:
    return MEDIAN_SECONDS * np.exp(SIGMA * chance.standard_normal(many))


def times_as_long(factor: float) -> Slower:
    return lambda seconds, _: seconds * factor


def tail(share: float, factor: float) -> Slower:
    """Return a canary of whose runs a *share* takes *factor* times as long."""
    return lambda seconds, chance: np.where(chance.random(len(seconds)) < share, seconds * factor, seconds)


def ln_latency(counts: NDArray[Any], of_canary: NDArray[Any], odds: float) -> Floats:
    """Return ln E after each run; the last axis of the cumulated events is the quantile."""
    cost = np.log((GAINS * odds + 1) / (odds + 1))
    products = of_canary[..., None] * np.log(GAINS) - counts[..., None] * cost
    flat = products.reshape(*products.shape[:-2], -1)
    highest = flat.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(flat - highest).mean(axis=-1)) + highest[..., 0])


def runs_until(slower: Slower, share: float, *, most: int, tolerate: float = 0.25) -> Floats:
    """Return, per simulation, the canary's runs until it is taken back; infinite where that took over *most*."""
    chance = np.random.default_rng(7)
    found = []
    for _ in range(RUNS):
        histogram = np.bincount(np.searchsorted(EDGES, drawn(chance, FROZEN_FROM)), minlength=len(EDGES))
        limits = frozen({}, [histogram.tolist(), *[[0]] * (len(ROWS) - 1)])
        baseline, canary = bounds_of(limits)[0], bounds_of(limits, tolerate)[0]
        assert baseline is not None
        assert canary is not None
        is_canary = chance.random(int(most / share)) < share
        seconds = drawn(chance, len(is_canary))
        seconds[is_canary] = slower(seconds[is_canary], chance)
        over = np.where(is_canary[:, None], np.array(canary.slow), np.array(baseline.slow)) < seconds[:, None]
        ln_e = ln_latency(over.cumsum(axis=0), (over & is_canary[:, None]).cumsum(axis=0), share / (1 - share))
        crossed = ln_e >= BOUND
        found.append(is_canary[: crossed.argmax() + 1].sum() if crossed.any() else np.inf)
    return np.array(found)


def test_the_arrays_compute_what_the_product_computes() -> None:
    counts, of_canary = np.array([[60, 20, 9]]), np.array([[30, 12, 7]])
    strata = [[Stratum(int(c), int(k - c), 0.25)] for k, c in zip(counts[0], of_canary[0], strict=True)]

    assert ln_latency(counts, of_canary, 0.25)[0] == pytest.approx(ln_slow(strata))


@pytest.mark.parametrize(
    ("factor", "share", "middle", "late"),
    [(2, 0.05, 40, 85), (3, 0.05, 11, 21), (2, 0.5, 95, 185), (3, 0.5, 31, 52)],
)
def test_a_slower_canary_is_found_after_so_many_of_its_runs(
    factor: float, share: float, middle: int, late: int
) -> None:
    taken = runs_until(times_as_long(factor), share, most=2 * late)

    assert np.quantile(taken, 0.5) == pytest.approx(middle, rel=0.1)
    assert np.quantile(taken, 0.95) == pytest.approx(late, rel=0.15)


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("slower", [times_as_long(1.0), times_as_long(1.25), tail(0.01, 5)])
def test_an_equally_quick_a_tolerated_and_a_rarely_slow_canary_stay(slower: Slower, share: float) -> None:
    taken = runs_until(slower, share, most=200)

    assert np.isfinite(taken).mean() <= 0.005


def test_without_a_tolerance_a_canary_a_quarter_slower_is_taken_back() -> None:
    taken = runs_until(times_as_long(1.25), 0.5, most=1_000, tolerate=0.0)

    assert np.isfinite(taken).mean() > 0.4
