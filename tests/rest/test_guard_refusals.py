"""What the guard of a connection refuses is named and counted like any other refusal, once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.core.limits import DEFAULT
from tests.rest.door import FakeDoor, send_all_to
from tests.rest.in_memory import HEAD, connected

GET = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture
async def door() -> FakeDoor:
    made = FakeDoor()
    made.floor.held.hold("fraud", 1)
    send_all_to(made, 1)
    return made


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "invalid_http"),
        (GET + b"Host: b\r\n\r\n", 400, "repeated_header"),
        (GET + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431, "headers_too_large"),
    ],
)
async def test_a_refusal_has_an_id_and_is_counted_under_no_model(
    door: FakeDoor, sent: bytes, status: int, code: str
) -> None:
    [(protocol, wire)] = connected(door, 1)

    protocol.data_received(sent)

    [answer] = wire.written
    top, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(body)
    assert top.startswith(b"HTTP/1.1 %d " % status)
    assert said["code"] == code
    assert said["request_id"]
    assert b"\r\nx-request-id: %s" % said["request_id"].encode() in top
    assert door.outcomes("_none", "_unknown") == ["client_error"]


async def test_the_callers_own_id_is_used_where_it_was_read(door: FakeDoor) -> None:
    [(protocol, wire)] = connected(door, 1)

    protocol.data_received(GET + b"X-Request-Id: mine\r\nHost: b\r\n\r\n")

    assert b"\r\nx-request-id: mine\r\n" in wire.written[0]


async def test_a_connection_too_many_counts_as_overload(door: FakeDoor) -> None:
    [_, (_, wire)] = connected(door, 2, limits=replace(DEFAULT, connections=1))

    assert wire.written[0].startswith(b"HTTP/1.1 503 ")
    assert door.outcomes("_none", "_unknown") == ["overload"]


async def test_a_request_that_was_begun_is_counted_once(door: FakeDoor) -> None:
    [(protocol, wire)] = connected(door, 1)
    protocol.data_received(HEAD % 1000)

    protocol._late()

    assert wire.written[0].startswith(b"HTTP/1.1 408 ")
    assert door.outcomes("_none") == ["cancelled"]
    assert door.outcomes("_none", "_unknown") == []
