"""Which of its outputs says what a version answered, and into which bins such answers fall."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gateway.core.outputs import BINS, bin_of_text
from gateway.core.signature import FLOATS, FREE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gateway.core.signature import Signature, TensorSpec

    Array = NDArray[Any]

COLUMNS: Final = 1_000
"""Scores of more classes are not read."""


class Form(NamedTuple):
    """Which output, by its place, says what a version answered: ``labels``, ``scores`` of classes, or ``numbers``."""

    place: int
    kind: str


def form_of(signature: Signature) -> Form | None:
    """Return what is counted of outputs with *signature*; None where that is neither classes nor numbers.

    A label is an output of integers, truth values or texts with one element per row, one called ``label`` first;
    without one, the place of the highest of two or more scores per row; else a float with one element per row.
    """
    outputs = [*enumerate(signature.outputs)]
    single = [(place, spec) for place, spec in outputs if _columns(spec) == 1]
    labels = [(spec.name != "label", place) for place, spec in single if spec.datatype not in FLOATS]
    if labels:
        return Form(min(labels)[1], "labels")
    floats = [(place, _columns(spec)) for place, spec in outputs if spec.datatype in FLOATS]
    for kind, wanted in (("scores", range(2, COLUMNS + 1)), ("numbers", range(1, 2))):
        for place, columns in floats:
            if columns in wanted:
                return Form(place, kind)
    return None


def binned(kind: str, answers: Sequence[Array], edges: Array) -> Array:
    """Return how many rows of *answers*, each the output of a ``Form`` of that *kind*, fell into each bin.

    edges: upper ends of the bins of numbers, ascending; what is above the last has one more.
    """
    if kind == "scores":
        return np.bincount(np.concatenate(answers).argmax(axis=1) % BINS)
    rows = np.concatenate([each.reshape(-1) for each in answers])
    if kind == "numbers":
        return np.bincount(np.searchsorted(edges, rows.astype(np.float64)))
    if rows.dtype.kind in "biu":
        return np.bincount(rows.astype(np.int64) % BINS)
    found = np.zeros(BINS, np.int64)
    for text, many in Counter(rows.tolist()).items():
        found[bin_of_text(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))] += many
    return found


def _columns(spec: TensorSpec) -> int:
    """Return the elements of a row; 0 where that is not known, or rows have rows of their own."""
    if len(spec.shape) == 1:
        return 1
    return spec.shape[1] if len(spec.shape) == 2 and spec.shape[1] != FREE else 0
