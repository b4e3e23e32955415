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
from gateway.rest import binary_codec
from gateway.serving.codec import DTYPES, UNBOUNDED, Bounds, Codec, InputSpec, short
from gateway.serving.finite import floats_of, is_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.signature import Signature, TensorSpec
    from gateway.ports.engine import Tensor
    from gateway.rest.binary_codec import Tail
    from gateway.rest.envelope import InputTensor, RequestedOutput

ITEMS: Final[dict[str, type]] = {
    **{name: int for name in DTYPES if "INT" in name},
    "FP32": float,
    "FP64": float,
    "BOOL": bool,
    "BYTES": str,
}
"""Datatype → what its elements are in JSON. FP16 and BF16 have no JSON form."""

NESTED: Final = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*\[")

PACKED_ELEMENTS: Final = 4096
"""Up to here ``struct`` packs float32 faster than numpy, and refuses what would become infinite."""

NO_FLAT_ROW: Final = (struct.error, OverflowError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What reading a row raises that is nested, or not of so many numbers, or none at all."""


class JsonCodec(Codec["InputTensor"]):
    """Reads the inputs and writes the outputs of one version."""

    def __init__(
        self, model: str, version: int, signature: Signature, bounds: Bounds = UNBOUNDED, *, batchable: bool
    ) -> None:
        readers = {spec.name: _InputReader(spec, bounds) for spec in signature.inputs}
        super().__init__(signature, readers, bounds, batchable=batchable)
        self._head = {"model_name": model, "model_version": str(version)}
        self._inputs = signature.inputs

    def read_binary(self, inputs: Sequence[InputTensor], behind: Tail) -> tuple[tuple[Tensor, ...], int]:
        """Return what ``read`` does, of a request with binary tensors *behind* its JSON; every byte must be used."""
        if behind.is_raw:
            tensor = binary_codec.read_raw(self._inputs, behind, one_row=self._batchable)
            return (tensor,), tensor.shape[0] if tensor.ndim else 1
        found = self.read(inputs, behind)
        behind.end()
        return found

    def named(self, outputs: Sequence[RequestedOutput], *, binary: bool) -> Sequence[int]:
        """Return the positions of the outputs that the caller named, in the caller's order. Raises InvalidRequest.

        *binary*: whether an output that does not say so itself is wanted in binary.
        """
        positions = self.wanted(outputs)
        for each, position in zip(outputs, positions, strict=True):
            datatype = self._outputs[position].datatype
            if datatype not in ITEMS and not binary_codec.is_wanted(each, binary):
                raise InvalidRequest(
                    f"output {each.name!r} is {datatype}, which has no JSON form; ask for binary_data", "no_json_form"
                )
        return positions

    def check(self, outputs: Sequence[Tensor], positions: Sequence[int]) -> None:
        """Refuse what has no JSON form in the outputs at *positions*; here NaN and infinity have one, which is null."""

    def write(
        self,
        outputs: Sequence[Tensor],
        wanted: Sequence[int],
        request_id: str,
        behind: Mapping[int, bytes | memoryview] | None = None,
    ) -> bytes:
        """Return the JSON of the answer; the outputs at the positions of *behind* are not in it, only their sizes."""
        tensors = []
        for position in wanted:
            spec, value = self._outputs[position], outputs[position]
            entry: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": value.shape}
            if behind and position in behind:
                entry["parameters"] = {binary_codec.SIZE: len(behind[position])}
            else:
                flat = value if value.ndim == 1 else value.ravel()
                entry["data"] = flat.tolist() if spec.datatype == "BYTES" else flat
            tensors.append(entry)
        return orjson.dumps({**self._head, "id": request_id, "outputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY)

    def write_mixed(
        self, outputs: Sequence[Tensor], wanted: Sequence[int], binary: Sequence[bool], request_id: str
    ) -> tuple[bytes, tuple[bytes | memoryview, ...]]:
        """Return the JSON of the answer and the tensors behind it.

        *binary* says of each of the *wanted* outputs whether it goes behind the JSON.
        """
        behind = {
            position: binary_codec.write(outputs[position], self._outputs[position].datatype)
            for position, is_binary in zip(wanted, binary, strict=True)
            if is_binary
        }
        return self.write(outputs, wanted, request_id, behind), tuple(behind.values())


class FiniteJsonCodec(JsonCodec):
    """The codec of a version whose metadata says ``nonfinite: binary``: no null stands for a value in its JSON."""

    def __init__(
        self, model: str, version: int, signature: Signature, bounds: Bounds = UNBOUNDED, *, batchable: bool
    ) -> None:
        super().__init__(model, version, signature, bounds, batchable=batchable)
        self._floats = floats_of(signature.outputs)

    def write(
        self,
        outputs: Sequence[Tensor],
        wanted: Sequence[int],
        request_id: str,
        behind: Mapping[int, bytes | memoryview] | None = None,
    ) -> bytes:
        """Return the JSON of the answer, as ``JsonCodec`` does. Raises InvalidRequest, see ``check``."""
        self.check(outputs, [position for position in wanted if not behind or position not in behind])
        return super().write(outputs, wanted, request_id, behind)

    def check(self, outputs: Sequence[Tensor], positions: Sequence[int]) -> None:
        """Refuse NaN and infinity in the outputs at *positions*. Raises InvalidRequest, code no_json_form."""
        for position, name in self._floats:
            if position in positions and not is_finite(outputs[position]):
                raise InvalidRequest(
                    f"output {name!r} holds NaN or infinity, which has no JSON form; "
                    "ask …/infer of v2 for binary_data, or ask over gRPC",
                    "no_json_form",
                )


class _InputReader(InputSpec):
    """Reads one input."""

    def __init__(self, spec: TensorSpec, bounds: Bounds) -> None:
        super().__init__(spec, bounds)
        self._item = item = ITEMS.get(spec.datatype)
        nested: Any = list[item] if item is not None else None  # type: ignore[valid-type] # a type made at run time
        self._flat: Callable[[Any], list[Any]] | None = None
        self._nested: Callable[[Any], list[Any]] | None = None
        if item is not None:
            self._flat = msgspec.json.Decoder(nested).decode
            for _ in spec.shape[1:]:
                nested = list[nested]
            self._nested = msgspec.json.Decoder(nested).decode
        self._is_float32 = spec.datatype == "FP32"
        width = math.prod(self._tail) if self._is_float32 and self._most_rows else 0
        is_packed = 0 < width <= PACKED_ELEMENTS
        self._row = [1, *self._tail] if is_packed else None
        """The shape of one row, of an input whose rows are packed."""
        self._pack_row = struct.Struct(f"={width if is_packed else 0}f").pack

    def read(self, given: InputTensor, behind: Tail | None = None, /) -> Tensor:
        """Return the tensor, native-endian and C-contiguous. Raises InvalidRequest."""
        shape = given.shape
        if shape == self._row and given.datatype == self._datatype and not given.parameters and self._flat is not None:
            try:  # by far the most: one row, written flat
                return np.ndarray(shape, np.float32, self._pack_row(*self._flat(given.data)))
            except NO_FLAT_ROW:
                pass  # below it is read in another form, or refused with what is wrong about it
        return self._read(given, shape, behind)

    def _read(self, given: InputTensor, shape: list[int], behind: Tail | None) -> Tensor:
        self._check(given.datatype, shape)
        if given.parameters:
            size = binary_codec.size_of(self.name, given.parameters, given.data)
            if size is not None:
                return binary_codec.read(self.name, self._datatype, shape, size, behind)
        values = self._values(given, shape)
        count = len(values)
        if count != math.prod(shape):
            raise InvalidRequest(
                f"input {self.name!r}: data has {count} elements, shape {short(shape)} needs {math.prod(shape)}",
                "invalid_data",
            )
        try:
            if not self._is_float32:
                return np.array(values, dtype=self._dtype).reshape(shape)
            return _float32(values).reshape(shape)
        except OverflowError:
            raise InvalidRequest(
                f"input {self.name!r}: a number is out of the range of {self._datatype}", "invalid_data"
            ) from None

    def _values(self, given: InputTensor, shape: list[int]) -> list[Any]:
        raw = given.data
        if not raw or self._flat is None or self._nested is None:
            why = "has no data" if self._flat is not None else f"is {self._datatype}, which has no JSON form"
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
