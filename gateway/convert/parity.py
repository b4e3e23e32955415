"""Whether the converted model answers as the original does, output by output, on the same rows.

The original computes with 64 bits and the converted model with 32. So numbers may differ by *tolerance*, absolute
below 1 and relative above; labels may not differ. A value at the edge of a tree's split may fall to the other
side once it is rounded, which is a difference that callers see, and counts as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

TOLERANCE: Final = 1e-4
SHOWN_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """How one output of the two lies apart. *beyond* counts rows, *where* names the first of them, from 0.

    The largest differences are None for labels, and for outputs that cannot be compared; *problem* says why not.
    The relative one is taken over the numbers that exceed the tolerance themselves.
    """

    output: str
    beyond: int
    where: tuple[int, ...]
    largest_absolute: float | None = None
    largest_relative: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Parity:
    """The comparison of all outputs over *rows* rows; it holds where at most *allowed* rows lie beyond in each."""

    rows: int
    tolerance: float
    allowed: int
    outputs: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        """Say whether the converted model may stand for the original."""
        return all(not each.problem and each.beyond <= self.allowed for each in self.outputs)

    @property
    def reason(self) -> str:
        """Return in words what differs, empty where it holds."""
        said = [
            f"{each.output}: {each.problem or f'{each.beyond} of {self.rows} rows differ, first row {each.where[0]}'}"
            for each in self.outputs
            if each.problem or each.beyond > self.allowed
        ]
        return f"the converted model does not answer as the original does ({'; '.join(said)})" if said else ""


def compare(
    original: Mapping[str, Array], converted: Mapping[str, Array], *, tolerance: float = TOLERANCE, allowed: int = 0
) -> Parity:
    """Return how *converted* lies apart from *original*, arrays by output, [rows] or [rows, columns] each."""
    rows = max(len(each) for each in original.values())  # an output may be one number for all
    differences = tuple(_compare(name, given, converted.get(name), tolerance) for name, given in original.items())
    return Parity(rows, tolerance, allowed, differences)


def _compare(name: str, original: Array, converted: Array | None, tolerance: float) -> Difference:
    if converted is None:
        return Difference(name, len(original), (), problem="the converted model has no such output")
    if original.shape != converted.shape:
        shapes = f"{list(original.shape)} became {list(converted.shape)}"
        return Difference(name, len(original), (), problem=f"its shape {shapes}")
    if name == "label" or (original.dtype.kind in "OU" and converted.dtype.kind in "OU"):
        return Difference(name, *_rows(_labels(original) != _labels(converted)))
    if original.dtype.kind not in "biuf" or converted.dtype.kind not in "biuf":
        return Difference(name, len(original), (), problem=f"{original.dtype} became {converted.dtype}")
    return _numbers(name, original.astype(np.float64), converted.astype(np.float64), tolerance)


def _numbers(name: str, original: Array, converted: Array, tolerance: float) -> Difference:
    """Compare numbers; NaN equals NaN and infinity itself, and either differs from every number."""
    with np.errstate(invalid="ignore", divide="ignore"):
        same = (original == converted) | (np.isnan(original) & np.isnan(converted))
        absolute = np.where(same, 0.0, np.abs(original - converted))
        absolute = np.where(np.isnan(absolute), np.inf, absolute)
        counts = np.abs(original) > tolerance  # beside nothing, every difference is large
        relative = np.where(counts, absolute / np.abs(original), 0.0)
        relative = np.where(np.isnan(relative), np.inf, relative)
    beyond = ~(absolute <= tolerance * np.maximum(1.0, np.where(np.isfinite(original), np.abs(original), 1.0)))
    count, where = _rows(beyond)
    return Difference(name, count, where, float(absolute.max(initial=0.0)), float(relative.max(initial=0.0)))


def _rows(differs: Array) -> tuple[int, tuple[int, ...]]:
    """Return how many rows hold a difference, and the first of them."""
    rows = np.flatnonzero(differs.reshape(len(differs), -1).any(axis=1))
    return len(rows), tuple(int(row) for row in rows[:SHOWN_ROWS])


def _labels(labels: Array) -> Array:
    """Return labels as text; truth values and whole floats as the integers that the converter makes of them."""
    if labels.dtype.kind == "b" or (labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels))):
        labels = labels.astype(np.int64)
    return labels.astype(str)
