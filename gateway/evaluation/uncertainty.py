"""How sure a difference between two versions is, both asked the same rows.

Intervals come from resampling rows, the same ones for every version; McNemar's test counts the rows that exactly one
of two classifiers gets right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.evaluation.predictions import Classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gateway.evaluation.predictions import Predictions
    from gateway.evaluation.scores import Scores

    Array = NDArray[Any]

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95
LEAST_KNOWN: Final = 0.9
"""A score that fewer of the resamples than this can know gets no interval."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A version's score less the baseline's, and the interval that holds the true difference with CONFIDENCE.

    *low* and *high* are None where the rows are too few, or too much alike, to say.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def is_sure(self) -> bool:
        """Say whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Rows that only the baseline, and only the version, got right; *p_value* if both were equally good."""

    only_baseline: int
    only_version: int
    p_value: float


def differences(baseline: int, scores: Mapping[int, Scores], rows: int, seed: int) -> dict[int, dict[str, Difference]]:
    """Return version → score → how it differs from the *baseline*'s, by *seed* the same each time.

    Source: the paired percentile bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    others = [version for version in scores if version != baseline]
    drawn = np.random.default_rng(seed)
    apart: dict[int, list[dict[str, float]]] = {version: [] for version in others}
    for _ in range(RESAMPLES if others else 0):
        weights = np.bincount(drawn.integers(rows, size=rows), minlength=rows).astype(np.float64)
        ours = scores[baseline](weights)
        for version in others:
            apart[version].append(_less(scores[version](weights), ours))
    whole = np.ones(rows)
    ours = scores[baseline](whole)
    return {
        version: {name: _interval(value, [each[name] for each in apart[version]])
                  for name, value in _less(scores[version](whole), ours).items()}
        for version in others
    }  # fmt: skip


def disagreement(baseline: Predictions, version: Predictions) -> Disagreement | None:
    """Return McNemar's exact test of two classifiers over the same rows; None for numbers.

    Source: McNemar, Psychometrika 12(2), 1947, doi:10.1007/BF02295996, with the binomial distribution for its table.
    """
    if not isinstance(baseline, Classes) or not isinstance(version, Classes):
        return None
    first, second = baseline.right == baseline.said, version.right == version.said
    lost, won = int((first & ~second).sum()), int((~first & second).sum())
    return Disagreement(lost, won, _two_sided(min(lost, won), lost + won))


def _two_sided(least: int, total: int) -> float:
    """Return how likely a fair coin, thrown *total* times, falls as unevenly as *least* to the rest, or more so."""
    if 2 * least >= total:
        return 1.0
    logs = [math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(least + 1)]
    return min(1.0, 2 * math.fsum(math.exp(each - total * math.log(2)) for each in logs))


def _less(version: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    return {name: value - baseline[name] for name, value in version.items() if name in baseline}


def _interval(value: float, resampled: list[float]) -> Difference:
    known = np.array([each for each in resampled if math.isfinite(each)])
    if not math.isfinite(value) or len(known) < LEAST_KNOWN * RESAMPLES:
        return Difference(value, None, None)
    low, high = np.quantile(known, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Difference(value, float(low), float(high))
