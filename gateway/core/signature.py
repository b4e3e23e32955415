"""The names, types and shapes of a version's tensors.

Datatypes carry the names of the Open Inference Protocol, version 2, section "Tensor Data Types".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

DATATYPES: Final = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8, "BYTES": 0,
}  # fmt: skip
"""Datatype → bytes of one element; 0 for BYTES, whose elements have a length each."""

FLOATS: Final = frozenset({"FP16", "BF16", "FP32", "FP64"})
"""Datatypes that can hold NaN and infinity."""

FREE: Final = -1
"""A dimension that the caller chooses."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: *shape* holds FREE or a positive number per axis.

    *axes* holds what the graph calls each axis, empty for one without a name, or is empty as a whole. What an axis
    is called makes no difference to a caller, so specifications that differ in it alone are equal.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    axes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.datatype not in DATATYPES:
            raise ValueError(f"tensor {self.name!r} has the unknown datatype {self.datatype!r}")
        if any(size < FREE for size in self.shape):
            raise ValueError(f"tensor {self.name!r} has a negative dimension in {self.shape}")

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Say whether a tensor of this *shape*, FREE where it may have any size, is one of those that are meant."""
        return len(shape) == len(self.shape) and all(
            mine in (FREE, size) for mine, size in zip(self.shape, shape, strict=True)
        )

    def takes_all_of(self, other: TensorSpec) -> bool:
        """Say whether every tensor that is an *other* is one of these too."""
        return self.datatype == other.datatype and self.fits(other.shape)


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a version, in the model's own order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def takes_all_of(self, other: Signature) -> bool:
        """Say whether a version with this signature can run every request that one with the *other* takes.

        It does where both name the same inputs, of the same types and ranks, and each axis is as the other's or FREE
        here. The order of the inputs is of no account.
        """
        theirs = {spec.name: spec for spec in other.inputs}
        return len(self.inputs) == len(theirs) and all(
            spec.name in theirs and spec.takes_all_of(theirs[spec.name]) for spec in self.inputs
        )

    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Say whether tensors of these *shapes*, one per input and in its order, can be run by this version."""
        return all(spec.fits(shape) for spec, shape in zip(self.inputs, shapes, strict=True))
