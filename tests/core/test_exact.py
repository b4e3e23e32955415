"""Exact chances and counts: a dynamic programme over (canary events, events), and every bound by search."""

from __future__ import annotations

from math import inf, log

import numpy as np
import pytest

from gateway.core.eprocess import ln_absolute, ln_certificate, ln_relative
from gateway.core.evidence import Stratum

DEFAULT = log(200)
"""What E_err alone needs under the default alpha: the errors' half of it."""


def odds(share: float) -> float:
    return share / (1 - share)


def chance_of_ever(threshold: float, share: float, events: int, *, floor: int) -> float:
    """Return the exact chance, in percent, that E_rel ever reaches *threshold* in *events* events of equal arms.

    The state is how many are the canary's. For a given number of events E_rel grows in it, and the least that
    crosses never falls, so one pointer finds the border.
    """
    alive = np.zeros(events + 2)
    alive[0], crossed, border = 1.0, 0.0, floor
    for seen in range(1, events + 1):
        alive[1:] = alive[1:] * (1 - share) + alive[:-1] * share
        alive[0] *= 1 - share
        while border <= seen and ln_relative([Stratum(border, seen - border, odds(share))]) < log(threshold):
            border += 1
        crossed += float(alive[border:].sum())
        alive[border:] = 0
    return 100 * crossed


@pytest.mark.parametrize(
    ("threshold", "share", "floor", "percent", "tolerance"),
    [
        (100, 0.05, 0, 0.5731, 0.0005), (100, 0.5, 0, 0.8077, 0.0005),
        (100, 0.05, 3, 0.3559, 0.0005), (100, 0.5, 3, 0.8077, 0.0005),
        (200, 0.05, 3, 0.1963, 0.001), (200, 0.5, 3, 0.4120, 0.001),
        (20, 0.05, 3, 1.831, 0.001), (20, 0.5, 3, 3.507, 0.001),
    ],
)  # fmt: skip
def test_the_chance_of_a_false_alarm_in_400_events_is_exact(
    threshold: float, share: float, floor: int, percent: float, tolerance: float
) -> None:
    assert chance_of_ever(threshold, share, 400, floor=floor) == pytest.approx(percent, abs=tolerance)


@pytest.mark.parametrize(
    ("share", "percent"), [(0.01, 0.349), (0.05, 0.469), (0.1, 0.560), (0.25, 0.854), (0.5, 0.837), (0.95, 0.928)]
)
def test_the_chance_stays_under_one_percent_at_every_share(share: float, percent: float) -> None:
    assert chance_of_ever(100, share, 2000, floor=3) == pytest.approx(percent, abs=0.001)


def fewest(share: float, threshold: float, *, ratio: float = 1.0) -> int:
    """Return how many failures in a row, the baseline having none, take a canary back that fails always."""
    for failures in range(3, 1000):
        relative = ln_relative([Stratum(failures, 0, odds(share) * ratio)])
        if min(relative, ln_absolute(failures, failures, 0.005)) >= threshold:
            return failures
    raise AssertionError("no number of failures suffices")


SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 0.9, 0.95)


def test_a_canary_that_fails_always_is_taken_back_after_the_third_failure_at_small_shares() -> None:
    assert [fewest(share, DEFAULT) for share in SHARES] == [3, 3, 3, 3, 4, 5, 9, 22, 58, 118]


def test_one_worker_alone_needs_a_few_more_at_a_hundredth_of_alpha() -> None:
    assert [fewest(share, DEFAULT + log(100)) for share in SHARES] == [3, 4, 4, 5, 7, 9, 16, 38, 104, 212]


def test_larger_batches_of_the_baseline_need_more_failed_runs() -> None:
    assert [fewest(0.05, DEFAULT, ratio=ratio) for ratio in (2, 4, 8, 16, 32)] == [3, 4, 6, 8, 14]


def test_three_canaries_share_one_alpha() -> None:
    assert [fewest(share, DEFAULT + log(3)) for share in (0.05, 0.5)] == [3, 11]


@pytest.mark.parametrize(
    ("certify", "requests"),
    [
        (0.02, [196, 320, 431, 532]),
        (0.01, [394, 642, 865, 1067]),
        (0.005, [790, 1286, 1733, 2138]),
        (0.002, [1979, 3218, 4336, 5350]),
    ],
)
def test_a_certificate_takes_this_many_requests_with_0_to_3_failures(certify: float, requests: list[int]) -> None:
    for failed, needed in enumerate(requests):
        assert ln_certificate(failed, needed - 1, certify) < log(20) <= ln_certificate(failed, needed, certify) < inf
