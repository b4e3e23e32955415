"""What predictions are worth: each score a function of weighted rows, so that an estimate and a resample are one thing.

A resample of the rows gives each a whole number of weight; all ones are the rows as they are. What cannot be known
(ROC AUC where one class never occurs, R² of constant targets) is NaN. Tests hold every score against scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.evaluation.predictions import Classes, Numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gateway.evaluation.predictions import Predictions

    Array = NDArray[Any]

LEAST_CHANCE: Final = 1e-15
"""What a probability of zero counts as in the log loss."""

BINS: Final = 10
"""Equal parts of the confidence, for the calibration."""

PER_CLASS: Final = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose largest probability lies in one part of 0 to 1: their mean *confidence*, how often it was right."""

    rows: int
    confidence: float
    accuracy: float


class ClassScores:
    """Of one classifier. All sums are over rows, weighted."""

    def __init__(self, found: Classes) -> None:
        self._found = found
        self._hit = found.right == found.said
        self._count = len(found.names)

    def __call__(self, weights: Array) -> dict[str, float]:
        """Return every score by its name. weights: [rows], not negative."""
        total = weights.sum()
        by_class = self._by_class(weights)
        there, support = by_class["there"], by_class["support"]
        scores = {"accuracy": float(weights[self._hit].sum() / total)}
        for name in PER_CLASS:
            scores[name] = float(by_class[name][there].mean())
            scores[f"{name}_weighted"] = float((by_class[name] * support).sum() / total)
        return scores | self._of_chances(weights, total)

    def classes(self, weights: Array) -> dict[str, dict[str, float]]:
        """Return per class its precision, recall, F1 and how much weight has it as label."""
        found = self._by_class(weights)
        return {
            name: {each: float(found[each][place]) for each in (*PER_CLASS, "support")}
            for place, name in enumerate(self._found.names)
            if found["there"][place]
        }

    def bins(self) -> tuple[Bin, ...]:
        """Return the reliability curve; empty without probabilities."""
        if self._found.chances is None:
            return ()
        _, _, confidence, places = self._chance_rows
        return tuple(
            Bin(int(inside.sum()), float(confidence[inside].mean()), float(self._hit[inside].mean()))
            for inside in (places == each for each in range(BINS))
            if inside.any()
        )

    def _by_class(self, weights: Array) -> dict[str, Array]:
        """Return arrays [classes]; precision, recall and F1 are 0 where one is divided by nothing."""
        right, said, hit = self._found.right, self._found.said, self._hit
        is_known = said >= 0
        support = np.bincount(right, weights, self._count)
        named = np.bincount(said[is_known], weights[is_known], self._count)
        hits = np.bincount(right[hit], weights[hit], self._count)
        return {
            "support": support,
            "there": (support > 0) | (named > 0),
            "precision": _divided(hits, named),
            "recall": _divided(hits, support),
            "f1": _divided(2 * hits, support + named),
        }

    def _of_chances(self, weights: Array, total: float) -> dict[str, float]:
        if self._found.chances is None:
            return dict.fromkeys(("roc_auc", "log_loss", "brier", "ece"), float("nan"))
        losses, squares, confidence, places = self._chance_rows
        counts = [np.bincount(places, weights * each, BINS) for each in (confidence, self._hit)]
        return {
            "roc_auc": self._roc_auc(weights),
            "log_loss": float((weights * losses).sum() / total),
            "brier": float((weights * squares).sum() / total),
            "ece": float(np.abs(counts[0] - counts[1]).sum() / total),
        }

    @cached_property
    def _chance_rows(self) -> tuple[Array, Array, Array, Array]:
        """Per row: its log loss, its Brier score, the largest probability, and the bin of that.

        Brier, of two classes as of one probability: half the sum over both, as Brier's own is the whole.
        """
        assert self._found.chances is not None
        chances = self._found.chances / self._found.chances.sum(axis=1, keepdims=True)
        rows = np.arange(len(chances))
        of_right = np.clip(chances[rows, self._found.right], LEAST_CHANCE, 1.0)
        apart = chances.copy()
        apart[rows, self._found.right] -= 1
        squares = (apart**2).sum(axis=1) * (0.5 if self._count == 2 else 1.0)
        confidence = chances.max(axis=1)
        places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        return -np.log(of_right), squares, confidence, places

    def _roc_auc(self, weights: Array) -> float:
        """Return the area of one class against the rest, the mean over the classes; NaN where one never occurs."""
        found = [_area(*ordered, weights) for ordered in self._ordered]
        return float(np.mean(found)) if found else float("nan")

    @cached_property
    def _ordered(self) -> list[tuple[Array, Array, Array]]:
        """Per class (of two, the second alone): rows by growing probability, where equal ones begin, which are it."""
        assert self._found.chances is not None
        ordered = []
        for place in range(self._count) if self._count > 2 else range(1, self._count):
            chance = self._found.chances[:, place]
            order = np.argsort(chance, kind="stable")
            begins = np.flatnonzero(np.concatenate(([True], np.diff(chance[order]) > 0)))
            ordered.append((order, begins, self._found.right[order] == place))
        return ordered


class NumberScores:
    """Of one regressor."""

    def __init__(self, found: Numbers) -> None:
        self._right = found.right
        self._apart = found.right - found.said

    def __call__(self, weights: Array) -> dict[str, float]:
        """Return every score by its name. weights: [rows], not negative."""
        total = weights.sum()
        squares = float((weights * self._apart**2).sum())
        around = float((weights * (self._right - (weights * self._right).sum() / total) ** 2).sum())
        return {
            "mse": float(squares / total),
            "mae": float((weights * np.abs(self._apart)).sum() / total),
            "r2": float(1 - squares / around) if around > 0 and np.ptp(self._right[weights > 0]) > 0 else float("nan"),
        }


Scores = ClassScores | NumberScores


def scores_of(found: Predictions) -> Scores:
    """Return what *found* is worth, as a function of the weights of its rows."""
    return ClassScores(found) if isinstance(found, Classes) else NumberScores(found)


def _area(order: Array, begins: Array, is_it: Array, weights: Array) -> float:
    """Return the weighted chance that one of the class is ranked above one of the rest; equal ranks count half.

    Source: the Mann-Whitney form of the area; Hanley and McNeil, Radiology 143(1), 1982,
    doi:10.1148/radiology.143.1.7063747.
    """
    weighted = weights[order]
    inside = np.add.reduceat(np.where(is_it, weighted, 0), begins)
    outside = np.add.reduceat(np.where(is_it, 0, weighted), begins)
    pairs = inside.sum() * outside.sum()
    below = np.cumsum(outside) - outside
    return float((inside * (below + outside / 2)).sum() / pairs) if pairs else float("nan")


def _divided(over: Array, under: Array) -> Array:
    return np.divide(over, under, out=np.zeros(len(under)), where=under > 0)
