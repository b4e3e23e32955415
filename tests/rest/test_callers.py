"""A bound for each caller, over both doors of HTTP and for v1: who is over it is refused, and nobody else is."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.core.callers import callers_within
from gateway.core.limits import DEFAULT
from gateway.rest.shortcut import BoundedFast, Fast, shortcut
from tests.rest.door import ROW, FakeDoor, Reply
from tests.rest.in_memory import REQUEST, connected
from tests.serving.fakes import a_turn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.core.limits import Limits
    from gateway.rest.shortcut import ShortCut
    from tests.rest.in_memory import Wire

    Ask = Callable[..., Awaitable[Sequence[Reply]]]

ONE = replace(DEFAULT, caller_in_flight=1)
BY_HEADER = replace(ONE, caller_header="x-user-id", caller_proxies=(ip_network("127.0.0.1"),))
GREEDY, MODEST = "127.0.0.1", "127.0.0.2"
V1 = json.dumps({"instances": [[1, 2]]}).encode()


def bounded(door: FakeDoor, limits: Limits) -> FakeDoor:
    door.inference.limits = limits
    door.inference.callers = callers_within(limits)
    return door


async def by_shortcut(door: FakeDoor, addresses: Sequence[str], sent: bytes = REQUEST) -> Sequence[Reply]:
    """Ask all at once, each over a connection of its own from its address, and return the answers in their order."""
    pairs = connected(door, len(addresses), limits=door.inference.limits)
    for (protocol, _), address in zip(pairs, addresses, strict=True):
        protocol.client = (address, 1)
        protocol.data_received(sent)
    await a_turn()
    return [answer_of(wire) for _, wire in pairs]


def answer_of(wire: Wire) -> Reply:
    head, _, body = b"".join(wire.written).partition(b"\r\n\r\n")
    top, *lines = head.split(b"\r\n")
    return Reply(int(top.split(b" ")[1]), [(n.lower(), v) for n, _, v in (x.partition(b": ") for x in lines)], body)


async def by_asgi(door: FakeDoor, addresses: Sequence[str], *, v1: bool = False) -> Sequence[Reply]:
    path, body = ("/v1/models/fraud:predict", V1) if v1 else ("/v2/models/fraud/infer", json.dumps(ROW).encode())
    asked = (door.ask("POST", path, body, [("x-user-id", "user-17")], address=each) for each in addresses)
    return await asyncio.gather(*asked)


WAYS = pytest.mark.parametrize(
    "ask", [by_shortcut, by_asgi, partial(by_asgi, v1=True)], ids=["short cut", "ASGI", "v1"]
)


@WAYS
async def test_who_has_as_many_under_way_as_it_may_is_refused_and_others_are_served(door: FakeDoor, ask: Ask) -> None:
    bounded(door, ONE)

    answers = await ask(door, [GREEDY, GREEDY, MODEST])

    assert [each.status for each in answers] == [200, 429, 200]
    refused = answers[1]
    assert refused.json["code"] == "too_many_requests"
    assert "1 requests under way in this worker" in refused.json["error"]
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-request-id"] == refused.json["request_id"]
    assert "connection" not in refused.headers


@WAYS
async def test_a_refusal_counts_against_no_version_and_names_no_caller(door: FakeDoor, ask: Ask) -> None:
    bounded(door, ONE)

    await ask(door, [GREEDY, GREEDY])

    assert door.outcomes(1) == ["ok"]
    assert door.outcomes("_none") == ["client_error"]
    assert door.inference.in_flight == 0


@WAYS
async def test_a_place_is_free_when_its_request_is_answered(door: FakeDoor, ask: Ask) -> None:
    bounded(door, ONE)

    answers = [each for _ in range(3) for each in await ask(door, [GREEDY])]

    assert [each.status for each in answers] == [200, 200, 200]


@WAYS
async def test_who_asks_more_often_than_it_may_is_refused_after_a_burst_of_one_second(door: FakeDoor, ask: Ask) -> None:
    bounded(door, replace(DEFAULT, caller_rate=3))
    now = door.inference.clock()
    door.inference.clock = lambda: now

    answers = [each for _ in range(5) for each in await ask(door, [GREEDY])]
    [other] = await ask(door, [MODEST])

    assert [each.status for each in answers] == [200, 200, 200, 429, 429]
    assert "more than the 3 requests a second" in answers[3].json["error"]
    assert other.status == 200


@WAYS
async def test_a_header_is_believed_of_a_proxy_only(door: FakeDoor, ask: Ask) -> None:
    bounded(door, BY_HEADER)  # all say that they are user-17; who comes from .2 may not say so, and is its address

    answers = await ask(door, [GREEDY, GREEDY, MODEST])

    assert [each.status for each in answers] == [200, 429, 200]


async def test_two_callers_behind_one_proxy_are_two(door: FakeDoor) -> None:
    bounded(door, BY_HEADER)

    asked = [
        door.ask("POST", "/v2/models/fraud/infer", json.dumps(ROW).encode(), [("x-user-id", user)], address=GREEDY)
        for user in ("ann", "bob", "ann")
    ]

    assert [each.status for each in await asyncio.gather(*asked)] == [200, 200, 429]


async def test_who_hangs_up_gives_its_place_back(door: FakeDoor) -> None:
    bounded(door, ONE)
    [(protocol, _)] = connected(door, 1, limits=ONE)
    protocol.client = (GREEDY, 1)
    protocol.data_received(REQUEST)
    protocol.connection_lost(None)

    assert [each.status for each in await by_shortcut(door, [GREEDY])] == [200]


async def test_a_refused_head_is_known_too_and_its_connection_goes_on(door: FakeDoor) -> None:
    bounded(door, replace(DEFAULT, caller_rate=2))
    now = door.inference.clock()
    door.inference.clock = lambda: now
    [(protocol, wire)] = connected(door, 1, limits=door.inference.limits)

    for _ in range(4):
        protocol.data_received(REQUEST)
        await a_turn()
    now += 1
    protocol.data_received(REQUEST)
    await a_turn()

    assert [int(each.split(b" ")[1]) for each in wire.written] == [200, 200, 429, 429, 200]


async def test_what_is_no_inference_is_bounded_by_nobody(door: FakeDoor) -> None:
    bounded(door, replace(DEFAULT, caller_rate=1))

    answers = [await door.ask("GET", "/v2/health/live", address=GREEDY) for _ in range(5)]

    assert {each.status for each in answers} == {200}


async def test_where_nobody_is_bounded_nothing_of_it_is_on_the_way(door: FakeDoor) -> None:
    def chosen() -> Any:
        return cast("type[ShortCut]", shortcut(door.inference, door.inference.limits)).exchange

    assert chosen() is Fast
    bounded(door, ONE)
    assert chosen() is BoundedFast
