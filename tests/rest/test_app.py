"""The endpoints that describe: health, server, models, versions; and what is answered where nothing is."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import __version__
from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from tests.rest.door import FakeDoor
from tests.serving.fakes import FAILED, LOADING, UNLOADING, compiled, doubled

WIDE = Signature((TensorSpec("x", "FP32", (-1, 5)),), (TensorSpec("y", "FP32", (-1, 5)),))


@pytest.fixture
async def door() -> FakeDoor:
    """Model ``fraud``: versions 1 and 2 ready, 3 failed, 4 loading; the baseline is 1."""
    door = FakeDoor()
    door.floor.held.hold("fraud", 1)
    door.floor.held.hold("fraud", 2, doubled, signature=WIDE)
    door.floor.held.move("fraud", 3, FAILED, "bad_model: no graph")
    door.floor.held.move("fraud", 4, LOADING, "waiting")
    door.adoption.want(Mark("a", 7, "d"), compiled({"1": 1, "2": 1}, baseline="1"))
    return door


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_the_server_says_its_name_and_what_it_speaks(door: FakeDoor, path: str) -> None:
    reply = await door.ask("GET", path)

    assert reply.status == 200
    assert reply.json["name"] == "canary-gateway"
    assert reply.json["version"] == __version__
    assert reply.json["extensions"] == [
        "binary_tensor_data", "parameters", "schedule_policy", "model_repository", "model_configuration", "statistics",
    ]  # fmt: skip


async def test_the_server_is_live_while_it_can_answer(door: FakeDoor) -> None:
    reply = await door.ask("GET", "/v2/health/live")

    assert (reply.status, reply.json) == (200, {"live": True})


async def test_readiness_is_one_word_or_the_reasons(door: FakeDoor) -> None:
    ready = await door.ask("GET", "/v2/health/ready")
    door.floor.held.move("digits", 1, LOADING)
    not_ready = await door.ask("GET", "/v2/health/ready")

    assert (ready.status, ready.json) == (200, {"ready": True})
    assert (not_ready.status, not_ready.json) == (503, {"ready": False, "reasons": {"digits/1": "loading"}})


async def test_models_are_listed_by_name(door: FakeDoor) -> None:
    door.floor.held.hold("digits", 1)

    reply = await door.ask("GET", "/v2/models")

    assert reply.json == {"models": ["digits", "fraud"]}


async def test_metadata_without_a_version_describes_the_baseline(door: FakeDoor) -> None:
    reply = await door.ask("GET", "/v2/models/fraud")

    assert reply.json == {
        "name": "fraud",
        "versions": ["1", "2"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }


async def test_metadata_of_a_version_is_its_own(door: FakeDoor) -> None:
    reply = await door.ask("GET", "/v2/models/fraud/versions/2")

    assert reply.json["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 5]}]


@pytest.mark.parametrize(
    ("path", "status", "ready"),
    [
        ("/v2/models/fraud/ready", 200, True),
        ("/v2/models/fraud/versions/2/ready", 200, True),
        ("/v2/models/fraud/versions/3/ready", 503, False),
        ("/v2/models/fraud/versions/4/ready", 503, False),
    ],
)
async def test_a_model_and_each_version_say_whether_they_are_ready(
    door: FakeDoor, path: str, status: int, ready: bool
) -> None:
    reply = await door.ask("GET", path)

    assert (reply.status, reply.json) == (status, {"name": "fraud", "ready": ready})


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready":false}', b'{"repository_name":"x"}'])
async def test_the_index_has_a_row_per_version_with_the_protocols_states(door: FakeDoor, body: bytes) -> None:
    door.floor.held.move("fraud", 4, UNLOADING, "unloaded by operator")

    reply = await door.ask("POST", "/v2/repository/index", body)

    assert reply.status == 200
    rows = {row["version"]: (row["name"], row["state"], row["reason"]) for row in reply.json}
    assert rows == {
        "1": ("fraud", "READY", ""),
        "2": ("fraud", "READY", ""),
        "3": ("fraud", "UNAVAILABLE", "bad_model: no graph"),
        "4": ("fraud", "UNLOADING", "unloaded by operator"),
    }


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/models/ghost", "unknown_model"),
        ("/v2/models/ghost/ready", "unknown_model"),
        ("/v2/models/ghost/versions/1", "unknown_model"),
        ("/v2/models/FRAUD", "unknown_model"),
        ("/v2/models/..", "unknown_model"),
        ("/v2/models/fra\0ud", "unknown_model"),
        ("/v2/models/fraud\r\nx-evil: 1", "unknown_model"),
        ("/v2/models/%2e%2e", "unknown_model"),
        ("/v2/models/fraud/versions/9", "unknown_version"),
        ("/v2/models/fraud/versions/9/ready", "unknown_version"),
        ("/v2/models/fraud/versions/01", "unknown_version"),
        ("/v2/models/fraud/versions/latest", "unknown_version"),
        ("/v2/models/fraud/versions/" + "9" * 5000, "unknown_version"),
        ("/v2/models/fraud/", "unknown_path"),
        ("/v2/models/", "unknown_path"),
        ("/v2/models/../../etc/passwd", "unknown_path"),
        ("/v2/health", "unknown_path"),
        ("/v3", "unknown_path"),
    ],
)
async def test_what_is_not_there_is_not_found(door: FakeDoor, path: str, code: str) -> None:
    reply = await door.ask("GET", path)

    assert (reply.status, reply.json["code"]) == (404, code)
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/models/fraud/infer", {"POST"}),
        ("PUT", "/v2/models/fraud/infer", {"POST"}),
        ("DELETE", "/v2/models/fraud/versions/1/infer", {"POST"}),
        ("HEAD", "/v2/models/fraud/infer", {"POST"}),
        ("OPTIONS", "/v2/models/fraud/infer", {"POST"}),
        ("POST", "/v2/models/fraud", {"GET", "HEAD"}),
        ("POST", "/v2/health/ready", {"GET", "HEAD"}),
        ("GET", "/v2/repository/index", {"POST"}),
        ("BREW", "/v2", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_verb_is_told_the_right_ones(door: FakeDoor, method: str, path: str, allowed: set[str]) -> None:
    reply = await door.ask(method, path)

    assert (reply.status, reply.json["code"]) == (405, "wrong_verb")
    assert {verb.strip() for verb in reply.headers["allow"].split(",")} == allowed


@pytest.mark.parametrize(
    "path",
    ["/v2/models/fraud/infer\n", "/v2/models/fraud/infer/", "/v2/models/fraud/versions/1/infer\n", "/v2/models//infer",
     "/v2/models/fraud//infer", "/v2/models/a/b/infer"],
)  # fmt: skip
async def test_a_path_that_is_nearly_that_of_inference_is_not_found(door: FakeDoor, path: str) -> None:
    reply = await door.ask("POST", path, b"{}")

    assert reply.status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/models/ghost"), ("GET", "/v3"), ("PUT", "/v2"), ("POST", "/v2/models/fraud/versions/zero/infer")],
)
async def test_every_refusal_carries_a_request_id(door: FakeDoor, method: str, path: str) -> None:
    given = await door.ask(method, path, headers=[("x-request-id", "abc")])
    made = await door.ask(method, path)

    assert (given.headers["x-request-id"], given.json["request_id"]) == ("abc", "abc")
    assert made.headers["x-request-id"]
    assert made.json["request_id"] == made.headers["x-request-id"]
    assert isinstance(made.json["error"], str)


async def test_a_path_is_never_repeated_in_a_header(door: FakeDoor) -> None:
    reply = await door.ask("GET", "/v2/models/a\r\nx-evil: 1")

    assert all("evil" not in value for value in reply.headers.values())


async def test_what_is_not_http_is_left_alone(door: FakeDoor) -> None:
    sent: list[Any] = []

    await door._app({"type": "lifespan"}, None, sent.append)

    assert sent == []
