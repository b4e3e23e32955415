"""The outer form of an Open Inference Protocol request, decoded without touching the tensors' data.

Strict where the protocol is: types are never coerced, the data stays raw until the version that
answers is known and says what it must be. Unknown top-level members are ignored (the KServe SDK
sends ``model_name``); of two equal keys the last one counts.

Source: Open Inference Protocol (v2), "Inference Request JSON Object".
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gateway.core.errors import InvalidRequest

Parameter = str | int | float | bool

ID_CHARACTERS: Final = 1024

MAX_PARAMETERS: Final = 64
MAX_DEPTH: Final = 32
"""Of nesting anywhere; msgspec itself stops at about 1,000, in members that nobody reads too."""

MAX_MEMBERS: Final = 65_536
SMALLEST_MEMBERS_BYTES: Final = 5 * MAX_MEMBERS
"""So long is a body at least that holds as many members, each ``"":1,``."""

STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

UNSUPPORTED_PARAMETERS: Final = ("sequence_id", "sequence_start", "sequence_end")


class InputTensor(msgspec.Struct, gc=False):
    """One input; *data* is the JSON text of its numbers."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Parameter] | None = None


class RequestedOutput(msgspec.Struct, gc=False):
    """One output that the caller wants."""

    name: str
    parameters: dict[str, Parameter] | None = None


class Envelope(msgspec.Struct, gc=False):
    """A whole request."""

    inputs: list[InputTensor]
    id: str | None = None
    parameters: dict[str, Parameter] | None = None
    outputs: list[RequestedOutput] | None = None


_decode = msgspec.json.Decoder(Envelope).decode


def read(body: bytes) -> Envelope:
    """Return the envelope of *body*. Raises InvalidRequest, naming the member that is wrong."""
    try:
        envelope = _decode(body)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(f"the request is not an inference request: {exc}", "invalid_request") from None
    except msgspec.DecodeError as exc:
        raise InvalidRequest(f"the body is not JSON: {exc}", "invalid_json") from None
    except (RecursionError, UnicodeDecodeError):
        raise InvalidRequest("the body is not JSON: too deeply nested, or not UTF-8", "invalid_json") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH or len(body) > SMALLEST_MEMBERS_BYTES:
        _check_structure(body)
    if envelope.id is not None and (len(envelope.id) > ID_CHARACTERS or not envelope.id.isprintable()):
        raise InvalidRequest(f"id: must be printable and at most {ID_CHARACTERS} characters", "invalid_id")
    if envelope.parameters:
        _check_parameters(envelope.parameters)
    return envelope


def _check_structure(body: bytes) -> None:
    """Refuse JSON that is nested too deep, or holds too many members, in parts that the decoder skips too.

    Each round takes away the innermost pairs of brackets, so that nesting of n needs n rounds.
    """
    bare = STRING.sub(b"", body)
    if bare.count(b":") > MAX_MEMBERS:
        raise InvalidRequest(f"the body holds more than {MAX_MEMBERS} members", "invalid_json")
    nest = bare.translate(BRACKETS, NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not nest:
            return
        nest = nest.replace(b"[]", b"")
    if nest:
        raise InvalidRequest(f"the body is nested more than {MAX_DEPTH} deep", "invalid_json")


def _check_parameters(parameters: dict[str, Parameter]) -> None:
    if len(parameters) > MAX_PARAMETERS:
        raise InvalidRequest(f"parameters: may be {MAX_PARAMETERS} at most", "invalid_parameters")
    for name in UNSUPPORTED_PARAMETERS:
        if name in parameters:
            raise InvalidRequest(f"parameters.{name}: sequences are not supported", "unsupported_parameter")
