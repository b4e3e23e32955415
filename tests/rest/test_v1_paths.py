"""The v1 paths that describe, and the order of answers on one connection that speaks both protocols."""

from __future__ import annotations

import json

import pytest

from gateway.core.versions import VersionState
from gateway.core.watching import Mark
from gateway.rest.v1 import DATATYPES, STATES
from gateway.serving.codec import DTYPES
from tests.rest.door import FakeDoor, send_all_to
from tests.rest.test_both_doors import BODY, INFER, Listening, post
from tests.serving.fakes import FAILED, LOADING, UNLOADING, compiled

OK = {"error_code": "OK", "error_message": ""}
PREDICT = "/v1/models/fraud:predict"
ROW = json.dumps({"instances": [[1, 2]]}).encode()


async def test_the_root_says_that_it_is_alive(door: FakeDoor) -> None:
    reply = await door.ask("GET", "/")

    assert (reply.status, reply.json) == (200, {"status": "alive"})
    assert reply.headers["content-type"] == "application/json"


async def test_the_models_are_listed(door: FakeDoor) -> None:
    assert (await door.ask("GET", "/v1/models")).json == {"models": ["fraud"]}


async def test_a_model_is_described_in_the_words_of_both_protocols(door: FakeDoor) -> None:
    door.floor.held.move("fraud", 3, FAILED, "bad file")

    reply = await door.ask("GET", "/v1/models/fraud")

    assert (reply.status, reply.json["name"], reply.json["ready"]) == (200, "fraud", True)
    assert reply.json["model_version_status"] == [
        {"version": "1", "state": "AVAILABLE", "status": OK},
        {"version": "2", "state": "AVAILABLE", "status": OK},
        {"version": "3", "state": "END", "status": {"error_code": "INTERNAL", "error_message": "bad file"}},
    ]
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "version"), [("/versions/2", "2"), ("/labels/stable", "1"), ("/labels/canary", "2"), ("/labels/a", "2")]
)
async def test_one_version_is_described_by_its_number_or_a_label(door: FakeDoor, path: str, version: str) -> None:
    route = compiled({"1": 1, "2": 1}, baseline="1", aliases={"a": "2"})
    door.adoption.want(Mark("a", 8, "both"), route)

    status = await door.ask("GET", f"/v1/models/fraud{path}")
    metadata = await door.ask("GET", f"/v1/models/fraud{path}/metadata")

    assert status.json["model_version_status"] == [{"version": version, "state": "AVAILABLE", "status": OK}]
    assert metadata.json["model_spec"]["version"] == version


@pytest.mark.parametrize(("state", "word"), [(LOADING, "LOADING"), (UNLOADING, "UNLOADING"), (FAILED, "END")])
async def test_a_version_that_is_not_ready_is_503_and_says_so(door: FakeDoor, state: VersionState, word: str) -> None:
    door.floor.held.move("fraud", 2, state)

    reply = await door.ask("GET", "/v1/models/fraud/versions/2")

    assert (reply.status, reply.json["ready"]) == (503, False)
    assert reply.json["model_version_status"][0]["state"] == word


async def test_the_metadata_is_that_of_the_baseline_in_the_words_of_tensorflow(door: FakeDoor) -> None:
    shape = {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": False}

    reply = await door.ask("GET", "/v1/models/fraud/metadata")

    assert reply.json == {
        "model_spec": {"name": "fraud", "signature_name": "", "version": "1"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"x": {"name": "x", "dtype": "DT_FLOAT", "tensor_shape": shape}},
                        "outputs": {"y": {"name": "y", "dtype": "DT_FLOAT", "tensor_shape": shape}},
                        "method_name": "tensorflow/serving/predict",
                    }
                }
            }
        },
    }


def test_every_state_and_every_datatype_has_its_word() -> None:
    assert set(STATES) == set(VersionState)
    assert set(DATATYPES) == set(DTYPES)


@pytest.mark.parametrize("pin", ["", "/versions/1", "/labels/stable"])
@pytest.mark.parametrize("verb", ["classify", "regress", "explain"])
async def test_what_only_others_offer_is_501(door: FakeDoor, verb: str, pin: str) -> None:
    reply = await door.ask("POST", f"/v1/models/fraud{pin}:{verb}", b"{}")

    assert (reply.status, reply.json["code"]) == (501, "not_offered")
    assert set(reply.json) == {"error", "code", "request_id"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [PREDICT, "/v1/models/fraud/versions/1:predict", "/v1/models/fraud:explain"])
async def test_another_verb_is_405_and_is_told_the_right_one(door: FakeDoor, method: str, path: str) -> None:
    reply = await door.ask(method, path)

    assert (reply.status, reply.json["code"], reply.headers["allow"]) == (405, "wrong_verb", "POST")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/models/ghost", "unknown_model"),
        ("GET", "/v1/models/ghost/metadata", "unknown_model"),
        ("GET", "/v1/models/ghost/labels/stable", "unknown_model"),
        ("GET", "/v1/models/fraud:nonsense", "unknown_model"),
        ("GET", "/v1/models/fraud/versions/9", "unknown_version"),
        ("GET", "/v1/models/fraud/versions/9/metadata", "unknown_version"),
        ("GET", "/v1/models/fraud/versions/latest", "unknown_version"),
        ("GET", "/v1/models/fraud/labels/champion", "unknown_alias"),
        ("GET", "/v1/models/fraud/labels/canary", "unknown_alias"),
        ("POST", "/v1/models/fraud/versions/0:predict", "unknown_version"),
        ("POST", "/v1/models/fraud/versions/-1:predict", "unknown_version"),
        ("GET", "/v1/models/:predict", "unknown_model"),
        ("POST", "/v1/models/fraud:nonsense", "unknown_path"),
        ("GET", "/v1", "unknown_path"),
        ("GET", "/v1/models/", "unknown_path"),
    ],
)
async def test_what_is_not_there_is_404(door: FakeDoor, method: str, path: str, code: str) -> None:
    reply = await door.ask(method, path, ROW)

    assert (reply.status, reply.json["code"]) == (404, code)


@pytest.mark.parametrize("protocol", ["plain", "short cut"])
async def test_requests_of_both_protocols_are_answered_in_order_on_one_connection(protocol: str) -> None:
    listening = Listening(protocol)
    send_all_to(listening, 1)
    form = "Content-Type: application/x-www-form-urlencoded"
    try:
        replies = await listening.send(
            post(), post(PREDICT, ROW), post(INFER, BODY), post(PREDICT, b"{"), post(PREDICT, ROW, form)
        )
    finally:
        await listening.close()

    assert [reply.status for reply in replies] == [200, 200, 200, 400, 200]
    assert replies[1].json == replies[4].json == {"predictions": [[101.0, 102.0]]}
    assert replies[2].json["outputs"][0]["data"] == [101.0, 102.0]
