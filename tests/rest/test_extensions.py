"""Triton's extensions over HTTP: the paths, what is read of an order, and how it is answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core import errors
from gateway.ports.metrics import VersionFigures
from tests.serving.fakes import FAILED

if TYPE_CHECKING:
    from tests.rest.door import FakeDoor

ORDERS = "/v2/repository/models"


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize(
    ("path", "query", "body", "version"),
    [
        ("fraud", b"", b"", None),
        ("fraud", b"", b"{}", None),
        ("fraud", b"", b'{"parameters":{"unload_dependents":false}}', None),
        ("fraud", b"", b'{"parameters":{"version":"2"}}', 2),
        ("fraud", b"version=2", b'{"parameters":{"unload_dependents":false}}', 2),
        ("fraud/versions/2", b"", b"", 2),
        ("fraud/versions/2", b"version=2", b'{"parameters":{"version":2}}', 2),
    ],
)
async def test_an_order_names_its_version_in_path_query_or_body(
    door: FakeDoor, verb: str, path: str, query: bytes, body: bytes, version: int | None
) -> None:
    reply = await door.ask("POST", f"{ORDERS}/{path}/{verb}", body, query=query)

    assert (reply.status, reply.json) == (200, {"name": "fraud", verb: True})
    assert reply.headers["content-type"] == "application/json"
    assert door.control.orders == [(verb, "fraud", version, "ann")]


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        (b"{", b"", 400, "invalid_json"),
        (b"[]", b"", 400, "invalid_json"),
        (b'{"a":1,"a":2}', b"", 400, "invalid_json"),
        (b'{"parameters":[]}', b"", 400, "invalid_parameter"),
        (b'{"parameters":{"config":"{}"}}', b"", 400, "unsupported_parameter"),
        (b'{"parameters":{"file:1/model.onnx":"AAAA"}}', b"", 400, "unsupported_parameter"),
        (b'{"parameters":{"version":1}}', b"version=2", 400, "invalid_parameter"),
        (b"", b"version=1&version=2", 400, "invalid_parameter"),
        (b"", b"version=latest", 404, "unknown_version"),
        (b" " * (1 << 20) + b"{}", b"", 413, "too_large"),
    ],
)
async def test_an_order_that_cannot_be_honoured_is_refused_and_not_given(
    door: FakeDoor, body: bytes, query: bytes, status: int, code: str
) -> None:
    reply = await door.ask("POST", f"{ORDERS}/fraud/load", body, query=query)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert door.control.orders == []


@pytest.mark.parametrize(
    ("error", "status"), [(errors.Forbidden("no"), 403), (errors.Unauthenticated("no"), 401)], ids=["403", "401"]
)
async def test_a_caller_is_turned_away_before_the_body_is_looked_at(
    door: FakeDoor, error: Exception, status: int
) -> None:
    door.control.turned_away = error

    reply = await door.ask("POST", f"{ORDERS}/fraud/load", b"{", [("authorization", "Bearer x")])

    assert reply.status == status
    assert door.control.callers[0].address == "127.0.0.1"
    assert door.control.callers[0].headers["authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.LoadFailed("fraud", 2, "bad_model: no graph"), 409),
        (errors.VersionInUse("fraud", 2, "the route gives it weight 5"), 409),
        (errors.StoreUnavailable("the store does not answer"), 503),
        (errors.VersionUnavailable("fraud", 2, "LOADING", "not done"), 503),
        (errors.UnknownModel("fraud"), 404),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_what_came_of_an_order_is_told_with_its_reason(door: FakeDoor, error: Exception, status: int) -> None:
    door.control.failure = error

    reply = await door.ask("POST", f"{ORDERS}/fraud/versions/2/load")

    assert (reply.status, reply.json["error"]) == (status, str(error))


@pytest.mark.parametrize("path", [f"{ORDERS}/fraud/load", f"{ORDERS}/fraud/versions/1/unload", "/v2/repository/index"])
async def test_an_order_is_a_post(door: FakeDoor, path: str) -> None:
    reply = await door.ask("GET", path)

    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_the_index_can_be_of_what_is_ready_only(door: FakeDoor) -> None:
    door.floor.held.move("fraud", 3, FAILED, "bad_model: no graph")

    ready = await door.ask("POST", "/v2/repository/index", b'{"ready":true}')
    wrong = await door.ask("POST", "/v2/repository/index", b'{"ready":"yes"}')

    assert [row["version"] for row in ready.json] == ["1", "2"]
    assert (wrong.status, wrong.json["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        ("/v2/models/stats", [("fraud", "1"), ("fraud", "2"), ("iris", "1")]),
        ("/v2/models/fraud/stats", [("fraud", "1"), ("fraud", "2")]),
        ("/v2/models/fraud/versions/2/stats", [("fraud", "2")]),
    ],
)
async def test_statistics_are_of_the_ready_versions_that_were_asked_for(
    door: FakeDoor, path: str, versions: list[tuple[str, str]]
) -> None:
    door.floor.held.hold("iris", 1)
    door.floor.held.move("fraud", 3, FAILED, "bad_model: no graph")
    door.figures["fraud", "2"] = VersionFigures(succeeded=5, rows=7)

    reply = await door.ask("GET", path)

    found = {(row["name"], row["version"]): row["inference_count"] for row in reply.json["model_stats"]}
    assert found == {key: 7 if key == ("fraud", "2") else 0 for key in versions}


@pytest.mark.parametrize("kind", ["stats", "config"])
@pytest.mark.parametrize(
    ("named", "status", "code"),
    [
        ("ghost", 404, "unknown_model"),
        ("fraud/versions/9", 404, "unknown_version"),
        ("fraud/versions/01", 404, "unknown_version"),
        ("fraud/versions/3", 503, "version_unavailable"),
    ],
)
async def test_statistics_and_configuration_are_of_what_is_there(
    door: FakeDoor, kind: str, named: str, status: int, code: str
) -> None:
    door.floor.held.move("fraud", 3, FAILED, "bad_model: no graph")

    reply = await door.ask("GET", f"/v2/models/{named}/{kind}")

    assert (reply.status, reply.json["code"]) == (status, code)


@pytest.mark.parametrize("path", ["/v2/models/fraud/config", "/v2/models/fraud/versions/2/config"])
async def test_a_configuration_has_the_signature_in_tritons_words(door: FakeDoor, path: str) -> None:
    reply = await door.ask("GET", path)

    pairs: dict[str, Any] = {"data_type": "TYPE_FP32", "dims": [-1, 2]}
    assert json.loads(reply.body) == {
        "name": "fraud",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": 0,
        "input": [{"name": "x", **pairs}],
        "output": [{"name": "y", **pairs}],
    }


async def test_a_model_that_is_out_of_service_is_unavailable_and_not_unknown(door: FakeDoor) -> None:
    door.floor.adoption.order("fraud", {0: "unload"})

    replies = [await door.ask("GET", f"/v2/models/fraud{path}") for path in ("", "/config")]

    assert [reply.status for reply in replies] == [503, 503]
