"""Which columns the inputs of a version have, and how rows of them become counts by bin.

Which columns follows from the signature: a tensor with one element per row is one, a matrix has one per place of a row,
and a text has its class and its length, and where the model knows words the share of its tokens that it knows. Tensors
of more axes, or wider ones, such as images and token matrices, are not looked at.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gateway.core.outputs import VALUE_EDGES, bin_of_text
from gateway.core.reference import (
    MAX_CLASSES,
    MAX_NAME,
    PREDICTION,
    VOCABULARY_BINS,
    Column,
    hashed_name,
    vocabulary_name,
)
from gateway.core.signature import FREE
from gateway.core.vocabulary import ROUND_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from gateway.core.reference import Reference
    from gateway.core.signature import Signature
    from gateway.core.vocabulary import Vocabulary

    Array = NDArray[Any]

WIDEST: Final = 64
"""Columns of inputs that are looked at, of one version; texts count once."""

_DECILES: Final = tuple(number / 10 for number in range(1, 10))
_VALUE_EDGES: Final = np.array(VALUE_EDGES)
_VALUES: Final = len(VALUE_EDGES)


class Place(NamedTuple):
    """Where a column is: input by its place in the signature, and place in a row, None where a row is one element."""

    name: str
    tensor: int
    column: int | None
    is_text: bool


def places_of(signature: Signature) -> tuple[Place, ...]:
    """Return the columns of the inputs of a version with *signature*, the first WIDEST of them."""
    found: list[Place] = []
    for tensor, spec in enumerate(signature.inputs):
        is_text = spec.datatype == "BYTES"
        if len(spec.shape) == 1 or (len(spec.shape) == 2 and spec.shape[1] == 1):
            is_taken = spec.name == PREDICTION or spec.name.endswith(vocabulary_name(""))
            name = f"{spec.name} (input)" if is_taken else spec.name
            found.append(Place(name[: MAX_NAME - 20], tensor, None, is_text))
        elif len(spec.shape) == 2 and spec.shape[1] != FREE and spec.shape[1] <= WIDEST:
            found += [
                Place(f"{spec.name[: MAX_NAME - 20]}[{place}]", tensor, place, is_text)
                for place in range(spec.shape[1])
            ]
    return tuple(found[:WIDEST])


def values_of(place: Place, tensors: Sequence[Array]) -> Array:
    """Return the column at *place* of *tensors*, in the order of the signature: one element per row."""
    tensor = tensors[place.tensor]
    return tensor.reshape(-1) if place.column is None else tensor[:, place.column]


class Counting:
    """How the inputs of a version with these *places* become counts, in the bins of *reference*.

    Without one: numbers in the buckets of ``VALUE_EDGES``, with one more for what is missing; texts hashed. All columns
    of numbers are counted at once, because what a column costs by itself is more than its rows. *vocabularies*: place
    of an input in the signature → the words that the model knows of its texts.
    """

    def __init__(
        self, places: Sequence[Place], reference: Reference | None, vocabularies: Mapping[int, Vocabulary] | None = None
    ) -> None:
        numbers = [place for place in places if not place.is_text]
        self._names = [place.name for place in numbers]
        self._tensors = list(dict.fromkeys(place.tensor for place in numbers))
        self._texts = [place for place in places if place.is_text]
        self._reference = reference
        self._vocabularies = vocabularies or {}
        known = [_edges_of(reference, name) for name in self._names]
        self._missing = np.array([_VALUES if edges is None else len(edges) for edges in known], np.int64) + 1
        self._edges = None if reference is None else _padded([edges or () for edges in known])
        self._width = int(self._missing.max(initial=0)) + 1

    def counts(self, tensors: Sequence[Array]) -> dict[str, dict[int, int]]:
        """Return column → bin → rows of *tensors*, the inputs in the order of the signature, rows first."""
        found = self._numbers(tensors) if self._names else {}
        for place in self._texts:
            values = [_text(each) for each in values_of(place, tensors).tolist()]
            known = self._reference.column(place.name) if self._reference is not None else None
            found[place.name if known is not None else hashed_name(place.name)] = _texts(values, known)
            length = f"{place.name} (length)"
            edges = _edges_of(self._reference, length)
            found[length] = _bins(np.array([len(each) for each in values], np.float64), edges)
            self._count_known(place, values, found)
        return found

    def _count_known(self, place: Place, texts: Sequence[str], found: dict[str, dict[int, int]]) -> None:
        """Add to *found* how much of *texts* the model knows, where it says so and the reference has that column."""
        name, vocabulary = vocabulary_name(place.name), self._vocabularies.get(place.tensor)
        if vocabulary is None or (self._reference is not None and self._reference.column(name) is None):
            return
        found[name] = vocabulary.counts(texts, characters=ROUND_CHARACTERS)

    def _numbers(self, tensors: Sequence[Array]) -> dict[str, dict[int, int]]:
        rows, columns = len(tensors[0]), len(self._names)
        parts = [tensors[each].reshape(rows, -1) for each in self._tensors]
        values = np.concatenate(parts, axis=1, dtype=np.float64, casting="unsafe")[:, :columns]
        if self._edges is None:
            places = np.searchsorted(_VALUE_EDGES, values)
        else:
            places = (values[:, :, None] > self._edges).sum(axis=2)
        places = np.where(np.isnan(values), self._missing, places)
        found = np.bincount((places + np.arange(columns) * self._width).ravel(), minlength=columns * self._width)
        counts: dict[str, dict[int, int]] = {name: {} for name in self._names}
        filled = np.flatnonzero(found)
        for place, many in zip(filled.tolist(), found[filled].tolist(), strict=True):
            counts[self._names[place // self._width]][place % self._width] = many
        return counts


def column_of_numbers(name: str, values: Array) -> Column:
    """Return the column that *values* make: their deciles, each once, and what lies below and above all of them."""
    known = values[np.isfinite(values)]
    edges: tuple[float, ...] = ()
    if known.size:
        deciles = np.quantile(known, _DECILES, method="inverted_cdf")
        below = np.nextafter(known.min(), -np.inf)
        edges = tuple(float(each) for each in np.unique([below, *deciles, known.max()]) if np.isfinite(each))
    return _filled(Column(name, "numbers", (0,) * (len(edges) + 2), edges), values)


def columns_of_texts(name: str, values: Array) -> tuple[Column, Column]:
    """Return the two columns of texts: their commonest classes, and their length in characters."""
    texts = [_text(each) for each in values.tolist()]
    common = Counter(text for text in texts if text and len(text) <= MAX_NAME).most_common(MAX_CLASSES)
    classes = tuple(text for text, _ in common)
    column = _filled(Column(name, "classes", (0,) * (len(classes) + 2), (), classes), values)
    lengths = np.array([len(each) for each in texts], np.float64)
    return column, column_of_numbers(f"{name} (length)", lengths)


def column_of_vocabulary(name: str, values: Array, vocabulary: Vocabulary) -> Column:
    """Return the column that says how much of each of these texts is known."""
    found = vocabulary.counts(_text(each) for each in values.tolist())
    counts = tuple(found.get(number, 0) for number in range(VOCABULARY_BINS))
    return Column(vocabulary_name(name), "vocabulary", counts)


def _filled(column: Column, values: Array) -> Column:
    bins = (
        _texts([_text(each) for each in values.tolist()], column) if column.kind == "classes"
        else _bins(values, column.edges)
    )  # fmt: skip
    counts = tuple(bins.get(number, 0) for number in range(len(column.counts)))
    return Column(column.name, column.kind, counts, column.edges, column.classes)


def _bins(values: Array, edges: Sequence[float] | None) -> dict[int, int]:
    """Return bin → how many of *values*; *edges* None are those of the fine histogram."""
    ends = _VALUE_EDGES if edges is None else np.array(edges)
    places = np.searchsorted(ends, values)
    places[np.isnan(values)] = len(ends) + 1
    counts = np.bincount(places)
    return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}


def _edges_of(reference: Reference | None, name: str) -> tuple[float, ...] | None:
    """Return the edges of a column of numbers; None without a *reference*, none where it does not know the column."""
    if reference is None:
        return None
    column = reference.column(name)
    return column.edges if column is not None else ()


def _padded(edges: Sequence[Sequence[float]]) -> Array:
    """Return *edges* as one matrix, a row per column; no number is above what fills it up."""
    matrix = np.full((len(edges), max(map(len, edges), default=0)), np.inf)
    for row, each in enumerate(edges):
        matrix[row, : len(each)] = each
    return matrix


def _texts(texts: Sequence[str], column: Column | None) -> dict[int, int]:
    found: Counter[int] = Counter()
    places = {name: number for number, name in enumerate(column.classes)} if column is not None else {}
    for text, many in Counter(texts).items():
        if column is None or column.kind != "classes":
            found[bin_of_text(text)] += many
        else:
            found[places.get(text, len(places)) if text else len(places) + 1] += many
    return dict(found)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
