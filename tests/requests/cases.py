"""Requests that a seed stands for: valid by construction, and what up to three mutations make of them.

Plain ``random`` and not hypothesis: a case costs microseconds, so that 100,000 are a matter of minutes, and
its seed alone brings it back.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.rpc.descriptors import MESSAGES
from tests.requests.model import INPUTS, MODEL, OUTPUTS
from tests.rest.wire import DTYPE, LENGTH, packed, raw, sent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ports.engine import Tensor

PROTOCOLS: Final = ("json", "binary", "grpc")
WORDS: Final = ("", "a", "ü", "a\0b", "Ärger 🙂", "x" * 40)
FLOATS: Final = (0.0, -0.0, 1.0, 1.401298464324817e-45, 3.4028234663852886e38, -2.5, 0.1)
JUNK: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    1.5,
    1e300,
    2**63,
    -(2**70),
    "",
    "1",
    "x",
    [],
    [1],
    [[]],
    {},
    {"a": 1},
)
LENGTHS: Final = ("0", "1", "-1", "x", "99999", "07", "", "1e1")
TYPES: Final = (*DTYPE, "FP128", "fp32", "")


@dataclass
class Sent:
    """One request on its way. HTTP has *headers* and *body*, gRPC the serialized message as its *body*."""

    protocol: str
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Case:
    """A valid request: what is sent for *seed*, what the model must be fed, and which outputs are wanted."""

    seed: int
    sent: Sent
    feeds: Mapping[str, Tensor]
    wanted: list[str]


def valid(seed: int, protocol: str) -> Case:
    """Return a request that must be answered."""
    return Builder(seed).case(protocol)


def mutated(seed: int, protocol: str) -> Sent:
    """Return a valid request after one to three mutations; some of them change nothing that counts."""
    return Builder(seed).mutant(protocol)


class Builder:
    """Draws everything from one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._draw = draw = random.Random(seed)
        rows, width = draw.randint(1, 3), draw.randint(1, 3)
        self._feeds = {name: self._values(kind, (rows, size if size > 0 else width)) for name, kind, size in INPUTS}
        self._order = draw.sample(list(self._feeds), len(self._feeds))
        self._wanted = draw.sample(OUTPUTS, draw.randint(1, len(OUTPUTS))) if draw.random() < 0.5 else []
        self._id = draw.choice((None, "mine", "ü" * 20))

    def _values(self, kind: str, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor of values that the datatype holds."""
        draw, count = self._draw, shape[0] * shape[1]
        choices: dict[str, Callable[[], Any]] = {
            "FP32": lambda: draw.choice((draw.uniform(-1e6, 1e6), draw.choice(FLOATS))),
            "INT64": lambda: draw.choice((draw.randint(-(2**63), 2**63 - 1), draw.randint(-3, 3))),
            "UINT8": lambda: draw.randint(0, 255),
            "BOOL": lambda: draw.random() < 0.5,
            "BYTES": lambda: draw.choice(WORDS),
        }
        return np.array([choices[kind]() for _ in range(count)], DTYPE[kind]).reshape(shape)

    def case(self, protocol: str) -> Case:
        """Return the request, and what must come of it."""
        sent = self._message(self._grpc()) if protocol == "grpc" else self._http(self._document(protocol))
        return Case(self._seed, sent, self._feeds, self._wanted or list(OUTPUTS))

    def mutant(self, protocol: str) -> Sent:
        """Return the request after its mutations."""
        times = self._draw.randint(1, 3)
        if protocol == "grpc":
            message = self._grpc()
            for _ in range(times):
                self._change_message(message)
            made = self._message(message)
        else:
            document = self._document(protocol)
            for _ in range(times):
                self._change_document(document)
            made = self._http(document)
        if self._draw.random() < 0.3:
            made.body = self._scratched(made.body)
        if protocol == "binary" and self._draw.random() < 0.2:
            made.headers = [(LENGTH, self._draw.choice(LENGTHS))]
        return made

    # ---- over HTTP

    def _document(self, protocol: str) -> dict[str, Any]:
        """Return the request as JSON values; tensors that go behind it lie under ``raw``."""
        draw = self._draw
        inputs = []
        for name, kind, _ in sorted(INPUTS, key=lambda each: self._order.index(each[0])):
            value = self._feeds[name]
            if protocol == "binary" and draw.random() < 0.7:
                inputs.append(sent(name, value))
            else:
                data = value.tolist() if draw.random() < 0.5 else value.ravel().tolist()
                inputs.append({"name": name, "datatype": kind, "shape": list(value.shape), "data": data})
        whole: dict[str, Any] = {"inputs": inputs}
        if self._wanted or draw.random() < 0.3:
            whole["outputs"] = [self._output(name, protocol) for name in self._wanted]
        if self._id is not None:
            whole["id"] = self._id
        if protocol == "binary" and draw.random() < 0.7:
            whole["parameters"] = {"binary_data_output": draw.random() < 0.5}
        elif draw.random() < 0.3:
            whole["parameters"] = {"p": draw.choice((1, 1.5, "x", True)), "q": "y"}
        return whole

    def _output(self, name: str, protocol: str) -> dict[str, Any]:
        own = protocol == "binary" and self._draw.random() < 0.5
        return {"name": name, **({"parameters": {"binary_data": self._draw.random() < 0.5}} if own else {})}

    def _http(self, document: Any) -> Sent:
        inputs = document.get("inputs")
        if isinstance(inputs, list) and any(isinstance(each, dict) and "raw" in each for each in inputs):
            whole = {**document, "inputs": [each if isinstance(each, dict) else {"name": each} for each in inputs]}
            return Sent("http", *packed(whole, pad=self._draw.randint(0, 3)))
        return Sent("http", json.dumps(document, ensure_ascii=self._draw.random() < 0.5).encode())

    def _change_document(self, document: dict[str, Any]) -> None:
        """Replace, remove, double or misname one member somewhere in the request."""
        draw = self._draw
        place: Any = document
        while True:
            below = [each for each in (place.values() if isinstance(place, dict) else place) if _is_open(each)]
            if not below or draw.random() < 0.3:
                break
            place = draw.choice(below)
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        keys = [key for key in keys if key != "raw"]
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(place, list) and draw.random() < 0.3:
            place.insert(key, copy.deepcopy(place[key]))
        elif draw.random() < 0.2:
            del place[key]
        elif key == "datatype":
            place[key] = draw.choice(TYPES)
        elif isinstance(place[key], int | float) and draw.random() < 0.5:
            place[key] += draw.choice((-1, 1, 256, 2**64, 0.5))
        else:
            place[key] = copy.deepcopy(draw.choice(JUNK))

    def _scratched(self, body: bytes) -> bytes:
        """Return *body* with a few bytes replaced, removed or added."""
        draw, text = self._draw, bytearray(body)
        for _ in range(draw.randint(1, 2)):
            start = draw.randint(0, len(text))
            text[start : start + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
        return bytes(text)

    # ---- over gRPC

    def _grpc(self) -> Any:
        message = MESSAGES["ModelInferRequest"](model_name=MODEL, id=self._id or "")
        is_raw = self._draw.random() < 0.5
        for name in self._order:
            kind, value = next(kind for each, kind, _ in INPUTS if each == name), self._feeds[name]
            given = message.inputs.add(name=name, datatype=kind, shape=value.shape)
            if is_raw:
                message.raw_input_contents.append(raw(value))
            else:
                elements = [each.encode() for each in value.ravel()] if kind == "BYTES" else value.ravel().tolist()
                getattr(given.contents, FIELD[kind]).extend(elements)
        for name in self._wanted:
            message.outputs.add(name=name)
        return message

    def _message(self, message: Any) -> Sent:
        return Sent("grpc", message.SerializeToString())

    def _change_message(self, message: Any) -> None:
        """Change one thing of a message that protobuf can still write."""
        draw = self._draw
        given = draw.choice(message.inputs) if message.inputs else message.inputs.add()
        changes: tuple[Callable[[], Any], ...] = (
            lambda: setattr(given, "name", draw.choice(("", "f", "i", "zz"))),
            lambda: setattr(given, "datatype", draw.choice(TYPES)),
            lambda: given.shape.append(draw.choice((0, 1, -1, 2**62))),
            lambda: given.shape.__setitem__(0, draw.choice((0, 1, 2, -1, 2**62))) if given.shape else None,
            lambda: message.inputs.add().CopyFrom(given),
            lambda: message.inputs.pop(),
            lambda: message.raw_input_contents.append(draw.randbytes(draw.randint(0, 8))),
            lambda: message.raw_input_contents.pop() if message.raw_input_contents else None,
            lambda: getattr(given.contents, draw.choice(list(FIELD.values()))).append(_one(draw)),
            lambda: message.outputs.add(name=draw.choice((*OUTPUTS, "zz"))),
            lambda: setattr(message, "model_version", draw.choice(("1", "2", "x", "01"))),
            lambda: setattr(message, "id", draw.choice(("\0", "i" * 2000, "fine"))),
            lambda: message.parameters["p"].SetInParent(),
        )
        try:
            draw.choice(changes)()
        except (TypeError, ValueError):
            given.name = "of another kind"


def _is_open(each: Any) -> bool:
    return isinstance(each, dict | list) and bool(each)


def _one(draw: random.Random) -> Any:
    return draw.choice((1, 300, True, b"x"))


FIELD: Final = {
    "FP32": "fp32_contents", "INT64": "int64_contents", "UINT8": "uint_contents", "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip
