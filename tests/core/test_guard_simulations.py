"""Seeded simulations of what stands beside the errors: all guards together, labels, shadow pairs, assignment.

As in ``test_simulations.py`` the statistics are written anew over arrays and compared with the product's first.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.analysis import assess
from gateway.core.eprocess import (
    EXCESSES,
    LABEL_GAINS,
    LATENCY_GAINS,
    LOST_SHARES,
    ln_absolute,
    ln_mismatch,
    ln_paired,
    ln_relative,
)
from gateway.core.evidence import Arms, Counter, Evidence, Stratum
from gateway.core.guards import shares_of_alpha
from gateway.core.plan import read_plan
from gateway.core.slots import SLOTS
from gateway.core.verdicts import Kind
from tests.core.test_simulations import GAINS, ln_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

pytestmark = pytest.mark.no_cover  # thousands of runs; what they pass through has tests of its own

PLAN = read_plan({"steps": [{"weight": 5, "for": "1m"}], "guards": {name: {} for name in
                  ("errors", "invalid", "latency", "labels")}})  # fmt: skip
MOST_FALSE = 0.01


def first_at(logarithms: Floats, bound: float) -> Floats:
    """Return, per row, after how many columns *bound* was first reached; infinite where never."""
    crossed = logarithms >= bound
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1.0, np.inf)


def at_column(counts: NDArray[Any], first: Floats) -> Floats:
    """Return, per row of *counts*, the one in the column that *first* numbers; infinite where that is."""
    columns = np.where(np.isfinite(first), first, 1).astype(int) - 1
    return np.where(np.isfinite(first), counts[np.arange(len(counts)), columns], np.inf)


def relative(
    canary: NDArray[Any], events: NDArray[Any], odds: float | Floats, gains: Floats, margin: float = 0.0
) -> Floats:
    null = np.asarray(odds)[..., None] * (1 + margin)
    cost = np.log((gains * null + 1) / (null + 1))
    return ln_mean(canary[..., None] * np.log(gains) - events[..., None] * cost)


def mcnemar(lost: NDArray[Any], won: NDArray[Any]) -> Floats:
    """Return ln E of McNemar's test, elementwise."""
    shares = np.array(LOST_SHARES)
    return ln_mean(lost[..., None] * np.log(2 * shares) + won[..., None] * np.log(2 * (1 - shares)))


def differing(events: NDArray[Any], trials: NDArray[Any], tolerate: float) -> Floats:
    rates = np.unique(np.minimum(np.array(EXCESSES) * tolerate, 0.9))
    good = (trials - events)[..., None]
    return ln_mean(events[..., None] * np.log(rates / tolerate) + good * np.log((1 - rates) / (1 - tolerate)))


def mismatched(is_canary: NDArray[Any], share: float) -> Floats:
    """Return ln E of the assignment after each unit: the chance of each, by what came before, over the slots'."""
    seen = is_canary.cumsum(axis=1) - is_canary
    units = np.arange(is_canary.shape[1])
    chance = (200 * share + seen) / (200 + units)
    return np.asarray(np.log(np.where(is_canary, chance / share, (1 - chance) / (1 - share))).cumsum(axis=1))


def test_the_arrays_compute_what_the_product_computes() -> None:
    units = np.random.default_rng(1).random((1, 400)) < 0.3
    count = int(units.sum())

    assert mcnemar(np.array([30]), np.array([10]))[0] == pytest.approx(ln_paired(30, 10))
    assert differing(np.array([9]), np.array([80]), 0.02)[0] == pytest.approx(ln_absolute(9, 80, 0.02))
    assert mismatched(units, 0.05)[0, -1] == pytest.approx(ln_mismatch([(count, 400, 0.05)]))
    assert relative(np.array([5]), np.array([25]), 0.1, np.array(LABEL_GAINS), 0.05)[0] == pytest.approx(
        ln_relative([Stratum(5, 20, 0.1)], margin=0.05, gains=LABEL_GAINS)
    )


# All guards together


def highest_of_all_guards(share: float, *, runs: int, events: int = 300) -> Floats:
    """Return the highest ln E of all guards of each run of two equally good versions, every guard fed at each step.

    Without materiality and the floor, which only lower it.
    """
    rng = np.random.default_rng(17)
    odds = share / (1 - share)
    steps = np.arange(1, events + 1)

    def fed(gains: Sequence[float]) -> Floats:
        canary = (rng.random((runs, events)) < share).cumsum(axis=1)
        return relative(canary, np.broadcast_to(steps, canary.shape), odds, np.array(gains))

    lost = (rng.random((runs, events)) < 0.5).cumsum(axis=1)
    of_guard = {"errors": fed(GAINS.tolist()), "invalid": fed(GAINS.tolist()), "latency": fed(LATENCY_GAINS),
                "labels": mcnemar(lost, steps - lost)}  # fmt: skip
    shares = shares_of_alpha(PLAN.guards)
    total = sum(shares[name] * np.exp(of_guard[name]) for name in of_guard)
    return np.asarray(np.log(total).max(axis=1))


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_two_equal_versions_are_told_apart_in_at_most_one_of_a_hundred_rollouts(share: float) -> None:
    assert (highest_of_all_guards(share, runs=1500) >= log(100)).mean() <= MOST_FALSE


def test_looking_often_without_an_e_process_would_blame_far_more() -> None:
    """The negative control: a test at one percent, repeated after each of 300 events."""
    canary = (np.random.default_rng(3).random((500, 300)) < 0.5).cumsum(axis=1)
    steps = np.arange(1, 301)

    z = (canary - 0.5 * steps) / np.sqrt(0.25 * steps)

    assert (z[:, 20:] > 2.33).any(axis=1).mean() > 0.05


def test_three_requests_a_minute_for_a_day_decide_nothing_wrongly() -> None:
    rng = np.random.default_rng(23)
    kinds = set()
    for _ in range(40):
        of_canary = int(rng.binomial(3 * 60 * 24, 0.05))
        counts = {Counter(1, 1, "n"): 4320 - of_canary, Counter(1, 2, "n"): of_canary}
        for version, requests in ((1, 4320 - of_canary), (2, of_canary)):
            bad = int(rng.binomial(requests, 0.003))
            counts |= {Counter(1, version, "error"): bad, Counter(1, version, "failed"): bad}
        evidence = Evidence(counts, {1: {1: SLOTS - 500, 2: 500}})
        kinds.add(assess(evidence, PLAN, Arms(2, 1), certify=0.01).kind)

    assert kinds <= {Kind.INCONCLUSIVE, Kind.PASS}
    assert Kind.INCONCLUSIVE in kinds


# Labels


@pytest.mark.parametrize(("lost", "half", "most_of_all"), [(0.6, 7160, 15_341), (0.75, 1080, 2281), (0.9, 380, 800)])
def test_pairs_find_a_canary_that_is_more_often_wrong(lost: float, half: int, most_of_all: int) -> None:
    rng = np.random.default_rng(29)
    many = (1000, int(most_of_all * 0.05 * 1.6))
    pairs = rng.geometric(0.05, many).cumsum(axis=1)
    losses = (rng.random(many) < lost).cumsum(axis=1)

    first = first_at(mcnemar(losses, np.arange(1, many[1] + 1) - losses), log(667))

    needed = at_column(pairs, first)
    assert np.quantile(needed, 0.5, method="lower") == pytest.approx(half, rel=0.10)
    assert np.quantile(needed, 0.95, method="lower") == pytest.approx(most_of_all, rel=0.15)


def labels_until(wrong: float, *, labels: int, runs: int, share: float = 0.05) -> Floats:
    """Return the canary's labels until it is taken back, where a tenth of the baseline's answers is wrong."""
    rng = np.random.default_rng(31)
    mistakes = np.arange(1, int(labels * wrong) + 1)
    gaps = rng.geometric(wrong, (runs, len(mistakes)))
    others = rng.negative_binomial(gaps, share)
    events = mistakes + rng.binomial(others, 0.1).cumsum(axis=1)
    received, of_baseline = gaps.cumsum(axis=1), others.cumsum(axis=1)
    odds = np.maximum(share / (1 - share), received / np.maximum(of_baseline, 1))
    canary = np.broadcast_to(mistakes, events.shape)
    return at_column(received, first_at(relative(canary, events, odds, np.array(LABEL_GAINS), 0.05), log(667)))


@pytest.mark.parametrize(("wrong", "half", "most_of_all"), [(0.15, 998, 2078), (0.2, 246, 494), (0.3, 72, 149)])
def test_labels_alone_find_a_canary_that_is_more_often_wrong(wrong: float, half: int, most_of_all: int) -> None:
    needed = labels_until(wrong, labels=5 * half, runs=1500)

    assert np.quantile(needed, 0.5, method="lower") == pytest.approx(half, rel=0.10)
    assert np.quantile(needed, 0.95, method="lower") == pytest.approx(most_of_all, rel=0.15)


def test_a_canary_within_the_margin_of_the_labels_is_never_taken_back() -> None:
    assert np.isfinite(labels_until(0.105, labels=4000, runs=200)).mean() <= MOST_FALSE


# Shadow pairs and assignment


@pytest.mark.parametrize(("rate", "half"), [(0.03, 2082), (0.05, 225)])
def test_shadow_pairs_that_differ_hold_after_so_many(rate: float, half: int) -> None:
    differ = np.arange(1, int(6 * half * rate) + 1)
    pairs = np.random.default_rng(37).geometric(rate, (3000, len(differ))).cumsum(axis=1)

    first = first_at(differing(np.broadcast_to(differ, pairs.shape), pairs, 0.02), log(20))

    needed = at_column(pairs, first)
    assert np.median(needed) == pytest.approx(half, rel=0.12)


@pytest.mark.parametrize(
    ("real", "share", "half"), [(0.045, 0.05, 31_850), (0.04, 0.05, 6850), (0.06, 0.05, 8200), (0.48, 0.5, 10_150)]
)
def test_a_router_that_is_at_fault_is_found_after_so_many_units(real: float, share: float, half: int) -> None:
    rng = np.random.default_rng(41)
    found = [first_at(mismatched(rng.random((50, 3 * half)) < real, share), log(1000)) for _ in range(4)]

    assert np.median(np.concatenate(found)) == pytest.approx(half, rel=0.10)


def test_a_router_that_is_well_is_suspected_in_two_of_a_thousand_at_most() -> None:
    rng = np.random.default_rng(43)
    found = [first_at(mismatched(rng.random((100, 10_000)) < 0.05, 0.05), log(1000)) for _ in range(6)]

    assert np.isfinite(np.concatenate(found)).mean() <= 0.002
