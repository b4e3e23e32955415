"""How good a version was, from what its labels added up to: a pure function of the store's hash.

A field of the hash is ``version|kind``; which kinds there are says ``feedback.score``, and beside those
``remembered`` and ``dropped`` count predictions, ``sum_delay`` the seconds from answer to label, and ``uncelled`` the
cells for which there was no room. Other fields are no quality and are left out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gateway.core.names import version_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COUNTS: Final = (
    "remembered", "dropped", "covered", "labelled", "classed", "correct", "scored", "valued", "rewarded", "uncelled",
)  # fmt: skip
SUMS: Final = ("sum_delay", "sum_log_loss", "sum_brier", "sum_absolute", "sum_squared", "sum_reward")


@dataclass(frozen=True, slots=True)
class Quality:
    """What was counted of one version. *cells*: (predicted, labelled) → rows."""

    counts: Mapping[str, float]
    cells: Mapping[tuple[str, str], int]

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

    @property
    def f1(self) -> float | None:
        """The mean of the classes' F1, each class as much as any other; None without a labelled class."""
        classes = self.classes()
        return sum(each["f1"] for each in classes.values()) / len(classes) if classes else None

    def classes(self) -> dict[str, dict[str, float]]:
        """Return per class its precision, recall and F1, 0 where one is divided by nothing, and its labels."""
        found = {}
        for name in sorted({each for cell in self.cells for each in cell}):
            right = self.cells.get((name, name), 0)
            predicted = sum(rows for (each, _), rows in self.cells.items() if each == name)
            labelled = sum(rows for (_, each), rows in self.cells.items() if each == name)
            found[name] = {
                "precision": right / predicted if predicted else 0.0,
                "recall": right / labelled if labelled else 0.0,
                "f1": 2 * right / (predicted + labelled),
                "labels": labelled,
            }
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return every figure as JSON values; null is what no label has told yet."""
        return {
            "remembered": self.count("remembered"),
            "dropped": self.count("dropped"),
            "labels": self.count("labelled"),
            "coverage": self.coverage,
            "mean_delay_seconds": self.mean("sum_delay", "covered"),
            "accuracy": self.accuracy,
            "f1": self.f1,
            "log_loss": self.mean("sum_log_loss", "scored"),
            "brier": self.mean("sum_brier", "scored"),
            "mean_squared_error": self.mean("sum_squared", "valued"),
            "mean_absolute_error": self.mean("sum_absolute", "valued"),
            "rewards": self.count("rewarded"),
            "mean_reward": self.mean("sum_reward", "rewarded"),
            "classes": self.classes(),
        }


def read_quality(hashes: Iterable[Mapping[str, str]]) -> dict[int, Quality]:
    """Return version → quality, ascending, summed over the *hashes* of a window."""
    counts: dict[int, dict[str, float]] = {}
    cells: dict[int, dict[tuple[str, str], int]] = {}
    for fields in hashes:
        for name, text in fields.items():
            written, _, kind = name.partition("|")
            version, number = version_number(written), _finite(text)
            if version is None or number is None:
                continue
            if kind in COUNTS or kind in SUMS:
                own = counts.setdefault(version, {})
                own[kind] = own.get(kind, 0) + number
            elif cell := _cell(kind):
                of_version = cells.setdefault(version, {})
                of_version[cell] = of_version.get(cell, 0) + int(number)
    return {
        version: Quality(MappingProxyType(counts.get(version, {})), MappingProxyType(cells.get(version, {})))
        for version in sorted({*counts, *cells})
    }


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
