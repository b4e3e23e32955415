"""The outer form of an Open Inference Protocol request, decoded without touching the tensors' data.

Strict where the protocol is: types are never coerced, the data stays raw until the version that
answers is known and says what it must be. Unknown top-level members are ignored (the KServe SDK
sends ``model_name``); of two equal keys the last one counts.

Source: Open Inference Protocol (v2), "Inference Request JSON Object".
"""

from __future__ import annotations

import msgspec

from gateway.core.limits import DEFAULT, Limits
from gateway.rest.bounded_json import read_json
from gateway.serving.parameters import Parameter, check_count, check_id, check_parameters


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


def read(body: bytes, limits: Limits = DEFAULT) -> Envelope:
    """Return the envelope of *body*. Raises InvalidRequest, naming the member that is wrong, and RequestTooLarge."""
    envelope = read_json(body, _decode, limits, "an inference request")
    if envelope.id is not None:
        check_id(envelope.id)
    if envelope.parameters:
        check_count(envelope.parameters, limits.parameters)
        check_parameters(envelope.parameters)
    return envelope
