"""Tensors in JSON, checked against one version's signature. Built when the version is first asked, used per request.

Nothing is cast in silence: numbers must be of the declared datatype and in its range, the shape
must be the signature's, and the data must fill it, flat or nested exactly as the shape says.
"""

from __future__ import annotations

import itertools
import math
import re
import struct
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import orjson

from gateway.core.errors import InvalidRequest
from gateway.core.signature import FREE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.signature import Signature, TensorSpec
    from gateway.ports import Tensor
    from gateway.rest.envelope import InputTensor, RequestedOutput

DTYPES: Final[dict[str, Any]] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_,
}  # fmt: skip

ITEMS: Final[dict[str, type]] = {
    **{name: int for name in DTYPES if "INT" in name},
    "FP32": float,
    "FP64": float,
    "BOOL": bool,
    "BYTES": str,
}
"""Datatype → what its elements are in JSON. FP16 has no JSON form."""

MAX_SIZE: Final = 2**31 - 1
"""The largest size of a dimension; JSON can write one of 4,000 digits."""

NESTED: Final = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*\[")

PACKED_ELEMENTS: Final = 4096
"""Up to here ``struct`` packs float32 faster than numpy, and refuses what would become infinite."""


class JsonCodec:
    """Reads the inputs and writes the outputs of one version."""

    def __init__(
        self, model: str, version: int, signature: Signature, *, batchable: bool, max_rows: int = MAX_SIZE
    ) -> None:
        self._head = {"model_name": model, "model_version": str(version)}
        self._readers = {spec.name: _InputReader(spec, max_rows) for spec in signature.inputs}
        self._only = next(iter(self._readers.values())) if len(self._readers) == 1 else None
        self._outputs = signature.outputs
        self._positions = {spec.name: index for index, spec in enumerate(signature.outputs)}
        self._batchable = batchable

    def read(self, inputs: Sequence[InputTensor]) -> tuple[tuple[Tensor, ...], int]:
        """Return the tensors in the signature's order, and the number of rows. Raises InvalidRequest."""
        only = self._only
        if only is not None and len(inputs) == 1 and inputs[0].name == only.name:
            tensor = only.read(inputs[0])
            return (tensor,), tensor.shape[0] if tensor.ndim else 1
        return self._read_many(inputs)

    def _read_many(self, inputs: Sequence[InputTensor]) -> tuple[tuple[Tensor, ...], int]:
        given: dict[str, Tensor] = {}
        for each in inputs:
            reader = self._readers.get(each.name)
            if reader is None:
                raise InvalidRequest(
                    f"input {_quoted(each.name)} is not one of this model's: {_names(self._readers)}", "unknown_input"
                )
            if each.name in given:
                raise InvalidRequest(f"input {each.name!r} is given twice", "duplicate_input")
            given[each.name] = reader.read(each)
        missing = [name for name in self._readers if name not in given]
        if missing:
            raise InvalidRequest(f"missing input: {_names(missing)}", "missing_input")
        tensors = tuple(given[name] for name in self._readers)
        rows = tensors[0].shape[0] if tensors and tensors[0].ndim else 1
        if self._batchable and any(tensor.shape[0] != rows for tensor in tensors):
            raise InvalidRequest("all inputs must have the same number of rows", "invalid_shape")
        return tensors, rows

    def wanted(self, outputs: Sequence[RequestedOutput] | None) -> Sequence[int]:
        """Return the positions of the outputs that the caller named, in the caller's order; all where none is named."""
        if not outputs:
            return range(len(self._outputs))
        positions: list[int] = []
        for each in outputs:
            position = self._positions.get(each.name)
            if position is None:
                raise InvalidRequest(
                    f"output {_quoted(each.name)} is not one of this model's: {_names(self._positions)}",
                    "unknown_output",
                )
            if position in positions:
                raise InvalidRequest(f"output {each.name!r} is asked for twice", "duplicate_output")
            if self._outputs[position].datatype == "FP16":
                raise InvalidRequest(f"output {each.name!r} is FP16, which has no JSON form", "no_json_form")
            positions.append(position)
        return positions

    def write(self, outputs: Sequence[Tensor], wanted: Sequence[int], request_id: str) -> bytes:
        """Return the body of the answer."""
        tensors = []
        for position in wanted:
            spec, value = self._outputs[position], outputs[position]
            tensors.append(
                {
                    "name": spec.name,
                    "datatype": spec.datatype,
                    "shape": value.shape,
                    "data": value.ravel().tolist() if spec.datatype == "BYTES" else value.ravel(),
                }
            )
        return orjson.dumps({**self._head, "id": request_id, "outputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY)


class _InputReader:
    """Reads one input."""

    def __init__(self, spec: TensorSpec, max_rows: int) -> None:
        self.name = spec.name
        self._max_rows = max_rows if spec.shape[:1] == (FREE,) else MAX_SIZE
        self._datatype = spec.datatype
        self._shape = spec.shape
        self._tail = list(spec.shape[1:])
        self._rows_only = len(spec.shape) > 1 and spec.shape[0] == FREE and FREE not in self._tail
        self._dtype = DTYPES[spec.datatype]
        self._item = item = ITEMS.get(spec.datatype)
        nested: Any = list[item] if item is not None else None  # type: ignore[valid-type] # a type made at run time
        self._flat: Callable[[Any], list[Any]] | None = None
        self._nested: Callable[[Any], list[Any]] | None = None
        if item is not None:
            self._flat = msgspec.json.Decoder(nested).decode
            for _ in spec.shape[1:]:
                nested = list[nested]
            self._nested = msgspec.json.Decoder(nested).decode

    def read(self, given: InputTensor) -> Tensor:
        """Return the tensor, native-endian and C-contiguous. Raises InvalidRequest."""
        if given.datatype != self._datatype:
            raise InvalidRequest(
                f"input {self.name!r} is {self._datatype}, not {_quoted(given.datatype)}", "invalid_datatype"
            )
        shape = given.shape
        if not self._takes(shape):
            raise InvalidRequest(
                f"input {self.name!r} has shape {_short(shape)}, the model takes {list(self._shape)} (-1: any)",
                "invalid_shape",
            )
        if shape and shape[0] > self._max_rows:
            raise InvalidRequest(
                f"input {self.name!r} has {shape[0]} rows; one request may bring {self._max_rows}", "too_many_rows"
            )
        values = self._values(given, shape)
        if len(values) != math.prod(shape):
            raise InvalidRequest(
                f"input {self.name!r}: data has {len(values)} elements, shape {_short(shape)} needs {math.prod(shape)}",
                "invalid_data",
            )
        return self._tensor(values).reshape(shape)

    def _takes(self, shape: list[int]) -> bool:
        if self._rows_only:  # by far the most: a free batch axis before fixed ones
            return shape[1:] == self._tail and 0 < shape[0] <= MAX_SIZE
        return len(shape) == len(self._shape) and all(
            0 < size <= MAX_SIZE and fixed in (size, FREE) for size, fixed in zip(shape, self._shape, strict=True)
        )

    def _values(self, given: InputTensor, shape: list[int]) -> list[Any]:
        raw = given.data
        if not raw or self._flat is None or self._nested is None:
            why = "has no data" if self._flat is not None else "is FP16, which has no JSON form"
            raise InvalidRequest(f"input {self.name!r} {why}", "invalid_data")
        try:
            return self._flat(raw)
        except msgspec.ValidationError as flat:
            if len(shape) < 2 or NESTED.match(memoryview(raw)) is None:
                raise self._invalid(flat) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
            raise self._invalid(exc) from None
        try:
            return _flatten(self._nested(raw), shape, self.name)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
            raise self._invalid(exc) from None

    def _invalid(self, why: Exception) -> InvalidRequest:
        return InvalidRequest(f"input {self.name!r}: data must be {self._datatype} numbers: {why}", "invalid_data")

    def _tensor(self, values: list[Any]) -> Tensor:
        try:
            if self._datatype == "FP32":
                return _float32(values)
            return np.array(values, dtype=self._dtype)
        except OverflowError:
            raise InvalidRequest(
                f"input {self.name!r}: a number is out of the range of {self._datatype}", "invalid_data"
            ) from None


def _float32(values: list[float]) -> Tensor:
    """Return *values* rounded to float32. Raises OverflowError for a number that would become infinite."""
    if len(values) <= PACKED_ELEMENTS:
        return np.frombuffer(struct.pack(f"={len(values)}f", *values), dtype=np.float32)
    with np.errstate(over="ignore"):
        tensor = np.array(values, dtype=np.float32)
    if not np.isfinite(tensor).all():
        raise OverflowError
    return tensor


def _flatten(values: list[Any], shape: list[int], name: str) -> list[Any]:
    """Return nested *values* flat, in row-major order, if they are nested exactly as *shape* says."""
    level = [values]
    for size in shape[:-1]:
        if any(len(each) != size for each in level):
            break
        level = list(itertools.chain.from_iterable(level))
    else:
        if all(len(each) == shape[-1] for each in level):
            return list(itertools.chain.from_iterable(level))
    raise InvalidRequest(f"input {name!r}: data is not nested as shape {_short(shape)} says", "invalid_data")


def _names(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")


def _short(shape: list[int]) -> str:
    text = str(shape[:8])
    return text if len(shape) <= 8 and len(text) <= 120 else f"{text[:120].rstrip(']')}, …]"
