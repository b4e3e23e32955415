"""The names, types and shapes of a version's tensors.

Datatypes carry the names of the Open Inference Protocol, version 2, section "Tensor Data Types".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

DATATYPES: Final = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "FP32": 4, "FP64": 8, "BYTES": 0,
}  # fmt: skip
"""Datatype → bytes of one element; 0 for BYTES, whose elements have a length each."""

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


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a version, in the model's own order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def takes_the_same_inputs(self, other: Signature) -> bool:
        """Say whether a request made for this signature can be run by a version with the *other* one."""
        return frozenset(self.inputs) == frozenset(other.inputs)
