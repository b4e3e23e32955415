"""The inference port over shipped models in ONNX Runtime: what it answers equals the runtime called directly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytest_asyncio

from gateway.core.watching import Mark
from tests.rest.door import RealDoor
from tests.rest.oracle import EVERY_VERSION, MODELS, as_request, assert_equal, directly, feeds_of
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealDoor]:
    door = RealDoor(tmp_path_factory.mktemp("real"), *MODELS)
    await door.open()
    yield door
    await door.close()


@pytest.mark.parametrize(("model", "version"), EVERY_VERSION)
async def test_every_shipped_version_answers_as_the_runtime_does(door: RealDoor, model: str, version: int) -> None:
    session = directly(model, version)
    feeds = feeds_of(session, 3, iter(np.linspace(0, 16, 3 * 4096).tolist()))

    reply = await door.infer(model, as_request(session, feeds), version=version)

    assert_equal(reply, session, feeds)


@pytest.mark.parametrize(("model", "version"), EVERY_VERSION)
async def test_requests_that_are_batched_answer_as_the_runtime_does_alone(
    door: RealDoor, model: str, version: int
) -> None:
    session = directly(model, version)
    numbers = iter(np.linspace(0, 16, 40 * 64).tolist())
    feeds = [feeds_of(session, 1 + number % 3, numbers) for number in range(12)]

    replies = await asyncio.gather(*(door.infer(model, as_request(session, each), version=version) for each in feeds))

    for reply, each in zip(replies, feeds, strict=True):
        assert_equal(reply, session, each)


async def test_metadata_shows_the_signature_of_the_file(door: RealDoor) -> None:
    reply = await door.ask("GET", "/v2/models/breast-cancer/versions/1")

    signature = directly("breast-cancer", 1).signature
    assert reply.json["versions"] == [str(version) for model, version in EVERY_VERSION if model == "breast-cancer"]
    for member, specs in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        assert reply.json[member] == [
            {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in specs
        ]


async def test_a_model_without_a_route_is_answered_by_its_highest_version(door: RealDoor) -> None:
    session = directly("text-topics", 1)

    reply = await door.infer("text-topics", as_request(session, feeds_of(session, 1, iter([1.0] * 9))))

    highest = max(version for model, version in EVERY_VERSION if model == "text-topics")
    assert (reply.headers["x-gateway-version"], reply.headers["x-gateway-revision"]) == (str(highest), "0")


async def test_what_the_slab_counted_is_what_callers_counted(door: RealDoor) -> None:
    session = directly("digits", 1)
    good = as_request(session, feeds_of(session, 1, iter([1.0] * 64)))
    door.adoption.want(Mark("a", 3, "d"), compiled({"1": 1, "2": 1}, model="digits"))
    before = door.counted()

    replies = [await door.infer("digits", good) for _ in range(60)]
    replies += [await door.infer("digits", {**good, "inputs": []}) for _ in range(20)]
    after = door.counted()

    assert {reply.headers["x-gateway-version"] for reply in replies} == {"1", "2"}
    for version in ("1", "2"):
        mine = [reply.status for reply in replies if reply.headers["x-gateway-version"] == version]
        key = ("digits", version)
        grown = {
            outcome: after[key].get(outcome, 0) - before.get(key, {}).get(outcome, 0)
            for outcome in ("ok", "client_error")
        }
        assert grown == {"ok": mine.count(200), "client_error": mine.count(400)}
