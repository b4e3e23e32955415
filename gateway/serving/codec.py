"""What every protocol's codec checks of a request's tensors, against one version's signature.

A codec adds how its protocol writes the numbers. Nothing is cast in silence: names, datatypes and shapes
must be the signature's, whatever the bytes came in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import numpy as np

from gateway.core.errors import InvalidRequest, RequestTooLarge
from gateway.core.signature import FREE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.core.limits import Limits
    from gateway.core.signature import Signature, TensorSpec
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor

DTYPES: Final[dict[str, Any]] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "BF16": np.float32, "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_,
}  # fmt: skip
"""Datatype → what holds it between the doors and the runtime; float32 for BF16, see ``gateway.bfloat16``."""

MAX_SIZE: Final = 2**31 - 1
"""The largest size of a dimension; JSON can write one of 4,000 digits."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large one request to a version may be, and how small; each field is a number."""

    rows: int = MAX_SIZE
    elements: int = MAX_SIZE
    """Of one tensor."""
    outputs: int = MAX_SIZE
    """That the caller may name."""
    least_rows: int = 1


UNBOUNDED: Final = Bounds()


def bounds_of(version: LoadedVersion, limits: Limits) -> Bounds:
    """Return how large one request to *version* may be."""
    serving = version.metadata.serving
    return Bounds(serving.max_rows, limits.elements, limits.outputs, 0 if serving.allow_empty else 1)


class Named(Protocol):
    """An input or a requested output, as far as this module looks at it."""

    @property
    def name(self) -> str:
        """What the caller calls it."""
        ...


GivenT = TypeVar("GivenT", bound=Named)
GivenT_contra = TypeVar("GivenT_contra", bound=Named, contravariant=True)


class Reader(Protocol[GivenT_contra]):
    """Reads one input of a version."""

    name: str

    def read(self, given: GivenT_contra, behind: Any = None, /) -> Tensor:
        """Return the tensor, native-endian and C-contiguous. Raises InvalidRequest.

        *behind*: what the protocol carries behind the descriptions of its inputs, None where nothing.
        """
        ...


class InputSpec:
    """One input of a signature; a codec's reader begins with its check."""

    def __init__(self, spec: TensorSpec, bounds: Bounds) -> None:
        self.name = spec.name
        self._bounds = bounds
        self._has_rows = spec.shape[:1] == (FREE,)
        self._datatype = spec.datatype
        self._shape = spec.shape
        self._least = [bounds.least_rows if self._has_rows and axis == 0 else 1 for axis in range(len(spec.shape))]
        self._tail = list(spec.shape[1:])
        self._rows_only = len(spec.shape) > 1 and self._has_rows and FREE not in self._tail
        self._most_rows = min(bounds.rows, bounds.elements // math.prod(self._tail)) if self._rows_only else 0
        self._dtype = DTYPES[spec.datatype]

    def _check(self, datatype: str, shape: list[int]) -> None:
        """Refuse a datatype or a shape that is not the signature's. Raises InvalidRequest."""
        if datatype != self._datatype:
            raise InvalidRequest(f"input {self.name!r} is {self._datatype}, not {quoted(datatype)}", "invalid_datatype")
        # by far the most: rows of a fixed width
        if self._rows_only and shape[1:] == self._tail and 0 < shape[0] <= self._most_rows:
            return
        takes = len(shape) == len(self._shape) and all(
            least <= size <= MAX_SIZE and fixed in (size, FREE)
            for least, size, fixed in zip(self._least, shape, self._shape, strict=True)
        )
        if not takes:
            raise InvalidRequest(
                f"input {self.name!r} has shape {short(shape)}, the model takes {list(self._shape)} (-1: any)",
                "invalid_shape",
            )
        self._check_size(shape)

    def _check_size(self, shape: list[int]) -> None:
        """Refuse a tensor that is right and too large. Raises InvalidRequest and RequestTooLarge."""
        bounds = self._bounds
        if self._has_rows and shape[0] > bounds.rows:
            raise InvalidRequest(
                f"input {self.name!r} has {shape[0]} rows; one request to this version may bring {bounds.rows} "
                "(serving.max_rows of its metadata)",
                "too_many_rows",
            )
        elements = math.prod(shape) or math.prod(shape[1:])  # no rows of a width that nobody could run either
        if elements > bounds.elements:
            raise RequestTooLarge(
                f"input {self.name!r} has {elements} elements; the operator can raise --limits "
                f"elements={bounds.elements}"
            )


class Codec(Generic[GivenT]):
    """Reads the inputs and finds the outputs of one version."""

    def __init__(
        self, signature: Signature, readers: Mapping[str, Reader[GivenT]], bounds: Bounds, *, batchable: bool
    ) -> None:
        """*readers*: by the input's name, in the signature's order."""
        self._readers = readers
        self._only = next(iter(readers.values())) if len(readers) == 1 else None
        self._outputs = signature.outputs
        self._positions = {spec.name: index for index, spec in enumerate(signature.outputs)}
        self._batchable = batchable
        self._most_outputs = bounds.outputs
        self.all_outputs: Sequence[int] = range(len(signature.outputs))
        """What ``wanted`` says of a request that names no outputs."""

    def read(self, inputs: Sequence[GivenT], behind: Any = None) -> tuple[tuple[Tensor, ...], int]:
        """Return the tensors in the signature's order, and the number of rows. Raises InvalidRequest.

        *behind* is handed on to the readers.
        """
        only = self._only
        if only is not None and len(inputs) == 1 and inputs[0].name == only.name:
            tensor = only.read(inputs[0], behind)
            return (tensor,), tensor.shape[0] if tensor.ndim else 1
        return self._read_many(inputs, behind)

    def _read_many(self, inputs: Sequence[GivenT], behind: Any) -> tuple[tuple[Tensor, ...], int]:
        given: dict[str, Tensor] = {}
        for each in inputs:
            reader = self._readers.get(each.name)
            if reader is None:
                raise InvalidRequest(
                    f"input {quoted(each.name)} is not one of this model's: {_names(self._readers)}", "unknown_input"
                )
            if each.name in given:
                raise InvalidRequest(f"input {each.name!r} is given twice", "duplicate_input")
            given[each.name] = reader.read(each, behind)
        missing = [name for name in self._readers if name not in given]
        if missing:
            raise InvalidRequest(f"missing input: {_names(missing)}", "missing_input")
        tensors = tuple(given[name] for name in self._readers)
        rows = tensors[0].shape[0] if tensors and tensors[0].ndim else 1
        if self._batchable and any(tensor.shape[0] != rows for tensor in tensors):
            raise InvalidRequest("all inputs must have the same number of rows", "invalid_shape")
        return tensors, rows

    def wanted(self, outputs: Sequence[Named] | None) -> Sequence[int]:
        """Return the positions of the outputs that the caller named, in the caller's order; all where none is named."""
        if not outputs:
            return self.all_outputs
        if len(outputs) > self._most_outputs:
            raise InvalidRequest(f"outputs: may be {self._most_outputs} at most", "too_many_outputs")
        positions: list[int] = []
        for each in outputs:
            position = self._positions.get(each.name)
            if position is None:
                raise InvalidRequest(
                    f"output {quoted(each.name)} is not one of this model's: {_names(self._positions)}",
                    "unknown_output",
                )
            if position in positions:
                raise InvalidRequest(f"output {each.name!r} is asked for twice", "duplicate_output")
            positions.append(position)
        return positions


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def quoted(text: str) -> str:
    """Return what a caller sent, cut where it is long."""
    return repr(text if len(text) <= 80 else text[:80] + "…")


def short(shape: Sequence[int]) -> str:
    """Return a shape that a caller sent, cut where it is long."""
    text = str(list(shape[:8]))
    return text if len(shape) <= 8 and len(text) <= 120 else f"{text[:120].rstrip(']')}, …]"
