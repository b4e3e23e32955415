"""How many bytes a run will answer with, where that follows from the shapes of its inputs.

A graph names its free dimensions, and one name stands for one size: an output of ``[n, n]`` beside an input of
``[n]`` grows with the square of what the caller sends. The names are the word of whoever made the graph. Where two
inputs use one name for two sizes the smaller counts, so that a careless name refuses nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.signature import DATATYPES, FREE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.signature import Signature, TensorSpec

    Place = tuple[int, int]

TEXT_BYTES: Final = 8
"""What an element of a text output counts: its address. How long texts are is known to nobody before they are there."""


@dataclass(frozen=True, slots=True)
class _Size:
    """One output: *bytes_* times the size at each of *factors*, which lists the places in the inputs of one name."""

    bytes_: int
    factors: tuple[tuple[Place, ...], ...]


@dataclass(frozen=True, slots=True)
class OutputSizes:
    """The sizes of one version's outputs. *is_whole*: none of them is open."""

    is_whole: bool
    _known: tuple[_Size, ...]

    def bytes_of(self, shapes: Sequence[Sequence[int]]) -> int:
        """Return the bytes of all outputs whose size is known, for inputs of *shapes*, in the signature's order."""
        return sum(
            size.bytes_ * math.prod(min(shapes[at][axis] for at, axis in places) for places in size.factors)
            for size in self._known
        )

    def most_bytes(self, rows: int) -> int | None:
        """Return the bytes that inputs of at most *rows* rows can lead to, None where another size has a say in it."""
        if not self.is_whole or not all(_is_rows(places) for size in self._known for places in size.factors):
            return None
        return sum(size.bytes_ * math.prod([rows] * len(size.factors)) for size in self._known)


def output_sizes(signature: Signature, *, has_rows: bool) -> OutputSizes:
    """Return what is known of the sizes of a version's outputs.

    *has_rows*: each output was seen to have one row per row of the inputs, whatever its first axis is called.
    """
    places: dict[str, list[Place]] = {}
    for at, spec in enumerate(signature.inputs):
        for axis, name in enumerate(spec.axes):
            if name:
                places.setdefault(name, []).append((at, axis))
    sizes = [_size(spec, places, has_rows=has_rows) for spec in signature.outputs]
    known = tuple(size for size in sizes if size is not None)
    return OutputSizes(len(known) == len(sizes), known)


def _size(spec: TensorSpec, places: Mapping[str, Sequence[Place]], *, has_rows: bool) -> _Size | None:
    """Return the size of one output, None where a dimension of it is open."""
    factors: list[tuple[Place, ...]] = []
    for axis, size in enumerate(spec.shape):
        if size != FREE:
            continue
        found = places.get(spec.axes[axis] if spec.axes else "")
        if axis == 0 and has_rows:
            factors.append(((0, 0),))
        elif found is None:
            return None
        else:
            factors.append(tuple(found))
    fixed = math.prod(size for size in spec.shape if size != FREE)
    return _Size((DATATYPES[spec.datatype] or TEXT_BYTES) * fixed, tuple(factors))


def _is_rows(places: Sequence[Place]) -> bool:
    """Say whether a name stands for the number of rows, which is the first axis of an input."""
    return any(axis == 0 for _, axis in places)
