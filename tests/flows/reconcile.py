"""Counts that must agree: what the caller saw, what the model said, what ``/metrics`` says."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.flows import metrics
from tests.flows.gateway_process import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.flows.gateway_process import Gateway
    from tests.flows.load import Load, Outcome

METRICS_SECONDS: Final = 3.0
"""So soon ``/metrics`` agrees with what callers counted."""

DEVIATIONS: Final = 4.5
"""Bounds of a share: false alarms in fewer than one of 100,000 comparisons."""


def assert_counts_agree(gateway: Gateway, loads: Iterable[Load], before: Mapping[str, int]) -> None:
    """Fail unless client, model and metrics count the same per version; *before* is what metrics showed at first."""
    by_header: Counter[str] = Counter()
    by_model: Counter[str] = Counter()
    for load in loads:
        by_header += load.by_header()
        by_model += load.by_model()

    def counted() -> Counter[str]:
        return metrics.requests(gateway) - Counter(before)

    assert by_header == by_model
    eventually(lambda: counted() >= by_model, METRICS_SECONDS, f"metrics {counted()} agree with answers {by_model}")
    assert counted() == by_model


def assert_legal(outcomes: Iterable[Outcome], splits: Mapping[int, Mapping[str, int]]) -> None:
    """Fail if an answer names a version that had no weight at the revision that it names, or another than the model."""
    for outcome in outcomes:
        assert splits[outcome.revision].get(outcome.version, 0) > 0, outcome
        assert outcome.said == outcome.version, outcome


def assert_shares(outcomes: Iterable[Outcome], splits: Mapping[int, Mapping[str, int]]) -> None:
    """Fail if a version's share of the answers at some revision is outside of its binomial bounds."""
    seen = Counter((outcome.revision, outcome.version) for outcome in outcomes)
    for revision, split in splits.items():
        total, weights = sum(seen[revision, version] for version in split), sum(split.values())
        for version, weight in split.items():
            share = weight / weights
            allowed = DEVIATIONS * math.sqrt(total * share * (1 - share)) + 0.5 * (0 < share < 1)
            found = seen[revision, version]
            assert abs(found - total * share) <= allowed, f"revision {revision}: {found} of {total} went to {version}"
