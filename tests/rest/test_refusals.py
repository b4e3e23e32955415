"""What the inference port refuses, and how it keeps deadlines."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.rest.door import ROW, FakeDoor, ours
from tests.serving.fakes import FAILED, LOADING, SLOW, Gate


@pytest.mark.parametrize(
    ("model", "version", "code"),
    [("ghost", None, "unknown_model"), ("ghost", 1, "unknown_model"), ("fraud", 9, "unknown_version")],
)
async def test_an_unknown_model_or_version_is_refused_before_the_body_is_read(
    door: FakeDoor, model: str, version: int | None, code: str
) -> None:
    reply = await door.infer(model, b"not even JSON", version=version)

    assert (reply.status, reply.json["code"]) == (404, code)


@pytest.mark.parametrize("version", ["0", "-1", "01", "1.0", "1e3", "latest", "9223372036854775808", "1 "])
async def test_a_version_segment_that_is_no_version_is_unknown(door: FakeDoor, version: str) -> None:
    reply = await door.infer("fraud", ROW, version=version)

    assert (reply.status, reply.json["code"]) == (404, "unknown_version")


@pytest.mark.parametrize("state", [FAILED, LOADING])
async def test_a_pinned_version_that_is_not_ready_says_which_state_it_is_in(door: FakeDoor, state: Any) -> None:
    door.floor.held.move("fraud", 2, state, "some reason")

    reply = await door.infer("fraud", ROW, version=2)

    assert (reply.status, reply.json["code"]) == (503, "version_unavailable")
    assert state.value in reply.json["error"]
    assert reply.headers["retry-after"] == "1"


async def test_a_model_whose_versions_are_all_loading_is_not_unknown(door: FakeDoor) -> None:
    door.floor.held.move("digits", 1, LOADING)

    reply = await door.infer("digits", ROW)

    assert (reply.status, reply.json["code"]) == (503, "version_unavailable")


@pytest.mark.parametrize(
    "declared",
    [None, "application/json", "application/json; charset=UTF-8", "application/octet-stream",
     "application/x-www-form-urlencoded", "APPLICATION/JSON"],
)  # fmt: skip
async def test_json_is_read_under_what_real_clients_call_it(door: FakeDoor, declared: str | None) -> None:
    reply = await door.infer("fraud", ROW, [("content-type", declared)] if declared else [])

    assert reply.status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", "text/plain"),
        ("content-type", "text/xml"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-encoding", "br"),
        ("content-encoding", "gzip, gzip"),
    ],
)
async def test_a_foreign_kind_of_body_is_refused(door: FakeDoor, name: str, value: str) -> None:
    reply = await door.infer("fraud", ROW, [(name, value)])

    assert (reply.status, reply.json["code"]) == (415, "unsupported_media_type")


async def test_a_body_that_declares_too_much_is_refused_before_a_byte_is_read(door: FakeDoor) -> None:
    reply = await door.ask("POST", "/v2/models/fraud/infer", [], [("content-length", "10001")])

    assert (reply.status, reply.json["code"]) == (413, "too_large")


async def test_a_body_that_grows_over_the_limit_is_refused_on_the_way(door: FakeDoor) -> None:
    reply = await door.ask("POST", "/v2/models/fraud/infer", [b" " * 4000] * 3 + [b"never read"])

    assert (reply.status, reply.json["code"]) == (413, "too_large")


@pytest.mark.parametrize(("blanks", "status"), [(0, 200), (1, 413)])
async def test_the_limit_itself_is_allowed(door: FakeDoor, blanks: int, status: int) -> None:
    body = json.dumps(ROW).encode()
    body += b" " * (10_000 - len(body) + blanks)

    reply = await door.infer("fraud", body)

    assert reply.status == status


@pytest.mark.parametrize("given", ["0", "-1", "NaN", "1e99", "5m", "", "1.5", "+1", "9" * 10])
async def test_a_deadline_that_is_no_number_of_milliseconds_is_refused(door: FakeDoor, given: str) -> None:
    reply = await door.infer("fraud", ROW, [("x-request-timeout-ms", given)])

    assert (reply.status, reply.json["code"]) == (400, "invalid_timeout")


@pytest.mark.parametrize("given", [0, -1, 1.5, True, "100"])
async def test_a_timeout_parameter_that_is_no_number_of_microseconds_is_refused(door: FakeDoor, given: Any) -> None:
    reply = await door.infer("fraud", {**ROW, "parameters": {"timeout": given}})

    assert (reply.status, reply.json["code"]) == (400, "invalid_timeout")


@pytest.mark.parametrize(("header", "parameter"), [("50", None), ("50", 20_000_000), ("20000", 50_000), (None, 50_000)])
async def test_the_earlier_of_both_deadlines_counts(door: FakeDoor, header: str | None, parameter: int | None) -> None:
    gate = Gate()
    door.floor.held.hold("fraud", 1, gate, run_seconds=SLOW)
    door.adoption.settle()
    headers = [("x-request-timeout-ms", header)] if header else []
    body = {**ROW, "parameters": {"timeout": parameter}} if parameter else ROW
    loop = asyncio.get_running_loop()
    began = loop.time()

    reply = await door.infer("fraud", body, headers)
    took = loop.time() - began
    gate.open()

    assert (reply.status, reply.json["code"]) == (504, "deadline_exceeded")
    assert 0.049 <= took < 1.0
    assert ours(reply) == ("1", "7", "split")
    assert door.outcomes(1) == ["timeout"]
