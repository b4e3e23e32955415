"""How alike two versions answered one request: the caller's answer, and the copy's.

Outputs are paired by name; one that only one of the two gives, or that is a number here and a label there, is not
compared. A model that names a class is judged by the class, one that gives scores by the highest, one that gives a
number by its distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.engine import Tensor

FARTHEST: Final = 1e12
"""What a larger difference counts as, and one to or from a value that is no number: sums must stay finite."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """*agrees*: the same class, or numbers within the tolerance.

    *mean* and *most* are of the absolute differences over all numbers that both gave, None where there are none.
    """

    agrees: bool
    mean: float | None = None
    most: float | None = None


def compare(answer: Mapping[str, Tensor], copy: Mapping[str, Tensor], tolerance: float) -> Comparison | None:
    """Return how alike *answer* and *copy*, outputs by name, are; None where they have nothing to compare.

    Whole numbers, truth values and texts are labels and agree where all are equal. Without any the first output of
    floats decides: with two or more columns by the place of each row's largest, else by *tolerance*. Another shape
    is never agreement.
    """
    labels: list[tuple[Tensor, Tensor]] = []
    floats: list[tuple[Tensor, Tensor]] = []
    for name, ours in answer.items():
        theirs = copy.get(name)
        if theirs is None or (ours.dtype.kind == "f") != (theirs.dtype.kind == "f"):
            continue
        (floats if ours.dtype.kind == "f" else labels).append((ours, theirs))
    distances = [_distance(ours, theirs) for ours, theirs in floats if ours.shape == theirs.shape]
    count = sum(each.size for each in distances)
    if not labels and not floats:
        return None
    agrees = all(np.array_equal(*pair) for pair in labels) if labels else _is_same(floats[0], tolerance)
    if not count:
        return Comparison(agrees)
    total = sum(float(each.sum()) for each in distances)
    return Comparison(agrees, total / count, max(float(each.max()) for each in distances if each.size))


def _is_same(pair: tuple[Tensor, Tensor], tolerance: float) -> bool:
    ours, theirs = pair
    if ours.shape != theirs.shape:
        return False
    if ours.ndim > 1 and ours.shape[-1] > 1:
        return np.array_equal(ours.argmax(-1), theirs.argmax(-1))
    return bool((_distance(ours, theirs) <= tolerance).all())


def _distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the absolute differences of two tensors of one shape, each at most FARTHEST; nan to nan is 0."""
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(one - other)
    distance[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    bounded: Tensor = np.minimum(np.nan_to_num(distance, nan=FARTHEST, posinf=FARTHEST), FARTHEST)
    return bounded
