"""The outer form of an Open Inference Protocol request, decoded without touching the tensors' data.

Strict where the protocol is: types are never coerced, the data stays raw until the version that
answers is known and says what it must be. Unknown top-level members are ignored (the KServe SDK
sends ``model_name``); of two equal keys the last one counts.

Source: Open Inference Protocol (v2), "Inference Request JSON Object".
"""

from __future__ import annotations

import msgspec

from gateway.core.errors import InvalidRequest
from gateway.serving.parameters import Parameter, check_id, check_parameters


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


def read(body: bytes | memoryview) -> Envelope:
    """Return the envelope of *body*. Raises InvalidRequest, naming the member that is wrong."""
    try:
        if not (isinstance(body, bytes) and body.isascii()):
            str(body, "utf-8")  # members that are ignored are not decoded below
        envelope = _decode(body)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(f"the request is not an inference request: {exc}", "invalid_request") from None
    except msgspec.DecodeError as exc:
        raise InvalidRequest(f"the body is not JSON: {exc}", "invalid_json") from None
    except (RecursionError, UnicodeDecodeError):
        raise InvalidRequest("the body is not JSON: too deeply nested, or not UTF-8", "invalid_json") from None
    if envelope.id is not None:
        check_id(envelope.id)
    if envelope.parameters:
        check_parameters(envelope.parameters)
    return envelope
