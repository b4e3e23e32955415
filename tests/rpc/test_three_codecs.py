"""The same tensors in JSON, in the binary extension, typed and raw over gRPC: one model, and one set of numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.signature import DATATYPES, Signature, TensorSpec
from gateway.rest import binary_codec
from gateway.rest.json_codec import ITEMS
from gateway.rpc.codec import CONTENTS
from gateway.serving.codec import DTYPES
from tests.rpc.test_codec import SAMPLES, raw_of, request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.rpc.door import RpcDoor

VERSION = 8
"""A version that answers what it is asked."""


def hold(door: RpcDoor, datatype: str) -> None:
    spec = TensorSpec("x", datatype, (-1,))
    echo = Signature((spec,), (TensorSpec("y", datatype, (-1,)),))
    door.floor.held.hold("fraud", VERSION, lambda feeds: [feeds["x"]], signature=echo)


def elements(raw: bytes, datatype: str) -> list[Any]:
    if datatype == "BYTES":
        return list(binary_codec.texts(memoryview(raw), 2, "y"))
    if datatype == "BF16":
        raw = b"".join(b"\0\0" + raw[at : at + 2] for at in range(0, len(raw), 2))
    return list(np.frombuffer(raw, DTYPES[datatype]).tolist())


async def over_json(door: RpcDoor, datatype: str, values: Sequence[Any]) -> list[Any]:
    tensor = {"name": "x", "datatype": datatype, "shape": [len(values)], "data": values}
    reply = await door.infer("fraud", {"inputs": [tensor]}, version=VERSION)
    assert reply.status == 200, reply.json
    return list(reply.json["outputs"][0]["data"])


async def over_binary(door: RpcDoor, datatype: str, values: Sequence[Any]) -> bytes:
    raw = raw_of(datatype, list(values))
    tensor = {"name": "x", "datatype": datatype, "shape": [len(values)], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = [("inference-header-content-length", str(len(head)))]
    reply = await door.infer("fraud", head + raw, length, version=VERSION)
    assert reply.status == 200, reply.body
    return reply.body[int(reply.headers["inference-header-content-length"]) :]


async def over_grpc(door: RpcDoor, made: Any) -> Any:
    made.model_version = str(VERSION)
    said = await door.infer_message(made)
    assert said.message is not None, said
    return said.message


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_a_tensor_is_the_same_in_every_form_of_every_protocol(door: RpcDoor, datatype: str) -> None:
    values = SAMPLES[datatype]
    hold(door, datatype)
    raw = raw_of(datatype, values)

    binary = await over_binary(door, datatype, values)
    over_raw = (await over_grpc(door, request(datatype, raw))).raw_output_contents

    expected = elements(raw, datatype)
    assert [binary, *over_raw] == [raw, raw]
    if datatype in ITEMS:
        assert np.array(await over_json(door, datatype, values), DTYPES[datatype]).tolist() == expected
    if datatype in CONTENTS:
        sent = [each.encode() if datatype == "BYTES" else each for each in values]
        typed = await over_grpc(door, request(datatype, None, (2,), **{CONTENTS[datatype]: sent}))
        given = getattr(typed.outputs[0].contents, CONTENTS[datatype])
        assert [each.decode() if datatype == "BYTES" else each for each in given] == expected


def test_every_datatype_has_the_forms_that_the_protocol_gives_it() -> None:
    assert set(DATATYPES) - set(ITEMS) == set(DATATYPES) - set(CONTENTS) == {"FP16", "BF16"}


@pytest.mark.parametrize(
    ("datatype", "value"), [("INT8", 128), ("INT8", -129), ("INT16", 32768), ("UINT8", 256), ("UINT16", 65536)]
)
async def test_a_small_integer_out_of_range_is_refused_by_every_protocol_that_can_write_it(
    door: RpcDoor, datatype: str, value: int
) -> None:
    hold(door, datatype)
    tensor = {"name": "x", "datatype": datatype, "shape": [1], "data": [value]}
    made = request(datatype, None, (1,), **{CONTENTS[datatype]: [value]})
    made.model_version = str(VERSION)

    reply = await door.infer("fraud", {"inputs": [tensor]}, version=VERSION)
    said = await door.infer_message(made)

    assert (reply.status, said.code.name) == (400, "INVALID_ARGUMENT")
    assert door.outcomes(VERSION) == ["client_error", "client_error"]


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
async def test_a_half_float_in_typed_contents_is_refused(door: RpcDoor, datatype: str) -> None:
    hold(door, datatype)
    made = request(datatype, None, (1,), fp32_contents=[1.5])
    made.model_version = str(VERSION)

    said = await door.infer_message(made)

    assert said.code.name == "INVALID_ARGUMENT"
    assert datatype in said.details
