"""How good a version was, from what its labels added up to: a pure function of the store's hash.

A field of the hash is ``version|kind``; which kinds there are says ``feedback.score``, and beside those
``remembered`` and those of DROPS count predictions, ``sum_delay`` the seconds from answer to label, and ``uncelled``
the cells for which there was no room. Other fields are no quality and are left out.
A segment is what one rule chose: ``split``, ``missing``, ``rule-1`` …, ``pinned``, and ``fallback`` for answers in
place of a version that failed.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gateway.core.names import version_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DROPS: Final = {
    "full": "dropped", "large": "dropped_large", "inputs_full": "inputs_full", "inputs_large": "inputs_large",
    "inputs_unhidden": "inputs_unhidden", "inputs_failed": "inputs_failed",
}  # fmt: skip
"""Why something was not remembered → its counter: the first two whole answers, the others the inputs of one."""
COUNTS: Final = (
    "remembered", *DROPS.values(), "covered", "labelled", "classed", "correct", "scored", "valued", "rewarded",
    "uncelled", "bounded",
)  # fmt: skip
SUMS: Final = ("sum_delay", "sum_log_loss", "sum_brier", "sum_absolute", "sum_squared", "sum_reward")
_KNOWN: Final = frozenset((*COUNTS, *SUMS))
MACRO: Final = ("precision", "recall", "f1")
"""The figures of a class of which there is a mean over all classes."""

ENOUGH_LABELS: Final = 100
"""Fewer are shown as too few: with so many, the 95 % interval of a share is up to ten points wide on either side."""

BIN: Final = re.compile(r"([0-9])\|(rows|right|sum_confidence)")


@dataclass(frozen=True, slots=True)
class Quality:
    """What was counted of one version. *cells*: (predicted, labelled) → rows.

    *bins*: place of a part of the confidence → rows, right ones, sum of confidences. *segments*: rule → what was
    counted of its answers alone, without cells and bins.
    """

    counts: Mapping[str, float]
    cells: Mapping[tuple[str, str], int]
    bins: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    segments: Mapping[str, Quality] = field(default_factory=dict)

    def count(self, kind: str) -> int:
        """Return how many of *kind*, one of COUNTS, there are."""
        return int(self.counts.get(kind, 0))

    def mean(self, total: str, over: str) -> float | None:
        """Return *total* per *over*; None where there are none to divide by."""
        many = self.counts.get(over, 0)
        return self.counts.get(total, 0) / many if many else None

    @property
    def accuracy(self) -> float | None:
        """Labelled rows whose class was right, a fraction of one."""
        return self.mean("correct", "classed")

    @property
    def coverage(self) -> float | None:
        """Remembered answers that got a label, a fraction of one."""
        return self.mean("covered", "remembered")

    def macro(self) -> dict[str, float]:
        """Return MACRO → the mean over the classes, each as much as any other; empty without a labelled class."""
        classes = self.classes().values()
        return {name: sum(each[name] for each in classes) / len(classes) for name in MACRO} if classes else {}

    def classes(self) -> dict[str, dict[str, float]]:
        """Return per class its precision, recall and F1, 0 where one is divided by nothing, and its labels."""
        predicted: Counter[str] = Counter()
        labelled: Counter[str] = Counter()
        for (said, label), rows in self.cells.items():
            predicted[said] += rows
            labelled[label] += rows
        found = {}
        for name in sorted(predicted | labelled):
            right = self.cells.get((name, name), 0)
            found[name] = {
                "precision": right / predicted[name] if predicted[name] else 0.0,
                "recall": right / labelled[name] if labelled[name] else 0.0,
                "f1": 2 * right / (predicted[name] + labelled[name]),
                "labels": labelled[name],
            }
        return found

    def calibration(self) -> list[dict[str, float]]:
        """Return the reliability curve: per part of the confidence that occurred its rows, and two fractions of one.

        *confidence* is the mean of the largest probability, *accuracy* how many were right. As sure as right is good.
        """
        used = [self.bins[place] for place in sorted(self.bins) if self.bins[place].get("rows", 0) > 0]
        return [
            {
                "rows": int(each["rows"]),
                "confidence": each.get("sum_confidence", 0.0) / each["rows"],
                "accuracy": each.get("right", 0.0) / each["rows"],
            }
            for each in used
        ]

    @property
    def calibration_error(self) -> float | None:
        """The mean distance of confidence and accuracy over all rows, a fraction of one (ECE of ten equal bins).

        Source: Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI
        2015.
        """
        curve = self.calibration()
        rows = sum(each["rows"] for each in curve)
        return sum(each["rows"] * abs(each["confidence"] - each["accuracy"]) for each in curve) / rows if rows else None

    def as_dict(self) -> dict[str, Any]:
        """Return every figure as JSON values; null is what no label has told yet."""
        return {
            **self.figures(),
            "remembered": self.count("remembered"),
            "dropped": self.count("dropped") + self.count("dropped_large"),
            "coverage": self.coverage,
            **dict.fromkeys(MACRO),
            **self.macro(),
            "calibration_error": self.calibration_error,
            "calibration": self.calibration(),
            "classes": self.classes(),
            "segments": {rule: segment.figures() for rule, segment in sorted(self.segments.items())},
        }

    def figures(self) -> dict[str, Any]:
        """Return the figures that a segment has too."""
        return {
            "labels": self.count("labelled"),
            "mean_delay_seconds": self.mean("sum_delay", "covered"),
            "accuracy": self.accuracy,
            "log_loss": self.mean("sum_log_loss", "scored"),
            "brier": self.mean("sum_brier", "scored"),
            "mean_squared_error": self.mean("sum_squared", "valued"),
            "mean_absolute_error": self.mean("sum_absolute", "valued"),
            "rewards": self.count("rewarded"),
            "mean_reward": self.mean("sum_reward", "rewarded"),
        }


class _Read:
    """The counters of one version, as fields come in."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}
        self.cells: dict[tuple[str, str], int] = {}
        self.bins: dict[int, dict[str, float]] = {}
        self.segments: dict[str, dict[str, float]] = {}

    def add(self, kind: str, number: float) -> bool:
        """Add *number* to the counter *kind*, and say whether that is one."""
        word, _, rest = kind.partition("|")
        if kind in _KNOWN:
            _plus(self.counts, kind, number)
        elif word == "in" and (found := rest.rpartition("|"))[0] and found[2] in _KNOWN:
            _plus(self.segments.setdefault(found[0], {}), found[2], number)
        elif word == "bin" and (part := BIN.fullmatch(rest)):
            _plus(self.bins.setdefault(int(part[1]), {}), part[2], number)
        elif cell := _cell(kind):
            self.cells[cell] = self.cells.get(cell, 0) + int(number)
        else:
            return False
        return True

    def quality(self) -> Quality:
        segments = {rule: Quality(MappingProxyType(own), {}) for rule, own in self.segments.items()}
        return Quality(
            MappingProxyType(self.counts),
            MappingProxyType(self.cells),
            MappingProxyType(self.bins),
            MappingProxyType(segments),
        )


def read_quality(hashes: Iterable[Mapping[str, str]]) -> dict[int, Quality]:
    """Return version → quality, ascending, summed over the *hashes* of a window."""
    found: dict[int, _Read] = {}
    for fields in hashes:
        for name, text in fields.items():
            written, _, kind = name.partition("|")
            version, number = version_number(written), _finite(text)
            if version is None or number is None:
                continue
            read = found.get(version) or _Read()
            if read.add(kind, number):
                found[version] = read
    return {version: found[version].quality() for version in sorted(found)}


def _plus(counts: dict[str, float], kind: str, number: float) -> None:
    counts[kind] = counts.get(kind, 0) + number


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _cell(kind: str) -> tuple[str, str] | None:
    word, _, text = kind.partition("|")
    try:
        predicted, label = json.loads(text if word == "cell" else "[]")
    except (ValueError, TypeError):
        return None
    return str(predicted), str(label)
