"""One request through the whole inference port: its answer, its id, its key, its revision."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.core.watching import Mark
from tests.rest.door import ROW, FakeDoor, ours, request, send_all_to, tensor
from tests.serving.fakes import compiled


async def test_an_answer_says_who_gave_it(door: FakeDoor) -> None:
    reply = await door.infer("fraud", {**ROW, "id": "mine"})

    assert reply.status == 200
    assert reply.json == {
        "model_name": "fraud",
        "model_version": "1",
        "id": "mine",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [101.0, 102.0]}],
    }
    assert ours(reply) == ("1", "7", "split")
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert "x-gateway-fallback-from" not in reply.headers


async def test_a_version_that_the_path_names_answers_whatever_the_route_says(door: FakeDoor) -> None:
    reply = await door.infer("fraud", ROW, version=2)

    assert reply.json["outputs"][0]["data"] == [2.0, 4.0]
    assert reply.json["model_version"] == "2"
    assert ours(reply) == ("2", "7", "pinned")


async def test_callers_at_the_same_time_each_get_their_own_row(door: FakeDoor) -> None:
    rows = [request(tensor("x", "FP32", (1, 2), [number, 0]), id=str(number)) for number in range(50)]

    replies = await asyncio.gather(*(door.infer("fraud", row) for row in rows))

    assert [(reply.json["id"], reply.json["outputs"][0]["data"][0]) for reply in replies] == [
        (str(number), number + 100.0) for number in range(50)
    ]
    assert max(door.floor.held.sessions["fraud", 1].rows) > 1


async def test_requested_outputs_filter_the_answer_of_the_version_that_answers(door: FakeDoor) -> None:
    named = await door.infer("fraud", {**ROW, "outputs": [{"name": "y"}]})
    unknown = await door.infer("fraud", {**ROW, "outputs": [{"name": "z"}]})

    assert [output["name"] for output in named.json["outputs"]] == ["y"]
    assert (unknown.status, unknown.json["code"]) == (400, "unknown_output")


async def test_a_body_in_pieces_is_read_whole(door: FakeDoor) -> None:
    body = json.dumps(ROW).encode()

    reply = await door.ask("POST", "/v2/models/fraud/infer", [body[:10], b"", body[10:30], body[30:]])

    assert reply.status == 200


async def test_the_rule_that_decided_is_named(door: FakeDoor) -> None:
    rule = {"when": {"header:x-tenant": ["acme"]}, "split": {"2": 1}}
    send_all_to(door, 1, rules=[rule])

    reply = await door.infer("fraud", ROW, [("x-tenant", "acme")])

    assert ours(reply) == ("2", "7", "rule-1")


@pytest.mark.parametrize(
    ("by", "how"),
    [
        ("header:x-user", {"headers": [("x-user", "u")]}),
        ("cookie:user", {"headers": [("cookie", "a=b; user=u")]}),
        ("query:user", {"query": b"user=%75"}),
        ("parameter:user", {"body": {**ROW, "parameters": {"user": "u"}}}),
    ],
)
async def test_a_user_is_found_wherever_the_route_looks_and_stays_with_a_version(
    door: FakeDoor, by: str, how: dict[str, Any]
) -> None:
    door.adoption.want(Mark("a", 8, "s"), compiled({"1": 1, "2": 1}, assign={"by": by, "salt": "s"}))
    body = json.dumps(how.get("body", ROW)).encode()

    replies = [
        await door.ask("POST", "/v2/models/fraud/infer", body, how.get("headers", ()), query=how.get("query", b""))
        for _ in range(20)
    ]

    assert {reply.headers["x-gateway-version"] for reply in replies} == {
        str(door.table.route("fraud").routing.explain(b"u", lambda *_: ()).version)
    }


async def test_two_different_keys_in_one_request_are_refused(door: FakeDoor) -> None:
    send_all_to(door, 1, assign={"by": "header:x-user"})

    reply = await door.infer("fraud", ROW, [("x-user", "ann"), ("x-user", "bob")])

    assert (reply.status, reply.json["code"]) == (400, "ambiguous_key")


@pytest.mark.parametrize("given", ["abc", "a%0d%0ab", "x" * 128, "with blanks ~"])
async def test_a_printable_request_id_is_kept_on_answers_and_on_errors(door: FakeDoor, given: str) -> None:
    good = await door.infer("fraud", {**ROW, "id": "of the body"}, [("x-request-id", given)])
    bad = await door.infer("ghost", ROW, [("x-request-id", given)])

    assert (good.headers["x-request-id"], good.json["id"]) == (given, "of the body")
    assert (bad.headers["x-request-id"], bad.json["request_id"]) == (given, given)


@pytest.mark.parametrize("given", [b"", b"a\tb", b"x" * 129, "\U0001f600".encode(), b"a\xff"])
async def test_any_other_request_id_is_replaced_by_one_of_ours(door: FakeDoor, given: bytes) -> None:
    reply = await door.infer("fraud", ROW, [("x-request-id", given)])

    assert reply.status == 200
    assert reply.headers["x-request-id"].isascii()
    assert 0 < len(reply.headers["x-request-id"]) <= 128
    assert reply.headers["x-request-id"].encode() != given


async def test_without_an_id_in_the_body_the_answer_carries_the_request_id(door: FakeDoor) -> None:
    absent = await door.infer("fraud", ROW, [("x-request-id", "abc")])
    empty = await door.infer("fraud", {**ROW, "id": ""}, [("x-request-id", "abc")])

    assert (absent.json["id"], empty.json["id"]) == ("abc", "abc")


async def test_an_id_of_the_body_never_becomes_a_header(door: FakeDoor) -> None:
    reply = await door.infer("fraud", {**ROW, "id": "日本" + "x" * 1000})

    assert reply.json["id"] == "日本" + "x" * 1000
    assert reply.headers["x-request-id"].isascii()
    assert len(reply.headers["x-request-id"]) <= 128


async def test_request_ids_of_ours_are_never_given_twice(door: FakeDoor) -> None:
    replies = [await door.infer("fraud", ROW) for _ in range(100)]

    assert len({reply.headers["x-request-id"] for reply in replies}) == 100


async def test_one_request_sees_one_revision_while_the_route_flips(door: FakeDoor) -> None:
    legal = {(str(revision), str(1 + revision % 2)) for revision in range(200)}
    seen: list[tuple[str, str, str]] = []

    async def calls() -> None:
        for _ in range(100):
            reply = await door.infer("fraud", ROW)
            headers = reply.headers
            seen.append((headers["x-gateway-revision"], headers["x-gateway-version"], reply.json["model_version"]))

    async def flips() -> None:
        for revision in range(8, 200):
            send_all_to(door, 1 + revision % 2, revision=revision)
            await asyncio.sleep(0)

    send_all_to(door, 2, revision=7)
    await asyncio.gather(*(calls() for _ in range(20)), flips())

    assert len(seen) == 2000
    assert len({revision for revision, _, _ in seen}) > 5
    assert {(revision, version) for revision, version, _ in seen} <= legal
    assert all(version == of_the_body for _, version, of_the_body in seen)


async def test_a_draining_worker_closes_each_connection_with_its_answer(door: FakeDoor) -> None:
    before = await door.infer("fraud", ROW)
    door.inference.closing = True

    after = await door.infer("fraud", ROW)

    assert ("connection" in before.headers, after.headers["connection"]) == (False, "close")
