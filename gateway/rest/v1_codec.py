"""A prediction of TensorFlow Serving's REST API, which KServe calls v1: between its JSON and tensors.

A request is rewritten into the inputs of the Open Inference Protocol, whose reader then checks it: v1 names
neither shapes nor datatypes, so the shape is taken from how the data is nested and the datatype from the
signature. Numbers are never touched here; they stay JSON text until that reader takes them.

Source: TensorFlow Serving, "RESTful API" (tensorflow_serving/g3doc/api_rest.md), sections "Predict API" and
"Encoding binary values".
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import orjson

from gateway.core.errors import InvalidRequest
from gateway.core.limits import DEFAULT, Limits
from gateway.rest.bounded_json import read_json
from gateway.rest.envelope import InputTensor
from gateway.serving.codec import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.signature import Signature, TensorSpec
    from gateway.ports.engine import Tensor

DEFAULT_SIGNATURE: Final = "serving_default"
"""The only signature that a version has here, under the name that clients send."""

B64: Final = "b64"
BINARY_NAME: Final = "_bytes"
"""How the name of an output ends whose elements are written as B64."""

LIST: Final = re.compile(rb"[ \t\r\n]*\[")
OBJECT: Final = re.compile(rb"[ \t\r\n]*\{")
NULL: Final = re.compile(rb"[ \t\r\n]*null")


class Prediction(msgspec.Struct, gc=False):
    """A whole request, its data still JSON text. Unknown members are ignored, as in v2."""

    signature_name: str | None = None
    instances: msgspec.Raw = msgspec.Raw()
    inputs: msgspec.Raw = msgspec.Raw()


class Encoded(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One string whose bytes are written in base64."""

    b64: str


_prediction = msgspec.json.Decoder(Prediction).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read(body: bytes, limits: Limits = DEFAULT) -> Prediction:
    """Return the request that *body* holds. Raises InvalidRequest, naming the member that is wrong."""
    request = read_json(body, _prediction, limits, "a prediction request")
    if request.signature_name not in {None, DEFAULT_SIGNATURE}:
        raise InvalidRequest(
            f"signature_name: {quoted(str(request.signature_name))} is not known; "
            f"leave it out, or write {DEFAULT_SIGNATURE}",
            "unknown_signature",
        )
    if _is_there(request.instances) == _is_there(request.inputs):
        raise InvalidRequest("send either instances, an item per row, or inputs, a tensor per input", "invalid_request")
    return request


def in_rows(request: Prediction) -> bool:
    """Say whether *request*, and so its answer, is in row form."""
    return _is_there(request.instances)


def inputs_of(request: Prediction, signature: Signature) -> list[InputTensor]:
    """Return the inputs that *request* brings for a version of this *signature*, unread. Raises InvalidRequest."""
    try:
        found = _columns(request.inputs, signature) if not in_rows(request) else _rows(request.instances, signature)
        specs = {spec.name: spec for spec in signature.inputs}
        return [_input(name, specs.get(name), raw) for name, raw in found.items()]
    except msgspec.DecodeError as exc:  # of which ValidationError is one
        raise InvalidRequest(f"{_form(request)}: {exc}", "invalid_data") from None
    except (RecursionError, UnicodeDecodeError):
        raise InvalidRequest(f"{_form(request)}: too deeply nested, or not UTF-8", "invalid_data") from None


def write(outputs: Sequence[Tensor], specs: Sequence[TensorSpec], rows: int | None) -> bytes:
    """Return the JSON of the answer, in row form for a request of that many *rows*, in column form for None.

    Raises InvalidRequest where an output has no row for each of the request's.
    """
    if rows is None:
        named = {spec.name: _plain(value, spec) for spec, value in zip(specs, outputs, strict=True)}
        return _json({"outputs": named if len(named) > 1 else next(iter(named.values()))})
    for spec, value in zip(specs, outputs, strict=True):
        if not value.ndim or value.shape[0] != rows:
            raise InvalidRequest(
                f"output {spec.name!r} has shape {list(value.shape)}, which is not {rows} rows; "
                "send inputs, not instances",
                "no_row_form",
            )
    columns = {spec.name: _plain(value, spec) for spec, value in zip(specs, outputs, strict=True)}
    if len(columns) == 1:
        return _json({"predictions": next(iter(columns.values()))})
    return _json({"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]})


def _is_there(raw: msgspec.Raw) -> bool:
    return bool(raw) and NULL.match(memoryview(raw)) is None


def _form(request: Prediction) -> str:
    return "instances" if in_rows(request) else "inputs"


def _is_object(raw: msgspec.Raw) -> bool:
    """Say whether *raw* maps inputs to values; ``{"b64": …}`` is a value."""
    return OBJECT.match(memoryview(raw)) is not None and list(_members(raw)) != [B64]


def _columns(raw: msgspec.Raw, signature: Signature) -> Mapping[str, msgspec.Raw]:
    if _is_object(raw):
        return _members(raw)
    return {_only(signature, "inputs"): raw}


def _rows(raw: msgspec.Raw, signature: Signature) -> Mapping[str, msgspec.Raw]:
    """Return the tensors that the rows make up."""
    rows = _items(raw)
    if not rows:
        return {spec.name: raw for spec in signature.inputs}
    if not _is_object(rows[0]):
        return {_only(signature, "instances"): raw}
    first, *others = found = [_members(row) for row in rows]
    for number, row in enumerate(others, start=1):
        if row.keys() != first.keys():
            raise InvalidRequest(f"instances[{number}] names other inputs than instances[0]", "invalid_data")
    return {name: msgspec.Raw(b"[%s]" % b",".join([bytes(row[name]) for row in found])) for name in first}


def _only(signature: Signature, form: str) -> str:
    if len(signature.inputs) != 1:
        names = ", ".join(repr(spec.name) for spec in signature.inputs)
        raise InvalidRequest(f"{form}: the model has several inputs, so name each: {names}", "missing_input")
    return signature.inputs[0].name


def _input(name: str, spec: TensorSpec | None, raw: msgspec.Raw) -> InputTensor:
    """Return one input. An unknown one, whose *spec* is None, is left for the reader to refuse."""
    if spec is None:
        return InputTensor(name, [], "")
    rank = len(spec.shape)
    shape = _shape(raw, rank)
    if shape == [0]:  # no rows, which the nesting says nothing more of
        shape += spec.shape[1:]
    if len(shape) == rank and spec.datatype == "BYTES" and b'"b64"' in bytes(raw):
        raw = msgspec.Raw(msgspec.json.encode(_texts(_strings(rank)(raw), name)))
    return InputTensor(name, shape, spec.datatype, raw if shape else msgspec.Raw(b"[%s]" % bytes(raw)))


def _shape(raw: msgspec.Raw, rank: int) -> list[int]:
    """Return the shape that the nesting says, as far as its first elements tell, at most one axis beyond *rank*."""
    shape: list[int] = []
    while len(shape) <= rank and LIST.match(memoryview(raw)) is not None:
        items = _items(raw)
        shape.append(len(items))
        if not items:
            break
        raw = items[0]
    return shape


@cache
def _strings(rank: int) -> Any:
    """Return a decoder of strings, plain or in base64, nested *rank* deep."""
    nested: Any = str | Encoded
    for _ in range(rank):
        nested = list[nested]
    return msgspec.json.Decoder(nested).decode


def _texts(value: Any, name: str) -> Any:
    """Return nested strings with what is in base64 as text, which is what the runtime takes."""
    if isinstance(value, list):
        return [_texts(each, name) for each in value]
    if not isinstance(value, Encoded):
        return value
    try:
        return base64.b64decode(value.b64, validate=True).decode()
    except binascii.Error as exc:
        raise InvalidRequest(f"input {name!r}: b64 does not hold base64: {exc}", "invalid_data") from None
    except ValueError:  # text that is not ASCII, or bytes that are not UTF-8
        raise InvalidRequest(f"input {name!r}: an element is not UTF-8", "invalid_data") from None


def _plain(value: Tensor, spec: TensorSpec) -> Any:
    """Return an output as ``_json`` writes it: nested, strings in base64 where the output's name asks for that."""
    if spec.datatype in {"FP16", "BF16", "FP32"}:  # scalars too stay numpy's, which are written shortest
        return np.ascontiguousarray(value) if value.ndim else value[()]
    if spec.datatype != "BYTES":  # the writer knows no scalar of a C ``long long``, as which INT64 comes
        return np.ascontiguousarray(value) if value.ndim > 1 else value.tolist()
    return _encoded(value.tolist()) if spec.name.endswith(BINARY_NAME) else value.tolist()


def _encoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_encoded(each) for each in value]
    return {B64: base64.b64encode(value.encode()).decode()}


def _json(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
