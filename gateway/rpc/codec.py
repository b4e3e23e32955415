"""Tensors in protobuf messages, typed or raw, checked against one version's signature.

Raw is all or nothing: with ``raw_input_contents`` there is one entry per input, in order, and none has
``contents``. Raw is little-endian and row-major; a BYTES element is its length as uint32, then its bytes.
A raw request gets a raw answer, a typed one a typed answer, unless an output is FP16 or BF16, which only travel raw.

Source: Open Inference Protocol (v2), "Tensor Data" and "Raw data".
"""

from __future__ import annotations

import math
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.bfloat16 import narrowed, widened
from gateway.core.errors import InvalidRequest
from gateway.core.signature import DATATYPES
from gateway.rpc.descriptors import MESSAGES
from gateway.serving.codec import UNBOUNDED, Bounds, Codec, InputSpec, short
from gateway.serving.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor

assert sys.byteorder == "little", "raw tensors are little-endian on the wire and are not swapped here"

CONTENTS: Final = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Datatype → the field that holds its elements. FP16 and BF16 have none."""

LENGTH: Final = struct.Struct("<I")


class Given:
    """One input of a request: its message, and its raw bytes where the request is raw."""

    __slots__ = ("message", "name", "raw")

    def __init__(self, message: Any, raw: bytes | None) -> None:
        self.name: str = message.name
        self.message = message
        self.raw = raw


def given_inputs(request: Any) -> tuple[list[Given], bool]:
    """Return the inputs of a ModelInferRequest, and whether they are raw. Raises InvalidRequest."""
    raw, inputs = request.raw_input_contents, request.inputs
    for each in inputs:
        check_parameters(each.parameters, f"input {each.name!r}")
    for each in request.outputs:
        check_parameters(each.parameters, f"output {each.name!r}")
    if not raw:
        return [Given(each, None) for each in inputs], False
    if len(raw) != len(inputs):
        raise InvalidRequest(f"raw_input_contents has {len(raw)} entries for {len(inputs)} inputs", "invalid_data")
    for each in inputs:
        if each.HasField("contents"):
            raise InvalidRequest(f"input {each.name!r} has contents beside raw_input_contents", "invalid_data")
    return [Given(each, content) for each, content in zip(inputs, raw, strict=True)], True


class RpcCodec(Codec[Given]):
    """Reads the inputs and writes the outputs of one version."""

    def __init__(self, version: LoadedVersion, bounds: Bounds = UNBOUNDED) -> None:
        signature = version.signature
        readers = {spec.name: _InputReader(spec, bounds) for spec in signature.inputs}
        super().__init__(signature, readers, bounds, batchable=version.batchable)
        self._model = version.model
        self._version = str(version.version)

    def write(self, outputs: Sequence[Tensor], wanted: Sequence[int], request_id: str, *, raw: bool) -> bytes:
        """Return the serialized ModelInferResponse."""
        answer = MESSAGES["ModelInferResponse"](model_name=self._model, model_version=self._version, id=request_id)
        raw = raw or any(self._outputs[position].datatype not in CONTENTS for position in wanted)
        for position in wanted:
            spec, value = self._outputs[position], outputs[position]
            tensor = answer.outputs.add(name=spec.name, datatype=spec.datatype, shape=value.shape)
            if raw:
                answer.raw_output_contents.append(_raw(value, spec.datatype))
            else:
                getattr(tensor.contents, CONTENTS[spec.datatype]).extend(_elements(value, spec.datatype))
        return bytes(answer.SerializeToString())


def _elements(value: Tensor, datatype: str) -> list[Any]:
    elements: list[Any] = value.ravel().tolist()
    return [each.encode() for each in elements] if datatype == "BYTES" else elements


def _raw(value: Tensor, datatype: str) -> bytes:
    if datatype == "BF16":
        return narrowed(value).tobytes()
    if datatype != "BYTES":
        return value.tobytes()
    return b"".join(LENGTH.pack(len(each)) + each for each in _elements(value, datatype))


class _InputReader(InputSpec):
    """Reads one input."""

    def read(self, given: Given, behind: None = None, /) -> Tensor:  # noqa: ARG002 - nothing lies behind a message
        """Return the tensor, native-endian and C-contiguous. Raises InvalidRequest."""
        message = given.message
        shape = list(message.shape)
        self._check(message.datatype, shape)
        count = math.prod(shape)
        flat = self._from_contents(message, count) if given.raw is None else self._from_raw(given.raw, count)
        if len(flat) != count:
            raise self._invalid(f"has {len(flat)} elements, shape {short(shape)} needs {count}")
        return flat.reshape(shape)

    def _from_raw(self, raw: bytes, count: int) -> Tensor:
        if self._datatype == "BYTES":
            return self._texts(self._pieces(raw))
        size = count * DATATYPES[self._datatype]
        if len(raw) != size:
            raise self._invalid(f"has {len(raw)} raw bytes, {self._datatype} of its shape needs {size}")
        if self._datatype == "BOOL" and raw.translate(None, b"\0\1"):
            raise self._invalid("a raw BOOL is a byte of 0 or 1")
        if self._datatype == "BF16":
            return widened(np.frombuffer(raw, np.uint16))
        return np.frombuffer(raw, self._dtype)

    def _from_contents(self, message: Any, count: int) -> Tensor:
        field = CONTENTS.get(self._datatype)
        if field is None:
            raise self._invalid(f"{self._datatype} travels in raw_input_contents only")
        found = [each.name for each, _ in message.contents.ListFields()]
        if found != [field] and (found or count):  # a field without elements is not there
            raise self._invalid(f"{self._datatype} must be in {field}, and there only, not in {found}")
        elements = getattr(message.contents, field)
        if self._datatype == "BYTES":
            return self._texts(elements)
        try:
            return np.array(list(elements), self._dtype)
        except OverflowError:
            raise self._invalid(f"a number is out of the range of {self._datatype}") from None

    def _pieces(self, raw: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(raw):
            data = start + LENGTH.size
            if data > len(raw) or (end := data + LENGTH.unpack_from(raw, start)[0]) > len(raw):
                raise self._invalid(f"a BYTES element at byte {start} is longer than what is there")
            yield raw[data:end]
            start = end

    def _texts(self, elements: Any) -> Tensor:
        try:
            texts = [each.decode() for each in elements]
        except UnicodeDecodeError:
            raise self._invalid("BYTES must be UTF-8") from None
        tensor = np.empty(len(texts), np.object_)
        tensor[:] = texts
        return tensor

    def _invalid(self, why: str) -> InvalidRequest:
        return InvalidRequest(f"input {self.name!r}: {why}", "invalid_data")
