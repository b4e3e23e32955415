"""Tensors as bytes: the binary tensor data extension of the Open Inference Protocol.

Numeric tensors are views of the body; only a misaligned one is copied. Little-endian, row-major, no
padding; BOOL is a byte of 0 or 1; a BYTES element is a uint32 length and that many bytes, UTF-8 as the
runtime needs it. A big-endian sender cannot be told from one that sends other numbers.

Source: Triton Inference Server, "Binary Tensor Data Extension" (docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.bfloat16 import narrowed, widened
from gateway.core.errors import InvalidRequest
from gateway.core.signature import DATATYPES, FREE
from gateway.serving.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.signature import TensorSpec
    from gateway.ports.engine import Tensor
    from gateway.rest.envelope import RequestedOutput
    from gateway.serving.parameters import Parameter

SIZE: Final = "binary_data_size"
WANTED: Final = "binary_data"
WANTED_BY_DEFAULT: Final = "binary_data_output"

WIRE: Final[dict[str, Any]] = {
    "BOOL": np.dtype("u1"), "UINT8": np.dtype("u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"), "INT8": np.dtype("i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"), "FP16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
    "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
"""Datatype → its elements on the wire; BYTES has none of a fixed size."""

LENGTH: Final = struct.Struct("<I")


class Tail:
    """The bytes behind the JSON of a body, handed out in the order of its inputs.

    *is_raw*: there is no JSON, and all of it is the only input.
    """

    __slots__ = ("_at", "body", "is_raw")

    def __init__(self, body: bytes | memoryview, start: int, *, is_raw: bool = False) -> None:
        self.body = body
        self.is_raw = is_raw
        self._at = start

    @property
    def left(self) -> int:
        """How many bytes nobody has taken."""
        return len(self.body) - self._at

    def take(self, size: int, name: str) -> int:
        """Return where the next *size* bytes begin, those of input *name*. Raises InvalidRequest."""
        if size > self.left:
            raise InvalidRequest(f"input {name!r}: {size} bytes are announced, {self.left} are left", "invalid_data")
        start = self._at
        self._at += size
        return start

    def end(self) -> None:
        """Check that every byte belonged to an input. Raises InvalidRequest."""
        if self.left:
            raise InvalidRequest(f"{self.left} bytes behind the last binary tensor", "invalid_data")


def size_of(name: str, parameters: Mapping[str, Parameter], data: bytes) -> int | None:
    """Return how many bytes of the tail are input *name*, None where its *data* is in the JSON.

    Raises InvalidRequest for data in both places, for a size that is none, and for what is not done here.
    """
    check_parameters(parameters, f"input {name!r}")
    size = parameters.get(SIZE)
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise InvalidRequest(f"input {name!r}: {SIZE} must be a whole number of bytes", "invalid_data")
    if data and bytes(memoryview(data)[:5]) != b"null":  # the KServe SDK writes out what it has not
        raise InvalidRequest(f"input {name!r} has both data and {SIZE}; send one", "invalid_data")
    return size


def flag(parameters: Mapping[str, Parameter], name: str, default: bool) -> bool:
    """Return the parameter *name*, which says yes or no. Raises InvalidRequest."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(f"parameters.{name}: must be true or false", "invalid_parameter")
    return value


def is_wanted(output: RequestedOutput, default: bool) -> bool:
    """Say whether *output* was asked for in binary. Raises InvalidRequest."""
    return default if not output.parameters else flag(output.parameters, WANTED, default)


def read(name: str, datatype: str, shape: list[int], size: int, tail: Tail | None) -> Tensor:
    """Return input *name*, the next *size* bytes of *tail*, as *shape*. Raises InvalidRequest."""
    if tail is None:
        raise InvalidRequest(
            f"input {name!r} has {SIZE}: say in inference-header-content-length where the JSON ends",
            "invalid_header_length",
        )
    count = math.prod(shape)
    if datatype == "BYTES":
        start = tail.take(size, name)
        return texts(memoryview(tail.body)[start : start + size], count, name).reshape(shape)
    if size != count * DATATYPES[datatype]:
        raise InvalidRequest(
            f"input {name!r}: {SIZE} is {size}, its shape needs {count * DATATYPES[datatype]} bytes", "invalid_data"
        )
    tensor: Tensor = np.frombuffer(tail.body, WIRE[datatype], count, tail.take(size, name))
    if datatype == "BOOL":
        if tensor.max(initial=0) > 1:
            raise InvalidRequest(f"input {name!r}: a BOOL is a byte of 0 or 1", "invalid_data")
        tensor = tensor.view(np.bool_)
    elif datatype == "BF16":
        tensor = widened(tensor)
    elif not tensor.flags.aligned:
        tensor = tensor.copy()
    return tensor.reshape(shape)


def read_raw(inputs: Sequence[TensorSpec], tail: Tail, *, one_row: bool) -> Tensor:
    """Return the only input, which is all of *tail*. Raises InvalidRequest where its shape does not follow from that.

    *one_row*: axis 0 is the rows, and a raw request is one of them. A BYTES input is a single element, without its
    length.
    """
    if len(inputs) != 1:
        raise InvalidRequest("only a model with one input takes a raw body; send JSON before the tensors")
    [spec] = inputs
    size, shape = tail.left, list(spec.shape)
    if one_row and shape and shape[0] == FREE:
        shape[0] = 1
    if spec.datatype == "BYTES":
        shape = [1 if each == FREE else each for each in shape]
        if math.prod(shape) != 1:
            raise InvalidRequest(f"input {spec.name!r} has more than one element: a raw body is one", "invalid_shape")
        return texts(memoryview(LENGTH.pack(size) + tail.body), 1, spec.name).reshape(shape)
    if shape.count(FREE) > 1:
        raise InvalidRequest(f"input {spec.name!r} has more than one free dimension: send its shape", "invalid_shape")
    if FREE in shape:
        of_the_others = -math.prod(shape) * DATATYPES[spec.datatype]
        shape[shape.index(FREE)] = max(size // of_the_others, 1)
    return read(spec.name, spec.datatype, shape, size, tail)


def texts(data: memoryview, count: int, name: str) -> Tensor:
    """Return the *count* BYTES elements that *data* holds, exactly. Raises InvalidRequest."""
    at, end = 0, len(data)
    found: list[str] = []
    try:
        if count * LENGTH.size > end:
            raise ValueError(f"{count} elements do not fit {end} bytes")
        for _ in range(count):
            (length,) = LENGTH.unpack_from(data, at)
            start, at = at + LENGTH.size, at + LENGTH.size + length
            if at > end:
                raise ValueError("an element is longer than what is left")
            found.append(str(data[start:at], "utf-8"))
        if at != end:
            raise ValueError(f"{end - at} bytes behind the last element")
    except UnicodeDecodeError:
        raise InvalidRequest(f"input {name!r}: an element is not UTF-8", "invalid_data") from None
    except (ValueError, struct.error) as exc:
        raise InvalidRequest(f"input {name!r}: its elements do not fill it: {exc}", "invalid_data") from None
    return np.array(found, dtype=np.object_)


def write(value: Tensor, datatype: str) -> bytes | memoryview:
    """Return the bytes of an output; those of a numeric one but BF16 are not copied where it is contiguous."""
    if datatype == "BF16":
        return narrowed(value).tobytes()
    if datatype != "BYTES":
        return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    elements = [text.encode() for text in value.ravel().tolist()]
    return b"".join(part for each in elements for part in (LENGTH.pack(len(each)), each))
