"""What a version's metadata allows, through every door: no rows, and values that are not finite."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
import pytest

from gateway.core.watching import Mark
from gateway.rpc.descriptors import MESSAGES
from tests.rest.door import request, tensor
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.engine import Tensor
    from tests.rest.door import Reply
    from tests.rpc.door import RpcDoor, Said

MODEL: Final = "policies"
NAN: Final = np.array([[np.nan, np.inf]], np.float32)


def odd(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """Return what is not finite for every row."""
    return [np.repeat(NAN, len(feeds["x"]), axis=0)]


def serve(door: RpcDoor, **how: Any) -> None:
    """Route the model to its one version, which is served so."""
    door.floor.held.hold(MODEL, 1, **how)
    door.adoption.want(Mark("a", 1, MODEL), compiled({"1": 1}, model=MODEL))


def events(door: RpcDoor) -> list[str]:
    return door.floor.metrics.version(MODEL, "1").events


async def in_json(door: RpcDoor, rows: int, **members: Any) -> Reply:
    return await door.infer(MODEL, request(tensor("x", "FP32", (rows, 2), [1, 2] * rows), **members))


async def in_binary(door: RpcDoor, rows: int) -> Reply:
    content = np.ones((rows, 2), np.float32).tobytes()
    given = {"name": "x", "datatype": "FP32", "shape": [rows, 2], "parameters": {"binary_data_size": len(content)}}
    head = json.dumps({"inputs": [given], "parameters": {"binary_data_output": True}}).encode()
    headers = [("inference-header-content-length", str(len(head)))]
    return await door.infer(MODEL, head + content, headers)


def tail(reply: Reply) -> bytes:
    return reply.body[int(reply.headers["inference-header-content-length"]) :]


async def in_v1(door: RpcDoor, **body: Any) -> Reply:
    return await door.ask("POST", f"/v1/models/{MODEL}:predict", json.dumps(body).encode())


async def over_grpc(door: RpcDoor, rows: int, *, raw: bool) -> Said:
    made = MESSAGES["ModelInferRequest"](model_name=MODEL)
    given = made.inputs.add(name="x", datatype="FP32", shape=[rows, 2])
    content = np.ones((rows, 2), np.float32)
    if raw:
        made.raw_input_contents.append(content.tobytes())
    else:
        given.contents.fp32_contents.extend(content.ravel().tolist())
    return await door.infer_message(made)


async def test_no_rows_are_answered_with_none_through_every_door(door: RpcDoor) -> None:
    serve(door, allow_empty=True)

    plain, binary = await in_json(door, 0), await in_binary(door, 0)
    rows, columns = await in_v1(door, instances=[]), await in_v1(door, inputs={"x": []})
    raw, typed = await over_grpc(door, 0, raw=True), await over_grpc(door, 0, raw=False)

    assert plain.json["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [0, 2], "data": []}]
    assert (binary.status, tail(binary)) == (200, b"")
    assert (rows.json, columns.json) == ({"predictions": []}, {"outputs": []})
    assert list(raw.message.raw_output_contents) == [b""]
    for said in (raw, typed):
        assert list(said.message.outputs[0].shape) == [0, 2]


async def test_no_rows_are_refused_through_every_door_where_the_version_does_not_allow_them(door: RpcDoor) -> None:
    serve(door)

    replies = [await in_json(door, 0), await in_binary(door, 0), await in_v1(door, instances=[])]
    calls = [await over_grpc(door, 0, raw=raw) for raw in (True, False)]

    assert [(reply.status, reply.json["code"]) for reply in replies] == [(400, "invalid_shape")] * 3
    assert [said.code for said in calls] == [grpc.StatusCode.INVALID_ARGUMENT] * 2


@pytest.mark.parametrize("shape", [(-1, 2, 3), (-1, 2, 0), (1, 0)])
async def test_only_the_rows_may_be_none(door: RpcDoor, shape: tuple[int, ...]) -> None:
    serve(door, allow_empty=True)

    reply = await door.infer(MODEL, request(tensor("x", "FP32", [max(size, 0) for size in shape], [])))

    assert (reply.status, reply.json["code"]) == (400, "invalid_shape")


async def test_no_rows_join_the_run_of_others_and_take_none_of_theirs(door: RpcDoor) -> None:
    serve(door, allow_empty=True, delay_ms=20)

    one, none, two = await asyncio.gather(in_json(door, 1), in_json(door, 0), in_json(door, 2))

    assert door.floor.held.sessions[MODEL, 1].rows == [3]
    assert [reply.json["outputs"][0]["shape"] for reply in (one, none, two)] == [[1, 2], [0, 2], [2, 2]]


async def test_what_is_not_finite_is_an_error_through_every_door_unless_the_version_says_otherwise(
    door: RpcDoor,
) -> None:
    serve(door, run=odd)

    replies = [await in_json(door, 1), await in_binary(door, 1), await in_v1(door, instances=[[1, 2]])]
    said = await over_grpc(door, 1, raw=True)

    assert [(reply.status, reply.json["code"]) for reply in replies] == [(500, "nonfinite_output")] * 3
    assert said.code is grpc.StatusCode.INTERNAL
    assert events(door) == ["nonfinite_out"] * 4
    assert door.outcomes(1, MODEL) == ["model_error"] * 4


async def test_null_stands_in_json_for_what_binary_and_grpc_carry_as_it_is(door: RpcDoor) -> None:
    serve(door, run=odd, nonfinite="null")

    plain, binary = await in_json(door, 1), await in_binary(door, 1)
    v1 = await in_v1(door, instances=[[1, 2]])
    raw, typed = await over_grpc(door, 1, raw=True), await over_grpc(door, 1, raw=False)

    assert plain.json["outputs"][0]["data"] == [None, None]
    assert v1.json == {"predictions": [[None, None]]}
    assert tail(binary) == raw.message.raw_output_contents[0] == NAN.tobytes()
    assert np.array_equal(typed.message.outputs[0].contents.fp32_contents, NAN[0], equal_nan=True)
    assert events(door) == ["nonfinite_out"] * 5


async def test_binary_refuses_only_those_who_ask_for_json_and_says_how_to_ask(door: RpcDoor) -> None:
    serve(door, run=odd, nonfinite="binary")

    refused = [await in_json(door, 1), await in_v1(door, instances=[[1, 2]]), await in_v1(door, inputs=[[1, 2]])]
    binary, raw = await in_binary(door, 1), await over_grpc(door, 1, raw=True)
    named = await in_json(door, 1, outputs=[{"name": "y", "parameters": {"binary_data": True}}])

    for reply in refused:
        assert (reply.status, reply.json["code"]) == (400, "no_json_form")
        assert "binary_data" in reply.json["error"]
        assert "gRPC" in reply.json["error"]
    assert tail(binary) == tail(named) == raw.message.raw_output_contents[0] == NAN.tobytes()
    assert events(door) == ["nonfinite_out"] * 6
    assert sorted(door.outcomes(1, MODEL)) == ["client_error"] * 3 + ["ok"] * 3


async def test_a_version_that_may_answer_in_binary_only_answers_what_is_finite_in_json(door: RpcDoor) -> None:
    serve(door, nonfinite="binary")

    plain, v1 = await in_json(door, 1), await in_v1(door, instances=[[1, 2]])

    assert (plain.json["outputs"][0]["data"], v1.json) == ([2, 4], {"predictions": [[2, 4]]})
    assert events(door) == []
