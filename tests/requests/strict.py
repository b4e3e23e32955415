"""What the protocol allows, read once more: strictly, slowly, and with no line of the gateway's codecs.

Raises Refused for what may not be answered; else returns what the model must be fed and which outputs are wanted.
"""

from __future__ import annotations

import json
import math
import re
import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.rpc.descriptors import MESSAGES
from tests.requests.model import INPUTS, MODEL, OUTPUTS
from tests.rest.wire import DTYPE, LENGTH

if TYPE_CHECKING:
    from gateway.ports.engine import Tensor
    from tests.requests.cases import Sent

KINDS: Final = {name: kind for name, kind, _ in INPUTS}
WIDTHS: Final = {name: width for name, _, width in INPUTS}
RANGES: Final = {"INT64": (-(2**63), 2**63 - 1), "UINT8": (0, 255)}
BYTES_OF: Final = {"FP32": 4, "INT64": 8, "UINT8": 1, "BOOL": 1}

Allowed = tuple[dict[str, "Tensor"], list[str]]


class Refused(Exception):
    """The request is the caller's fault."""


def need(holds: object, why: str) -> None:
    if not holds:
        raise Refused(why)


def read(sent: Sent) -> Allowed:
    """Return what *sent* asks for."""
    return _grpc(sent.body) if sent.protocol == "grpc" else _http(sent)


# ---- over HTTP


def _http(sent: Sent) -> Allowed:
    size = dict(sent.headers).get(LENGTH)
    document, tail = sent.body, None
    if size is not None:
        need(re.fullmatch(r"[0-9]{1,15}", size) and 0 < int(size) <= len(sent.body), "length")
        document, tail = sent.body[: int(size)], bytearray(sent.body[int(size) :])
    whole = _json(document)
    need(isinstance(whole, dict) and isinstance(whole.get("inputs"), list), "inputs")
    given_id, parameters, outputs = whole.get("id"), whole.get("parameters"), whole.get("outputs")
    need(given_id is None or isinstance(given_id, str), "id")
    need(len(given_id or "") <= 1024 and (given_id or "").isprintable(), "id")
    _parameters(parameters, flags=("binary_data_output",))
    need(outputs is None or isinstance(outputs, list), "outputs")
    for each in outputs or []:
        need(isinstance(each, dict) and isinstance(each.get("name"), str), "an output")
        _parameters(each.get("parameters"), flags=("binary_data",))
    feeds: dict[str, Tensor] = {}
    for each in whole["inputs"]:
        need(isinstance(each, dict) and isinstance(each.get("name"), str), "an input")
        need(each["name"] not in feeds, "twice")
        feeds[each["name"]] = _input(each, tail)
    need(not tail, "bytes of nobody")
    return _whole(feeds, [each["name"] for each in outputs or []])


def _json(text: bytes) -> Any:
    def no_number(text: str) -> float:
        raise Refused(text)

    try:
        value = json.loads(text.decode(), parse_constant=no_number)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise Refused(str(exc)) from exc
    return value


def _parameters(given: Any, flags: tuple[str, ...] = ()) -> None:
    need(given is None or isinstance(given, dict), "parameters")
    for name, value in (given or {}).items():
        need(isinstance(value, bool if name in flags else bool | int | float | str), "a parameter")
        need(not isinstance(value, float) or math.isfinite(value), "no finite number")


def _input(given: dict[str, Any], tail: bytearray | None) -> Tensor:
    name, kind, shape = given["name"], given.get("datatype"), given.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise Refused("shape")
    _described(name, kind, shape)
    parameters = given.get("parameters")
    _parameters(parameters)
    if "binary_data_size" not in (parameters or {}):
        return _from_json(given.get("data"), KINDS[name], shape)
    size = given["parameters"]["binary_data_size"]
    need(tail is not None and given.get("data") is None and type(size) is int and 0 <= size <= len(tail), "size")
    assert tail is not None
    part, tail[:] = bytes(tail[:size]), tail[size:]
    return _from_bytes(part, KINDS[name], shape)


def _described(name: str, kind: object, shape: list[int]) -> None:
    need(name in KINDS and kind == KINDS[name], "datatype")
    need(len(shape) == 2 and all(0 < size < 2**31 for size in shape) and WIDTHS[name] in (-1, shape[1]), "shape")


def _from_json(data: Any, kind: str, shape: list[int]) -> Tensor:
    rows, width = shape
    need(isinstance(data, list), "data")
    if data and all(isinstance(each, list) for each in data):
        need(len(data) == rows and all(len(each) == width for each in data), "nesting")
        data = [each for row in data for each in row]
    need(len(data) == rows * width and all(_fits(each, kind) for each in data), "elements")
    return np.array(data, DTYPE[kind]).reshape(shape)


def _fits(element: Any, kind: str) -> bool:
    if kind in RANGES:
        low, high = RANGES[kind]
        return type(element) is int and low <= element <= high
    if kind == "FP32":
        try:
            return type(element) in (int, float) and math.isfinite(element) and bool(struct.pack("<f", element))
        except OverflowError:
            return False
    return type(element) is {"BOOL": bool, "BYTES": str}[kind]


def _from_bytes(part: bytes, kind: str, shape: list[int]) -> Tensor:
    count = shape[0] * shape[1]
    if kind == "BYTES":
        return _texts(_framed(part), shape)
    need(len(part) == count * BYTES_OF[kind], "bytes")
    need(kind != "BOOL" or set(part) <= {0, 1}, "a truth value")
    return np.frombuffer(part, DTYPE[kind]).reshape(shape)


def _framed(part: bytes) -> list[bytes]:
    found = []
    while part:
        need(len(part) >= 4, "a length")
        end = 4 + struct.unpack_from("<I", part)[0]
        need(end <= len(part), "an element")
        found.append(part[4:end])
        part = part[end:]
    return found


def _texts(elements: list[bytes], shape: list[int]) -> Tensor:
    need(len(elements) == shape[0] * shape[1], "elements")
    try:
        return np.array([each.decode() for each in elements], object).reshape(shape)
    except UnicodeDecodeError as exc:
        raise Refused("not UTF-8") from exc


def _whole(feeds: dict[str, Tensor], outputs: list[str]) -> Allowed:
    need(set(feeds) == set(KINDS), "the set of inputs")
    need(len({len(each) for each in feeds.values()}) == 1, "rows")
    need(set(outputs) <= set(OUTPUTS) and len(set(outputs)) == len(outputs), "outputs")
    return feeds, outputs or list(OUTPUTS)


# ---- over gRPC

FIELDS: Final = {
    "FP32": "fp32_contents", "INT64": "int64_contents", "UINT8": "uint_contents", "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip


def _grpc(body: bytes) -> Allowed:
    try:
        message: Any = MESSAGES["ModelInferRequest"].FromString(body)
    except Exception as exc:
        raise Refused("no message") from exc
    need(message.model_name == MODEL and message.model_version in ("", "1"), "the model")
    need(len(message.id) <= 1024 and message.id.isprintable(), "id")
    raw = list(message.raw_input_contents)
    need(not raw or len(raw) == len(message.inputs), "raw")
    feeds: dict[str, Tensor] = {}
    for number, each in enumerate(message.inputs):
        need(each.name not in feeds, "twice")
        shape = list(each.shape)
        _described(each.name, each.datatype, shape)
        need(not raw or not each.HasField("contents"), "both")
        kind = KINDS[each.name]
        feeds[each.name] = _from_bytes(raw[number], kind, shape) if raw else _typed(each.contents, kind, shape)
    return _whole(feeds, [each.name for each in message.outputs])


def _typed(contents: Any, kind: str, shape: list[int]) -> Tensor:
    filled = [each.name for each, _ in contents.ListFields()]
    need(filled == [FIELDS[kind]], "another field")
    elements = list(getattr(contents, FIELDS[kind]))
    if kind == "BYTES":
        return _texts(elements, shape)
    need(len(elements) == shape[0] * shape[1], "elements")
    need(kind not in RANGES or all(_fits(each, kind) for each in elements), "range")
    return np.array(elements, DTYPE[kind]).reshape(shape)
