"""Bugs that other servers had, as rules for this one; ``docs/testing.md`` lists them all with their tests."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import pytest_asyncio

from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from tests.rest.door import ROW, FakeDoor, request, send_all_to, tensor
from tests.rest.test_both_doors import INFER, Listening, post
from tests.rest.wire import packed, sent, unpacked
from tests.rpc.door import RpcDoor
from tests.serving.fakes import SLOW, Gate, compiled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from gateway.ports.engine import Tensor

CALLERS: Final = 64


class Counting:
    """A version that is slow enough for a queue behind it, and keeps how many rows each run had."""

    def __init__(self, door: FakeDoor) -> None:
        self.rows: list[int] = []
        door.floor.held.hold("fraud", 1, self.run, run_seconds=SLOW)
        send_all_to(door, 1)
        door.adoption.settle()

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        time.sleep(0.02)  # on the lane's thread: meanwhile the others arrive, on a busy machine too
        self.rows.append(feeds["x"].shape[0])
        return [feeds["x"] + 100]


def row_of(caller: int) -> Tensor:
    return np.array([[caller, 2 * caller]] * (1 + caller % 3), np.float32)


@pytest_asyncio.fixture(params=["plain", "short cut"])
async def listening(request: pytest.FixtureRequest) -> AsyncIterator[Listening]:
    door = Listening(request.param)
    yield door
    await door.close()


@pytest.mark.parametrize("form", ["JSON", "binary"])
async def test_64_callers_in_joined_runs_each_get_their_own_rows(listening: Listening, form: str) -> None:
    """MLServer#1306: one caller got the rows of all three; kserve#5565; pytorch/serve#2158: of five rows the first."""
    version = Counting(listening)

    async def call(caller: int) -> Tensor:
        row = row_of(caller)
        body, headers = packed(request(sent("x", row), parameters={"binary_data_output": True}))
        if form == "JSON":
            body, headers = json.dumps(request(tensor("x", "FP32", row.shape, row.tolist()))).encode(), []
        [reply] = await listening.send(post(INFER, body, *(f"{name}: {value}" for name, value in headers)))
        return next(iter(unpacked(reply).values()))

    answers = await asyncio.gather(*map(call, range(CALLERS)))

    assert [answer.tolist() for answer in answers] == [(row_of(caller) + 100).tolist() for caller in range(CALLERS)]
    assert max(version.rows) > 3, "nobody was joined with anybody"


@pytest.mark.parametrize("is_raw", [True, False], ids=["raw", "typed"])
async def test_64_callers_over_grpc_each_get_their_own_rows(is_raw: bool) -> None:
    """MLServer#1306, over gRPC."""
    from gateway.rpc.descriptors import MESSAGES

    door = RpcDoor(timeout=20.0, max_body=10_000)
    version = Counting(door)
    await door.open()

    async def call(caller: int) -> list[float]:
        row = row_of(caller)
        message: Any = MESSAGES["ModelInferRequest"](model_name="fraud")
        given = message.inputs.add(name="x", datatype="FP32", shape=row.shape)
        if is_raw:
            message.raw_input_contents.append(row.tobytes())
        else:
            given.contents.fp32_contents.extend(row.ravel().tolist())
        answer = (await door.infer_message(message)).message
        if is_raw:
            return list(np.frombuffer(answer.raw_output_contents[0], np.float32).tolist())
        return list(answer.outputs[0].contents.fp32_contents)

    answers = await asyncio.gather(*map(call, range(CALLERS)))
    await door.close()

    assert answers == [(row_of(caller) + 100).ravel().tolist() for caller in range(CALLERS)]
    assert max(version.rows) > 3


async def test_callers_of_one_run_each_get_the_outputs_that_they_asked_for(door: FakeDoor) -> None:
    """MLServer#514: requested outputs were lost where requests were joined."""
    spec = TensorSpec("x", "FP32", (-1, 2))
    outputs = tuple(TensorSpec(name, "FP32", (-1, 2)) for name in "abc")
    runs = []

    def run(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        runs.append(len(feeds["x"]))
        return [feeds["x"] + number for number in range(3)]

    door.floor.held.hold("three", 1, run, signature=Signature((spec,), outputs))
    door.adoption.want(Mark("a", 1, "three"), compiled({"1": 1}, model="three"))
    wanted = ["a", "bc", "cb", "", "cab", "b"]

    replies = await asyncio.gather(
        *(door.infer("three", {**ROW, "outputs": [{"name": name} for name in names]}) for names in wanted)
    )

    for names, reply in zip(wanted, replies, strict=True):
        found = {each["name"]: each["data"] for each in reply.json["outputs"]}
        assert list(found) == list(names or "abc")
        assert found == {name: [1 + "abc".index(name), 2 + "abc".index(name)] for name in names or "abc"}
    assert runs == [len(wanted)], "they were not joined"


async def test_a_slow_version_is_slow_and_not_unavailable(door: FakeDoor) -> None:
    """BentoML#3200, #4265, #1530: a run over the batching window was answered 503."""
    gate = Gate()
    door.floor.held.hold("fraud", 1, gate, run_seconds=SLOW)
    door.adoption.settle()

    asked = asyncio.create_task(door.infer("fraud", ROW))
    await asyncio.sleep(0.3)
    gate.open()

    assert (await asked).status == 200


@pytest.mark.parametrize("level", [logging.DEBUG, logging.CRITICAL])
async def test_what_is_logged_changes_no_status(door: FakeDoor, level: int, caplog: pytest.LogCaptureFixture) -> None:
    """kserve#1530: with the payload logger on, a 400 became a 200."""
    with caplog.at_level(level):
        statuses = [
            (await door.infer("fraud", body, version=version)).status
            for body, version in [(ROW, None), (b"{", None), (ROW, 9), ({"inputs": []}, 1)]
        ]

    assert statuses == [200, 400, 404, 400]
