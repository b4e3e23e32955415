"""Three healthy candidates beside one baseline: how often any of them is blamed, however often anyone looks.

The events of all four arms are drawn together, so the comparisons depend on each other as they do in a rollout.
"""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from tests.core.test_simulations import relative

pytestmark = pytest.mark.no_cover  # thousands of runs; what they pass through has tests of its own

ALPHA = 0.01
CANDIDATES = 3


def blamed(share: float, bound: float, *, odds: float | None = None, runs: int = 1500, events: int = 600) -> float:
    """Return in which part of the runs E_rel of any candidate ever reaches *bound*; each has *share* of the traffic.

    *odds* are those that each is judged by; S_c / S_s unless told.
    """
    rest = 1 - CANDIDATES * share
    whose = np.random.default_rng(20_26).choice(CANDIDATES + 1, (runs, events), p=[rest] + CANDIDATES * [share])
    baseline = (whose == 0).cumsum(axis=1)
    ever = np.zeros(runs, bool)
    for candidate in range(1, CANDIDATES + 1):
        canary = (whose == candidate).cumsum(axis=1)
        reached = (relative(canary, baseline, odds or share / rest) >= log(bound)) & (canary >= 3)
        ever |= reached.any(axis=1)
    return float(ever.mean())


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.25])
def test_any_of_three_healthy_candidates_is_blamed_in_at_most_one_percent(share: float) -> None:
    assert blamed(share, CANDIDATES / ALPHA) <= ALPHA


def test_judged_by_their_share_of_all_traffic_healthy_candidates_would_be_blamed() -> None:
    assert blamed(0.25, CANDIDATES / ALPHA, odds=0.25 / 0.75) >= 0.95


def test_with_an_undivided_alpha_any_of_three_would_be_blamed_more_often_than_promised() -> None:
    assert blamed(0.25, 1 / ALPHA) > 2 * ALPHA
