"""A labelled answer as rows of numbers to learn from, or the reason why it is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.core.signature import FREE
from gateway.learning.errors import CannotLearn
from gateway.learning.estimators import CLUSTERING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gateway.core.labelled import Labelled
    from gateway.core.signature import Signature
    from gateway.learning.document import LearnerDocument

    Array = NDArray[Any]

MATRIX: Final = "input"
"""The one input that a converted model without names of columns has."""

NUMBERS: Final = frozenset({
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64",
})  # fmt: skip


class NotLearned(Exception):
    """An answer teaches nothing. *reason* is one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


REASONS: Final = {
    "reward": "a reward says how good an answer was, and not what it should have been",
    "inputs": "the inputs are not those of the serving version, or not all numbers: hidden, dropped, of another kind",
    "rows": "inputs and labels have different numbers of rows",
    "label": "the label is none of the learner's classes, or no finite number",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """The inputs in their order: one matrix called ``input``, *names* empty; or one column of each name."""

    names: tuple[str, ...]
    width: int


@dataclass(frozen=True, slots=True)
class Rows:
    """*inputs* float64 [n, width]; *said* and *served*, [n]: what was said, and predicted by the version that served.

    Of classes they are texts, of numbers float64. Where nothing was predicted *served* is "" or NaN. Among clusters
    *said* is 0 and *served* the distance from the nearest centre of the version that serves.
    """

    inputs: Array
    said: Array
    served: Array

    def __len__(self) -> int:
        return len(self.said)

    def last(self, count: int) -> Rows:
        """Return the last *count* rows, or all."""
        first = max(0, len(self) - count)
        return Rows(self.inputs[first:], self.said[first:], self.served[first:])


def joined(several: Sequence[Rows]) -> Rows:
    """Return the rows of *several*, at least one, in their order."""
    return Rows(*(np.concatenate([getattr(each, name) for each in several]) for name in ("inputs", "said", "served")))


def none_of(columns: Columns, *, is_text: bool) -> Rows:
    """Return no rows, of the right kinds."""
    words = np.empty(0, "U1" if is_text else np.float64)
    return Rows(np.empty((0, columns.width)), words, words)


def columns_of(signature: Signature) -> Columns:
    """Return what a model of *signature* reads. Raises CannotLearn where no converted estimator could read the same."""
    shapes = [(spec.name, spec.shape) for spec in signature.inputs]
    if [name for name, _ in shapes] == [MATRIX] and len(shapes[0][1]) == 2 and shapes[0][1][1] != FREE:
        columns = Columns((), shapes[0][1][1])
    else:
        columns = Columns(tuple(name for name, _ in shapes), len(shapes))
        strange = [name for name, shape in shapes if len(shape) != 2 or shape[1] != 1]
        if strange:
            raise CannotLearn(
                f"the input {strange[0]!r} of the serving version is no column [n, 1], nor the one matrix 'input' "
                f"[n, columns]; only what `gateway models convert` makes of scikit-learn can be learned further"
            )
    texts = [spec.name for spec in signature.inputs if spec.datatype not in NUMBERS]
    if texts:
        raise CannotLearn(f"the input {texts[0]!r} of the serving version is text, and a learner reads numbers only")
    return columns


def rows_of(answer: Labelled, columns: Columns, document: LearnerDocument) -> Rows:
    """Return the rows of *answer*; among clusters whatever was said of it, and *served* is not known yet.

    Raises NotLearned.
    """
    if document.task == CLUSTERING:
        inputs = _inputs(answer, columns)
        return Rows(inputs, np.zeros(len(inputs)), np.full(len(inputs), math.nan))
    if answer.kind == "reward":
        raise NotLearned("reward")
    inputs = _inputs(answer, columns)
    if len(inputs) != len(answer.said):
        raise NotLearned("rows")
    if document.task == "classification":
        said, served = _classes(answer, frozenset(map(str, document.classes)))
    else:
        said, served = _numbers(answer)
    return Rows(inputs, said, served)


def _inputs(answer: Labelled, columns: Columns) -> Array:
    names = columns.names or (MATRIX,)
    try:
        parts = [_tensor(answer.inputs[name]) for name in names]
        inputs = np.concatenate(parts, axis=1)
    except (KeyError, ValueError, TypeError, OverflowError):
        raise NotLearned("inputs") from None
    if inputs.shape[1] != columns.width or not np.isfinite(inputs).all():
        raise NotLearned("inputs")
    return inputs


def _tensor(tensor: Any) -> Array:
    """Return a tensor as float64 [n, columns]. Raises ValueError, TypeError or KeyError."""
    if tensor["datatype"] not in NUMBERS:
        raise ValueError
    # As it was served: callers' numbers are rounded to 32 bits before a converted model sees them.
    with np.errstate(over="ignore"):
        flat = np.array(tensor["data"], np.float64).astype(np.float32).astype(np.float64)
    rows, width = tensor["shape"]
    return flat.reshape(int(rows), int(width))


def _classes(answer: Labelled, classes: frozenset[str]) -> tuple[Array, Array]:
    said = [str(each) for each in answer.said]
    if not classes.issuperset(said):
        raise NotLearned("label")
    served = [str(each) for each in answer.predicted] if len(answer.predicted) == len(said) else [""] * len(said)
    return np.array(said, "U"), np.array(served, "U")


def _numbers(answer: Labelled) -> tuple[Array, Array]:
    try:
        said = [float(each) for each in answer.said]
        served = [float(each) for each in answer.predicted]
    except ValueError:
        raise NotLearned("label") from None
    if not all(map(math.isfinite, said)):
        raise NotLearned("label")
    return np.array(said), np.array(served if len(served) == len(said) else [math.nan] * len(said))
