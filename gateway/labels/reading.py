"""What a version said, out of its outputs: a class or a number per row. Keeps no input, and decides nothing.

A class is an output of integers, booleans or texts with one element per row; one called ``label`` wins. Without one, a
row of two or more probabilities is read as the class of the largest, by its place from 0. A float output with one
element per row is a number. What is neither is remembered without a prediction, and takes rewards only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.feedback import ROWS_MOST, class_of
from gateway.core.signature import FLOATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.signature import Signature
    from gateway.ports.engine import Tensor

CHANCES_MOST: Final = 100
"""Rows of probabilities with more classes are not remembered, only the class is."""
CHANCE_DIGITS: Final = 6
CHANCE_SLACK: Final = 0.01
"""How far from 1 the sum of a row of probabilities may be."""
TEXT_MOST: Final = 128
"""Characters of a class that is remembered."""


class Said(NamedTuple):
    """The same three as in ``core.feedback.Prediction``."""

    classes: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    chances: tuple[tuple[float, ...], ...] = ()


def said_by(signature: Signature, outputs: Sequence[Tensor]) -> Said | None:
    """Return what *outputs*, in the order of *signature*, say; None where there are more than ROWS_MOST rows."""
    pairs = [(spec, tensor) for spec, tensor in zip(signature.outputs, outputs, strict=True) if tensor.ndim]
    rows = len(pairs[0][1]) if pairs else 0
    if rows > ROWS_MOST:
        return None
    pairs = [(spec, tensor) for spec, tensor in pairs if rows and len(tensor) == rows]
    single = [(spec, tensor) for spec, tensor in pairs if tensor.size == rows]
    named = [(spec.name != "label", tensor) for spec, tensor in single if spec.datatype not in FLOATS]
    chances = next((t for spec, t in pairs if spec.datatype in FLOATS and _are_chances(t)), None)
    if named:
        _, tensor = min(named, key=lambda each: each[0])
        return Said(classes=tuple(map(_class, tensor.reshape(rows).tolist())), chances=_rounded(chances))
    if chances is not None:
        return Said(classes=tuple(map(str, chances.argmax(axis=1).tolist())), chances=_rounded(chances))
    if single:
        return Said(values=tuple(float(each) for each in single[0][1].reshape(rows)))
    return Said()


def _are_chances(tensor: Tensor) -> bool:
    """Say whether each row holds probabilities of two or more classes: none is negative, together they are 1."""
    if tensor.ndim != 2 or tensor.shape[1] < 2:
        return False
    return all(min(row) >= 0 and abs(sum(row) - 1) <= CHANCE_SLACK for row in tensor.tolist())


def _rounded(chances: Tensor | None) -> tuple[tuple[float, ...], ...]:
    if chances is None or chances.shape[1] > CHANCES_MOST:
        return ()
    return tuple(tuple(round(each, CHANCE_DIGITS) for each in row) for row in chances.tolist())


def _class(value: object) -> str:
    if isinstance(value, bool | int | float):
        return class_of(float(value)) if isinstance(value, float) else str(int(value))
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text[:TEXT_MOST]
