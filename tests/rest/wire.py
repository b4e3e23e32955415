"""The binary tensor extension as a client speaks it, written without any of the gateway's own code."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gateway.ports.engine import Tensor
    from tests.rest.door import Reply

LENGTH = "inference-header-content-length"

DATATYPE = {
    np.dtype(name): datatype
    for name, datatype in {
        "?": "BOOL", "u1": "UINT8", "u2": "UINT16", "u4": "UINT32", "u8": "UINT64", "i1": "INT8", "i2": "INT16",
        "i4": "INT32", "i8": "INT64", "f2": "FP16", "f4": "FP32", "f8": "FP64", "O": "BYTES",
    }.items()
}  # fmt: skip
DTYPE = {datatype: dtype for dtype, datatype in DATATYPE.items()}


def raw(value: Tensor) -> bytes:
    """Return a tensor's bytes on the wire."""
    if value.dtype.kind != "O":
        return value.astype(value.dtype.newbyteorder("<")).tobytes()
    texts = [text.encode() for text in value.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def sent(name: str, value: Tensor, **members: Any) -> dict[str, Any]:
    """Return an input that goes behind the JSON; ``packed`` takes its bytes out again."""
    data = raw(value)
    entry = {"name": name, "datatype": DATATYPE[value.dtype], "shape": list(value.shape), "raw": data}
    return {**entry, "parameters": {"binary_data_size": len(data)}, **members}


def packed(whole: dict[str, Any], *, pad: int = 0) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the body of a request, and its header; *pad* blanks behind the JSON move the tensors."""
    tails = [each["raw"] for each in whole["inputs"] if "raw" in each]
    inputs = [{name: value for name, value in each.items() if name != "raw"} for each in whole["inputs"]]
    document = json.dumps({**whole, "inputs": inputs}).encode() + b" " * pad
    return b"".join([document, *tails]), [(LENGTH, str(len(document)))]


def unpacked(reply: Reply) -> dict[str, Tensor]:
    """Return the outputs of an answer by their names, from the JSON and from behind it."""
    assert reply.status == 200, reply.body
    size = int(reply.headers.get(LENGTH, len(reply.body)))
    document, rest = json.loads(reply.body[:size]), reply.body[size:]
    found: dict[str, Tensor] = {}
    for each in document["outputs"]:
        dtype, length = DTYPE[each["datatype"]], each.get("parameters", {}).get("binary_data_size")
        if length is None:
            value = np.array(each["data"], dtype)
        else:
            part, rest = rest[:length], rest[length:]
            assert len(part) == length
            value = texts(part) if dtype.kind == "O" else np.frombuffer(part, dtype.newbyteorder("<"))
        found[each["name"]] = value.reshape(each["shape"])
    assert not rest
    return found


def texts(part: bytes) -> Tensor:
    """Return BYTES elements from the wire."""
    found = []
    while part:
        (length,) = struct.unpack_from("<I", part)
        found.append(part[4 : 4 + length].decode())
        part = part[4 + length :]
    return np.array(found, object)
