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
from gateway.serving.codec import DTYPES, Codec, InputSpec, short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.signature import Signature, TensorSpec
    from gateway.ports import Tensor
    from gateway.rest.envelope import InputTensor

ITEMS: Final[dict[str, type]] = {
    **{name: int for name in DTYPES if "INT" in name},
    "FP32": float,
    "FP64": float,
    "BOOL": bool,
    "BYTES": str,
}
"""Datatype → what its elements are in JSON. FP16 has no JSON form."""

NESTED: Final = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*\[")

PACKED_ELEMENTS: Final = 4096
"""Up to here ``struct`` packs float32 faster than numpy, and refuses what would become infinite."""


class JsonCodec(Codec["InputTensor"]):
    """Reads the inputs and writes the outputs of one version."""

    def __init__(self, model: str, version: int, signature: Signature, *, batchable: bool) -> None:
        super().__init__(signature, {spec.name: _InputReader(spec) for spec in signature.inputs}, batchable=batchable)
        self._head = {"model_name": model, "model_version": str(version)}

    def _check_output(self, spec: TensorSpec) -> None:
        if spec.datatype == "FP16":
            raise InvalidRequest(f"output {spec.name!r} is FP16, which has no JSON form", "no_json_form")

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


class _InputReader(InputSpec):
    """Reads one input."""

    def __init__(self, spec: TensorSpec) -> None:
        super().__init__(spec)
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
        shape = given.shape
        self._check(given.datatype, shape)
        values = self._values(given, shape)
        if len(values) != math.prod(shape):
            raise InvalidRequest(
                f"input {self.name!r}: data has {len(values)} elements, shape {short(shape)} needs {math.prod(shape)}",
                "invalid_data",
            )
        return self._tensor(values).reshape(shape)

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
    raise InvalidRequest(f"input {name!r}: data is not nested as shape {short(shape)} says", "invalid_data")
