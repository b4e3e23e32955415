"""Predictions over v1 follow the route as every other request does: fallback, pins, labels and keys."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.core.watching import Mark
from gateway.rest.request_head import RequestHead
from gateway.rest.v1_exchange import PredictionExchange
from tests.rest.door import FakeDoor, buggy, ours, raising
from tests.rest.test_v1_predict import predict
from tests.serving.fakes import LOADING, Gate, a_turn, compiled

if TYPE_CHECKING:
    from gateway.rest.exchange import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def fraud() -> FakeDoor:
    """Model ``fraud``: version 1 answers x + 100, version 2 fails, version 3 has a fault, 4 is twice x."""
    door = FakeDoor(timeout=20.0)
    for version, run in enumerate((lambda feeds: [feeds["x"] + 100], raising, buggy), start=1):
        door.floor.held.hold("fraud", version, run)
    door.floor.held.hold("fraud", 4)
    return door


def routed(door: FakeDoor, split: dict[str, int], *, revision: int = 7, **members: Any) -> None:
    mark = Mark("a", revision, f"{split}{members}{revision}")
    door.adoption.want(mark, compiled(split, **{"baseline": "1", **members}))


ONE = {"instances": [[1, 2]]}


async def test_a_failing_canary_is_answered_by_the_baseline(fraud: FakeDoor) -> None:
    routed(fraud, {"2": 1})

    reply = await predict(fraud, "fraud", ONE)

    assert (reply.status, reply.json) == (200, {"predictions": [[101.0, 102.0]]})
    assert (ours(reply), reply.headers["x-gateway-fallback-from"]) == (("1", "7", "split"), "2")
    assert fraud.outcomes(1) == ["ok"]


@pytest.mark.parametrize(
    ("pin", "status", "code"),
    [
        ("/versions/2", 500, "model_error"),
        ("/labels/canary", 500, "model_error"),
        ("/versions/3", 500, "gateway_error"),
        ("/versions/9", 404, "unknown_version"),
        ("/versions/latest", 404, "unknown_version"),
        ("/versions/01", 404, "unknown_version"),
        ("/labels/latest", 404, "unknown_alias"),
        ("/labels/champion", 404, "unknown_alias"),
        ("/labels/a\nb", 404, "unknown_alias"),
    ],
)
async def test_a_pin_never_falls_back(fraud: FakeDoor, pin: str, status: int, code: str) -> None:
    routed(fraud, {"1": 1, "2": 1})

    reply = await predict(fraud, "fraud", ONE, pin=pin)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert "x-gateway-fallback-from" not in reply.headers


async def test_an_unknown_model_is_refused_before_its_body_is_read(fraud: FakeDoor) -> None:
    for pin in ("", "/versions/1", "/labels/stable"):
        reply = await predict(fraud, "ghost", b"hello", pin=pin)

        assert (reply.status, reply.json["code"]) == (404, "unknown_model")


async def test_a_label_pins_as_a_number_does_and_names_both(fraud: FakeDoor) -> None:
    routed(fraud, {"1": 1, "4": 1}, aliases={"champion": "4"}, assign={"by": "header:x-user-id"})
    expected = {"stable": "1", "canary": "4", "champion": "4"}

    for label, version in expected.items():
        reply = await predict(fraud, "fraud", ONE, pin=f"/labels/{label}")

        assert ours(reply) == (version, "7", "pinned")
        assert reply.json == (await predict(fraud, "fraud", ONE, pin=f"/versions/{version}")).json


async def test_a_label_follows_the_route_from_one_request_to_the_next(fraud: FakeDoor) -> None:
    steps: list[tuple[dict[str, int], str, str]] = [
        ({"1": 9, "4": 1}, "1", "1"), ({"1": 1, "4": 9}, "4", "4"), ({"1": 1}, "1", "4")
    ]  # fmt: skip
    found = []

    for revision, (split, baseline, champion) in enumerate(steps, start=1):
        routed(fraud, split, revision=revision, baseline=baseline, aliases={"champion": champion})
        pins = [f"/labels/{label}" for label in ("stable", "canary", "champion")]
        found += [ours(await predict(fraud, "fraud", ONE, pin=pin))[:2] for pin in pins]

    assert found == [
        ("1", "1"), ("4", "1"), ("1", "1"), ("4", "2"), ("1", "2"), ("4", "2"), ("1", "3"), (None, None), ("4", "3"),
    ]  # fmt: skip


async def test_a_label_answers_under_one_revision_when_the_route_changes_under_its_body(fraud: FakeDoor) -> None:
    routed(fraud, {"1": 1}, revision=1, aliases={"champion": "1"})
    answered: list[Answer] = []
    head = RequestHead([], {})
    exchange = PredictionExchange(fraud.inference, "fraud", None, head, answered.append, label="champion")

    exchange.admit()
    routed(fraud, {"1": 1}, revision=2, aliases={"champion": "4"})
    exchange.take(json.dumps(ONE).encode())
    exchange.run()
    await a_turn()

    [answer] = answered
    assert answer.arm is not None
    assert dict(answer.arm.headers)[b"x-gateway-version"] == b"4"
    assert dict(answer.arm.headers)[b"x-gateway-revision"] == b"2"


async def test_a_version_that_only_an_alias_names_is_kept_loaded_and_delays_no_route(fraud: FakeDoor) -> None:
    fraud.floor.held.move("fraud", 4, LOADING)

    routed(fraud, {"1": 1}, aliases={"champion": "4"})
    reply = await predict(fraud, "fraud", ONE, pin="/labels/champion")

    assert fraud.floor.held.routed["fraud"] == {1, 4}
    assert (await predict(fraud, "fraud", ONE)).status == 200
    assert (reply.status, reply.json["code"]) == (503, "version_unavailable")
    assert "LOADING" in reply.json["error"]


async def test_what_the_route_that_serves_and_the_one_that_waits_alias_is_kept_loaded(fraud: FakeDoor) -> None:
    routed(fraud, {"1": 1}, aliases={"champion": "4"})
    fraud.floor.held.move("fraud", 2, LOADING)

    routed(fraud, {"1": 1, "2": 1}, revision=8, aliases={"champion": "3"})

    assert fraud.floor.held.routed["fraud"] == {1, 2, 3, 4}


async def test_a_caller_that_leaves_frees_its_place(fraud: FakeDoor) -> None:
    gate = Gate()
    fraud.floor.held.hold("slow", 1, gate, run_seconds=1.0)
    fraud.adoption.want(Mark("a", 1, "slow"), compiled({"1": 1}, model="slow"))
    leaves = asyncio.Event()

    asked = asyncio.create_task(fraud.ask("POST", "/v1/models/slow:predict", json.dumps(ONE).encode(), leaves=leaves))
    await gate.begun.wait()
    leaves.set()
    reply = await asked
    gate.open()

    assert reply.status == 0
    assert fraud.outcomes(1, "slow") == ["cancelled"]


async def test_the_key_of_a_user_is_read_where_the_route_says(fraud: FakeDoor) -> None:
    routed(fraud, {"1": 1, "4": 1}, assign={"by": "header:x-user-id"})
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}

    for number in range(40):
        user = [("x-user-id", f"user-{number}")]
        assert ours(await predict(fraud, "fraud", ONE, user)) == ours(await fraud.infer("fraud", body, user))
