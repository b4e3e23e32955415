"""Seeded simulations of whole rollouts: how soon a bad canary is found, how rarely a good one is blamed.

Each has a negative control: the shortcut that breaks the promise is shown to break it. The statistics are written anew
over arrays and compared with the product's first, because a million calls of one function would take minutes.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.eprocess import CERTIFIED_SHARES, ERROR_GAINS, EXCESSES, ln_absolute, ln_certificate, ln_relative
from gateway.core.evidence import CLASSES, Runs, Stratum, batch_class, null_odds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

pytestmark = pytest.mark.no_cover  # thousands of runs; what they pass through has tests of its own

GAINS = np.array(ERROR_GAINS)
HEALTHY = 0.001
BOUND = log(100)


def ln_mean(logarithms: Floats) -> Floats:
    highest = logarithms.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(logarithms - highest).mean(axis=-1)) + highest[..., 0])


def relative(canary: NDArray[Any], baseline: NDArray[Any], odds: float) -> Floats:
    """Return ln E_rel of one stratum, elementwise."""
    cost = np.log((GAINS * odds + 1) / (odds + 1))
    return ln_mean(canary[..., None] * np.log(GAINS) - (canary + baseline)[..., None] * cost)


def absolute(events: NDArray[Any], trials: NDArray[Any], tolerate: float) -> Floats:
    rates = np.array([m * tolerate for m in EXCESSES])
    good = (trials - events)[..., None]
    return ln_mean(events[..., None] * np.log(rates / tolerate) + good * np.log((1 - rates) / (1 - tolerate)))


def test_the_arrays_compute_what_the_product_computes() -> None:
    for canary, baseline, trials in ((3, 0, 3), (5, 20, 400), (40, 7, 9000)):
        counts = np.array([canary]), np.array([baseline]), np.array([trials])

        assert relative(*counts[:2], 0.25)[0] == pytest.approx(ln_relative([Stratum(canary, baseline, 0.25)]))
        assert absolute(counts[0], counts[2], 0.005)[0] == pytest.approx(ln_absolute(canary, trials, 0.005))


# How soon


def requests_until(rate: float, share: float, *, default_rule: bool, most: int = 120, runs: int = 2000) -> Floats:
    """Return the canary requests until it is taken back, infinite where it is not within *most* of its failures.

    The rule can only be crossed at a failure of the canary, so only those are drawn, with geometric gaps.
    """
    rng = np.random.default_rng(20_26)
    gaps = rng.geometric(rate, (runs, most))
    others = rng.negative_binomial(gaps, share) if share < 1 else np.zeros_like(gaps)
    baseline = rng.binomial(others, HEALTHY).cumsum(axis=1)
    requests, failures = gaps.cumsum(axis=1), np.broadcast_to(np.arange(1, most + 1), gaps.shape)
    evidence, bound = relative(failures, baseline, share / (1 - share)), BOUND
    if default_rule:
        evidence, bound = np.minimum(evidence, absolute(failures, requests, 0.005)), log(200)
        evidence = np.where(failures >= 3, evidence, 0.0)
    crossed = evidence >= bound
    first = crossed.argmax(axis=1)
    return np.where(crossed.any(axis=1), np.take_along_axis(requests, first[:, None], 1)[:, 0], np.inf)


@pytest.mark.parametrize(
    ("default_rule", "share", "rate", "half", "most_of_all"),
    [
        (False, 0.05, 0.005, 1468, 3698), (False, 0.05, 0.02, 155, 455), (False, 0.05, 0.1, 18, 59),
        (False, 0.5, 0.005, 3279, 8141), (False, 0.5, 0.02, 450, 990), (False, 0.5, 0.1, 78, 145),
        (True, 0.05, 0.01, 3182, 8073), (True, 0.05, 0.02, 500, 1205), (True, 0.05, 0.1, 32, 85),
        (True, 0.5, 0.01, 3258, 8378), (True, 0.5, 0.02, 598, 1356), (True, 0.5, 0.1, 89, 159),
        (True, 0.95, 0.02, 6139, 11_628), (True, 0.95, 0.1, 1191, 1773),
        (True, 0.01, 0.02, 484, 1218), (True, 0.01, 0.1, 29, 85),
    ],
)  # fmt: skip
def test_a_bad_canary_is_found_after_so_many_of_its_requests(
    default_rule: bool, share: float, rate: float, half: int, most_of_all: int
) -> None:
    requests = requests_until(rate, share, default_rule=default_rule, most=400 if share > 0.9 else 120)

    assert np.quantile(requests, 0.5, method="lower") == pytest.approx(half, rel=0.10)
    assert np.quantile(requests, 0.95, method="lower") == pytest.approx(most_of_all, rel=0.15)


@pytest.mark.parametrize(("share", "requests"), [(0.01, 3), (0.05, 3), (0.5, 9), (0.95, 118)])
def test_a_canary_that_fails_always_is_found_at_its_first_possible_failure(share: float, requests: int) -> None:
    assert np.median(requests_until(1.0, share, default_rule=True, most=130, runs=200)) == requests


@pytest.mark.parametrize(("share", "rate"), [(0.05, 0.001), (0.5, 0.001), (0.05, 0.003), (0.5, 0.003)])
def test_a_healthy_or_tolerated_canary_is_not_taken_back(share: float, rate: float) -> None:
    requests = requests_until(rate, share, default_rule=True, most=100)

    assert np.isfinite(requests).mean() <= 0.002


def test_a_certificate_is_wrong_in_five_percent_at_its_own_rate_and_soon_earned_by_a_good_canary() -> None:
    def earned(rate: float, certify: float, runs: int = 2000, most: int = 60) -> Floats:
        gaps = np.random.default_rng(7).geometric(rate, (runs, most)).cumsum(axis=1)
        needed = []
        for failed in range(most):
            low, high = 0, 1 << 20
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if ln_certificate(failed, middle, certify) >= log(20) else (middle, high)
            needed.append(high)
        # With f failures it is earned at request needed[f] where the next failure comes later.
        stands = np.array(needed) < gaps
        return np.where(stands.any(axis=1), np.array(needed)[stands.argmax(axis=1)], np.inf)

    assert 0.03 <= np.isfinite(earned(0.01, 0.01)).mean() <= 0.06
    assert np.median(earned(0.001, 0.01)) == pytest.approx(400, rel=0.1)
    assert np.median(earned(0.001, 0.005)) == pytest.approx(1290, rel=0.1)
    assert len(CERTIFIED_SHARES) == 6


# How rarely a good one is blamed


def ever(canary: NDArray[np.bool_], odds: Floats) -> bool:
    """Say whether E_rel ever reaches 100 on a path of events, each with its own null *odds*."""
    costs = np.log((GAINS * odds[:, None] + 1) / (odds[:, None] + 1))
    return bool(len(canary) and ln_mean((canary[:, None] * np.log(GAINS) - costs).cumsum(axis=0)).max() >= BOUND)


def blamed(rates: Floats, shares: Floats, *, runs: int, worse: float = 1.0, pooled: bool = False) -> float:
    """Return in how many of *runs* a canary *worse* times the baseline is blamed, as a fraction.

    rates, shares: the baseline's failure rate and the canary's share in each second, at 200 requests a second.
    pooled: the control, one share for all revisions.
    """
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(runs):
        bad = np.stack([rng.poisson(200 * rates * shares * worse), rng.poisson(200 * rates * (1 - shares))])
        seconds = np.repeat(np.tile(np.arange(len(rates)), 2), bad.ravel())
        is_canary = np.repeat([True, False], bad.sum(axis=1))
        order = np.lexsort((rng.random(len(seconds)), seconds))
        at, canary = seconds[order], is_canary[order]
        used = (shares.cumsum() / np.arange(1, len(shares) + 1))[at] if pooled else shares[at]
        if pooled:
            # Every event so far under the share so far: the products are formed anew at each event.
            k, events = canary.cumsum(), np.arange(1, len(canary) + 1)
            costs = np.log((GAINS * (used / (1 - used))[:, None] + 1) / ((used / (1 - used))[:, None] + 1))
            found += bool(ln_mean(k[:, None] * np.log(GAINS) - events[:, None] * costs).max() >= BOUND)
        else:
            found += ever(canary, used / (1 - used))
    return found / runs


SECONDS = np.arange(1800)
STEADY = np.full(1800, HEALTHY)
AT_FIVE = np.full(1800, 0.05)
RAMP = np.repeat([0.01, 0.05, 0.10, 0.25, 0.50], 360)
INCIDENT = np.where((SECONDS >= 600) & (SECONDS < 780), 0.20, HEALTHY)
RISING = np.linspace(0.001, 0.01, 1800)


@pytest.mark.parametrize(
    ("rates", "shares", "runs"),
    [(STEADY, AT_FIVE, 600), (STEADY, RAMP, 600), (RISING, RAMP, 400)],
    ids=["steady", "ramp", "ramp and drift"],
)
def test_a_healthy_canary_is_blamed_in_about_one_of_a_hundred_at_most(rates: Floats, shares: Floats, runs: int) -> None:
    assert blamed(rates, shares, runs=runs) <= 0.013


@pytest.mark.long
@pytest.mark.parametrize(
    ("rates", "shares"),
    [(STEADY, AT_FIVE), (INCIDENT, AT_FIVE), (STEADY, RAMP), (RISING, RAMP)],
    ids=["steady", "incident", "ramp", "ramp and drift"],
)
def test_the_same_holds_in_fifteen_hundred_runs(rates: Floats, shares: Floats) -> None:
    assert blamed(rates, shares, runs=1500) <= 0.013


def test_revisions_that_are_pooled_blame_the_canary_for_a_shared_drift() -> None:
    assert blamed(RISING, RAMP, runs=60, pooled=True) >= 0.95


def test_a_canary_three_times_worse_is_found_through_a_drift_that_hides_it() -> None:
    assert blamed(RISING[::-1], RAMP, runs=100, worse=3) >= 0.99


def sticky(*, by_key: bool, poison: bool, confirmed: bool, runs: int = 1500) -> float:
    """Return how often a healthy canary is blamed where 2,000 users, Zipf-distributed, send 60,000 requests."""
    rng = np.random.default_rng(11)
    popularity = 1 / np.arange(1, 2001)
    popularity /= popularity.sum()
    found = 0
    for _ in range(runs):
        on_canary = rng.random(2000) < 0.05
        keys = rng.choice(2000, rng.binomial(60_000, HEALTHY), p=popularity)
        if poison:
            sick = rng.choice(2000, 4, replace=False)
            always = np.repeat(sick, rng.poisson(60_000 * popularity[sick]))
            keys = keys[~np.isin(keys, sick)] if confirmed else rng.permutation(np.concatenate([keys, always]))
        if by_key:
            keys = keys[np.sort(np.unique(keys, return_index=True)[1])]
        found += ever(on_canary[keys], np.full(len(keys), 0.05 / 0.95))
    return found / runs


def test_sticky_traffic_is_counted_by_key_and_only_what_was_confirmed() -> None:
    assert sticky(by_key=True, poison=False, confirmed=True) <= 0.013
    assert sticky(by_key=True, poison=True, confirmed=True) <= 0.013


def test_sticky_traffic_counted_by_request_or_unconfirmed_blames_the_canary() -> None:
    assert sticky(by_key=False, poison=False, confirmed=True) >= 0.02
    assert sticky(by_key=False, poison=True, confirmed=True) >= 0.02
    assert sticky(by_key=False, poison=True, confirmed=False) >= 0.04


def batched(*, swinging: bool, per_window: bool, corrected: bool = True, runs: int = 300) -> float:
    """Return how often a healthy canary is blamed whose runs hold one row where the baseline's hold up to 16."""
    rng = np.random.default_rng(13)
    seconds = np.arange(900 if swinging else 1200)
    busy = (seconds // 60 % 2 == 1) if swinging else np.ones(len(seconds), dtype=bool)
    load = np.where(busy, 800 if swinging else 400, 40)
    rows, faults = np.where(busy, 16, 1), np.where(busy, 0.02 if swinging else 0.01, 0.001)
    baseline_runs = load * 0.95 / rows
    mean_rows = (load * 0.95).cumsum() / baseline_runs.cumsum()
    classes = [batch_class(Runs(round(1000 * mean), 1000), Runs(1, 1)) for mean in (rows if per_window else mean_rows)]
    odds = np.array([null_odds(0.05 / 0.95, each if corrected else 0) for each in classes])
    assert all(0 <= each < CLASSES for each in classes)
    found = 0
    for _ in range(runs):
        bad = np.stack([rng.poisson(load * 0.05 * faults), rng.poisson(baseline_runs * faults)])
        at = np.repeat(np.tile(seconds, 2), bad.ravel())
        canary = np.repeat([True, False], bad.sum(axis=1))
        order = np.lexsort((rng.random(len(at)), at))
        found += ever(canary[order], odds[at[order]])
    return found / runs


def test_batches_are_corrected_for_in_each_window() -> None:
    assert batched(swinging=False, per_window=True) <= 0.013
    assert batched(swinging=True, per_window=True) <= 0.013


def test_batches_uncorrected_or_corrected_over_a_whole_revision_blame_the_canary() -> None:
    assert batched(swinging=False, per_window=True, corrected=False, runs=60) >= 0.95
    assert batched(swinging=True, per_window=False, runs=60) >= 0.95
