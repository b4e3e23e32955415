"""One recorded request as a line of JSON: a request of the Open Inference Protocol, and what was answered.

``{"id", "inputs": [{"name", "datatype", "shape", "data"}], "outputs": […], "version": "2", "rule": "split",
"revision": 7, "at_ms": …, "redacted": false}``, the form of golden requests, so that a recording is read wherever
those are. Neither headers nor parameters nor the id of the caller are in it. null is what is no finite number.
*redacted*: an input is not what the version got, so the outputs are not its answer to these inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.signature import Signature
    from gateway.ports.engine import Tensor
    from gateway.ports.observing import Answered
    from gateway.recordings.redaction import Redactor

MAX_BYTES: Final = 1 << 20
"""Of a line, and of the tensors that it is made from."""


class TooLarge(Exception):
    """A request is larger than a line may be."""


def line_of(answered: Answered, redactor: Redactor, at_ms: int) -> bytes:
    """Return the line, with its end. Raises Unhidden and TooLarge."""
    inputs = {spec.name: each for spec, each in zip(answered.asked.inputs, answered.feeds, strict=True)}
    outputs = {spec.name: each for spec, each in zip(answered.answered.outputs, answered.outputs, strict=True)}
    kept_inputs, kept_outputs = redactor.hidden(answered.record.redact, inputs, outputs)
    body = {
        "id": redactor.name_of(answered.id),
        "inputs": plain(kept_inputs, datatypes(answered.asked, "inputs")),
        "outputs": plain(kept_outputs, datatypes(answered.answered, "outputs")),
        "version": str(answered.version),
        "rule": answered.rule,
        "revision": answered.revision,
        "at_ms": at_ms,
        "redacted": any(kept_inputs.get(name) is not each for name, each in inputs.items()),
    }
    line = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
    if len(line) > MAX_BYTES:
        raise TooLarge
    return line


def datatypes(signature: Signature, role: str) -> Mapping[str, str]:
    """Return name → datatype of the ``inputs`` or ``outputs`` of *signature*, in its order."""
    return {spec.name: spec.datatype for spec in getattr(signature, role)}


def plain(tensors: Mapping[str, Tensor], kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return *tensors* as orjson encodes them with OPT_SERIALIZE_NUMPY; *kinds* are their datatypes."""
    return [
        {"name": name, "datatype": kinds[name], "shape": each.shape, "data": _flat(each)}
        for name, each in tensors.items()
    ]


def _flat(tensor: Tensor) -> Any:
    """Return the elements in a row, as the encoder takes them: it writes floats as short as they are."""
    return tensor.ravel().tolist() if tensor.dtype.kind == "O" else tensor.ravel()


def tensor_bytes(tensor: Tensor) -> int:
    """Return the bytes of *tensor*; of texts their characters."""
    return sum(map(len, tensor.ravel().tolist())) if tensor.dtype.kind == "O" else tensor.nbytes
