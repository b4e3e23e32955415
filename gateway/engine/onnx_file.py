"""What an ONNX file says of itself, read without the runtime and without the ``onnx`` package.

The runtime opens whatever a tensor calls its external data, and lets hard links by; so such
files are found and refused here, before it sees them. Walks over the wire format and never
copies, decodes or executes a tensor.

Source: Protocol Buffers, "Encoding"; field numbers from onnx.proto, IR version 13.
"""

from __future__ import annotations

import mmap
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidModel
from gateway.engine import divisions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5

_MAX_DEPTH: Final = 200
"""Messages inside messages. The runtime's own parser gives up at 100."""

_STRING: Final = 8
"""``TensorProto.DataType.STRING``."""

_LFS_POINTER: Final = b"version https://git-lfs"

_NUMBERS: Final = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,8192}", re.DOTALL)
"""``AttributeProto.floats`` and ``ints``, which are not packed: a large tree model has millions, each with its own key.
Bounded, because a match holds the interpreter lock."""

_MESSAGES: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 11: "input", 12: "output", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "input": {2: "input type"},
    "input type": {1: "input tensor"},
    "input tensor": {2: "shape"},
    "output": {2: "output type"},
    "output type": {1: "output tensor"},
    "output tensor": {2: "shape"},
    "shape": {1: "dimension"},
    "dimension": {},
}
"""Message → field number → the message it holds. What is not listed cannot lead to a tensor and is hopped over."""


@dataclass(slots=True)
class OnnxFacts:
    """What the walk found."""

    has_external_data: bool = False
    has_negative_dimension: bool = False
    has_unranked_input: bool = False
    has_text_input: bool = False
    divisions: tuple[str, ...] = ()
    """Integer divisions that a caller's numbers can make trap, by their names."""


class _Malformed(Exception):
    """The bytes are not a protobuf message."""


def inspect(path: Path) -> OnnxFacts:
    """Return what the file at *path* says of itself. Raises InvalidModel, code bad_model, where it is no ONNX file."""
    with walking(path) as walk:
        walk.visit("model", 0, len(walk.data), depth=0)
        if walk.divides:
            walk.facts.divisions = tuple(divisions.find(walk, 0, len(walk.data)))
        return walk.facts


@contextmanager
def walking(path: Path) -> Iterator[Walk]:
    """Lend a walk over the file at *path*. Raises InvalidModel, also where the walk finds that it is no ONNX file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[: len(_LFS_POINTER)] == _LFS_POINTER:
                raise InvalidModel("bad_model", "the file is a Git LFS pointer, not the model; run `git lfs pull`")
            yield Walk(data)
    except ValueError:
        raise InvalidModel("bad_model", "the file is empty") from None
    except _Malformed:
        raise InvalidModel("bad_model", "the file is not an ONNX model, or only a part of one") from None


class Walk:
    """One pass over a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.facts = OnnxFacts()
        self.data = data
        self.divides = False
        """Whether a node that was visited is a division, of whatever datatype: most files have none."""

    def visit(self, message: str, start: int, end: int, *, depth: int) -> None:
        """Visit every message under the one of kind *message* that lies in ``data[start:end]``."""
        if depth > _MAX_DEPTH:
            raise _Malformed
        children = _MESSAGES[message]
        is_ranked = False
        for number, value, length in self.fields(message, start, end):
            self._note(message, number, value, length)
            is_ranked = is_ranked or number == 2
            if length >= 0 and number in children:
                self.visit(children[number], value, value + length, depth=depth + 1)
        if message == "input tensor" and not is_ranked:
            self.facts.has_unranked_input = True

    def _note(self, message: str, number: int, value: int, length: int) -> None:
        """Record what a field means, if it means something to us; as `fields` yields it."""
        is_varint = length < 0
        if message == "node":
            if number == 4 and length == divisions.OPERATOR_BYTES:
                self.divides = self.divides or self.data[value : value + length] in divisions.OPERATORS
        elif message == "tensor":
            if number == 13 or (number == 14 and value != 0):  # external_data, data_location
                self.facts.has_external_data = True
        elif message == "dimension":
            if number == 1 and is_varint and value >= 1 << 63:
                self.facts.has_negative_dimension = True
        elif message == "input tensor" and number == 1 and is_varint and value == _STRING:
            self.facts.has_text_input = True

    def fields(self, message: str, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield (number, value, -1) of every varint and (number, start, length) of every length-delimited field."""
        at = start
        while at < end:
            if message == "attribute" and (numbers := _NUMBERS.match(self.data, at, end)):
                at = numbers.end()
                continue
            key, at = self._varint(at, end)
            wire = key & 7
            if wire == _VARINT:
                value, at = self._varint(at, end)
                yield key >> 3, value, -1
            elif wire == _BYTES:
                length, at = self._varint(at, end)
                if length > end - at:
                    raise _Malformed
                yield key >> 3, at, length
                at += length
            elif wire in (_FIXED32, _FIXED64):
                at += 4 if wire == _FIXED32 else 8
            else:
                raise _Malformed
        if at != end:
            raise _Malformed

    def varints(self, start: int, end: int) -> Iterator[int]:
        """Yield the numbers of a packed field."""
        at = start
        while at < end:
            value, at = self._varint(at, end)
            yield value

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the number that starts at *at*, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (1 << 64) - 1, at
        raise _Malformed
