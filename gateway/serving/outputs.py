"""What the two versions of a rollout answer, as counts by bin: a sample of it, read beside the requests.

A request leaves a reference to one output. Several times a second what was left is joined and counted at once, so it
costs a request a fraction of a microsecond. Which answers are taken depends on when they came and on nothing else, for
both versions alike. Nothing here judges: ``core.outputs`` has the bins, ``core.analysis`` the verdict.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from gateway.core.outputs import BINS, OUT_KINDS, VALUE_EDGES, VALUE_KINDS, bin_of_text
from gateway.core.signature import FLOATS, FREE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.signature import Signature, TensorSpec
    from gateway.ports import Tensor

ROOM: Final = 4_096
"""Elements that are taken between two readings, and what an answer takes beside its own: at most 256 answers."""
ANSWER: Final = 16

ROWS: Final = 64
"""Of one answer so many rows are counted: one large request must not speak for all."""

COLUMNS: Final = 1_000
"""Scores of more classes are not read."""

_VALUE_EDGES: Final = np.array(VALUE_EDGES)


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


def _columns(spec: TensorSpec) -> int:
    """Return the elements of a row; 0 where that is not known, or rows have rows of their own."""
    if len(spec.shape) == 1:
        return 1
    return spec.shape[1] if len(spec.shape) == 2 and spec.shape[1] != FREE else 0


def forms_of(baseline: Signature, canary: Signature) -> tuple[Form, Form] | None:
    """Return the forms of both, where their bins mean the same."""
    ours, theirs = form_of(baseline), form_of(canary)
    if ours is None or theirs is None or (ours.kind == "numbers") != (theirs.kind == "numbers"):
        return None
    return ours, theirs


class OutputSample:
    """The answers of one version under one revision that were not read yet."""

    __slots__ = ("_edges", "_form", "_held", "_kinds", "_room")

    def __init__(self, form: Form, deciles: Sequence[float]) -> None:
        """*deciles*: the edges of the bins of numbers; without any, numbers are counted in the fine histogram."""
        self._form = form
        self._edges = np.array(deciles) if deciles else _VALUE_EDGES
        self._kinds = OUT_KINDS if deciles or form.kind != "numbers" else VALUE_KINDS
        self._held: list[Tensor] = []
        self._room = ROOM

    def take(self, outputs: Sequence[Tensor]) -> None:
        """Take one answer, *outputs* in the order of the signature, if there is room."""
        if self._room > 0:
            tensor = outputs[self._form.place]
            self._room -= ANSWER + tensor.size
            self._held.append(tensor)

    def read(self) -> Mapping[str, int]:
        """Return how often each kind was answered since the last call."""
        if not self._held:
            return {}
        held, self._held, self._room = self._held, [], ROOM
        bins = self._bins(held)
        return {self._kinds[number]: int(bins[number]) for number in np.flatnonzero(bins)}

    def _bins(self, held: Sequence[Tensor]) -> Tensor:
        if self._form.kind == "scores":
            return np.bincount(np.concatenate([each[:ROWS] for each in held]).argmax(axis=1) % BINS)
        rows = np.concatenate([each[:ROWS].reshape(-1) for each in held])
        if self._form.kind == "numbers":
            return np.bincount(np.searchsorted(self._edges, rows.astype(np.float64)))
        if rows.dtype.kind in "biu":
            return np.bincount(rows.astype(np.int64) % BINS)
        found = np.zeros(BINS, np.int64)
        for text, many in Counter(rows.tolist()).items():
            found[bin_of_text(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))] += many
        return found
