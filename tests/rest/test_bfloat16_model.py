"""A model of bfloat16 in ONNX Runtime, asked as its callers ask: 2 bytes a number, in binary."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio

from gateway.bfloat16 import narrowed, widened
from tests.engine import graphs
from tests.engine.graphs import BFLOAT16, FLOAT, node, value, weights
from tests.rest.door import RealDoor, Reply
from tests.rest.wire import LENGTH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.ports.engine import Tensor

pytestmark = pytest.mark.asyncio(loop_scope="module")


GOLDEN = {
    "inputs": [{"name": "x", "datatype": "BF16", "shape": [1, 3], "data": [1, 2, 3]}],
    "outputs": [
        {"name": "y", "datatype": "BF16", "shape": [1, 3], "data": [0.333984375, 0.66796875, 1]},
        {"name": "z", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]},
    ],
    "tolerance": 0,
}
"""The version is READY only where its answer is this one."""


def third() -> bytes:
    """y = x / 3 and z = x as float: rounded where it leaves the graph."""
    return graphs.graph(
        node("Cast", ["x"], ["z"], to=FLOAT),
        node("Div", ["z", "three"], ["part"]),
        node("Cast", ["part"], ["y"], to=BFLOAT16),
        inputs=[value("x", BFLOAT16)],
        outputs=[value("y", BFLOAT16), value("z", FLOAT)],
        tensors=[weights("three", [3.0], [1])],
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealDoor]:
    directory: Path = tmp_path_factory.mktemp("bfloat16")
    door = RealDoor(directory)
    file = directory / "models" / "third" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(third())
    golden = file.with_name("golden.jsonl")
    golden.write_text(json.dumps(GOLDEN) + "\n")
    for each in (file, golden, file.parent):
        os.utime(each, (1e9, 1e9))  # copied long ago
    await door.open()
    yield door
    await door.close()


async def asked(door: RealDoor, given: Tensor, **members: Any) -> Reply:
    bits = narrowed(given).astype("<u2").tobytes()
    sized = {"binary_data_size": len(bits)}
    entry = {"name": "x", "datatype": "BF16", "shape": list(given.shape), "parameters": sized}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}, **members}).encode()
    return await door.infer("third", head + bits, [(LENGTH, str(len(head)))], version=1)


def answered(reply: Reply) -> tuple[Tensor, Tensor]:
    assert reply.status == 200, reply.body
    size = int(reply.headers[LENGTH])
    first, second = json.loads(reply.body[:size])["outputs"]
    assert (first["datatype"], second["datatype"]) == ("BF16", "FP32")
    end = size + first["parameters"]["binary_data_size"]
    bits = np.frombuffer(reply.body[size:end], "<u2")
    return widened(bits).reshape(first["shape"]), np.frombuffer(reply.body[end:], "<f4").reshape(second["shape"])


async def test_numbers_go_in_and_come_out_as_the_model_has_them(door: RealDoor) -> None:
    given = np.array([[1, -2, 0.5], [3, 100, 2.0**-130]], np.float32)

    third, same = answered(await asked(door, given))

    assert same.tolist() == given.tolist()
    assert third.tolist() == widened(narrowed(given / np.float32(3))).tolist()


async def test_requests_in_one_batch_each_get_their_own_rows(door: RealDoor) -> None:
    rows = [np.full((1 + number % 2, 3), number, np.float32) for number in range(8)]
    batches = door.floor.lanes.named("third", 1).queue.batches

    replies = await asyncio.gather(*(asked(door, each) for each in rows))

    assert [answered(each)[1].tolist() for each in replies] == [each.tolist() for each in rows]
    assert door.floor.lanes.named("third", 1).queue.batches - batches < len(rows)


async def test_an_answer_that_is_not_finite_is_the_models_error(door: RealDoor) -> None:
    reply = await asked(door, np.full((1, 3), np.inf, np.float32))

    assert (reply.status, reply.json["code"]) == (500, "nonfinite_output")


async def test_json_is_refused_on_both_sides_with_the_cure(door: RealDoor) -> None:
    tensor = {"name": "x", "datatype": "BF16", "shape": [1, 3], "data": [1, 2, 3]}
    sent = await door.infer("third", {"inputs": [tensor]}, version=1)
    wanted = await asked(
        door, np.ones((1, 3), np.float32), outputs=[{"name": "y", "parameters": {"binary_data": False}}]
    )

    assert (sent.status, sent.json["code"]) == (400, "invalid_data")
    assert (wanted.status, wanted.json["code"]) == (400, "no_json_form")
    assert all("BF16, which has no JSON form" in each.json["error"] for each in (sent, wanted))


async def test_metadata_and_configuration_name_the_type(door: RealDoor) -> None:
    metadata = (await door.ask("GET", "/v2/models/third/versions/1")).json
    config = (await door.ask("GET", "/v2/models/third/versions/1/config")).json

    assert metadata["inputs"][0]["datatype"] == "BF16"
    assert config["input"][0]["data_type"] == "TYPE_BF16"
