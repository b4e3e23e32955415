"""A bound for each caller over gRPC: who is over it is told so with a status of its own, and nobody else is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest

from gateway.core.limits import DEFAULT
from gateway.rpc.descriptors import MESSAGES
from tests.rpc.door import RpcDoor, message, numbers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BY_USER = replace(DEFAULT, caller_rate=2)


@pytest.fixture
async def door() -> AsyncIterator[RpcDoor]:
    door = RpcDoor(limits=BY_USER)
    now = door.inference.clock()
    door.inference.clock = lambda: now
    await door.open()
    yield door
    await door.close()


async def test_who_asks_more_often_than_it_may_is_refused(door: RpcDoor) -> None:
    calls = [await door.infer_message(message()) for _ in range(4)]

    assert [said.code for said in calls] == [grpc.StatusCode.OK] * 2 + [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
    assert calls[2].details.startswith("this caller asks this worker for more than the 2 requests a second")
    assert calls[2].metadata["x-request-id"]
    assert numbers(calls[0]) == [101.0, 102.0]


async def test_a_caller_is_the_same_over_both_protocols(door: RpcDoor) -> None:
    calls = [await door.infer_message(message()) for _ in range(2)]
    body = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'

    here = await door.ask("POST", "/v2/models/fraud/infer", body, address="127.0.0.1")
    there = await door.ask("POST", "/v2/models/fraud/infer", body, address="127.0.0.2")

    assert [said.code for said in calls] == [grpc.StatusCode.OK] * 2
    assert (here.status, there.status) == (429, 200)


async def test_a_refusal_counts_against_no_version_and_its_place_is_free(door: RpcDoor) -> None:
    await asyncio.gather(*(door.infer_message(message()) for _ in range(5)))

    assert door.outcomes(1) == ["ok", "ok"]
    assert door.outcomes("_none", "_unknown") == ["client_error"] * 3
    assert door.inference.in_flight == 0


async def test_what_is_no_inference_is_bounded_by_nobody(door: RpcDoor) -> None:
    calls = [await door.call("ServerLive", MESSAGES["ServerLiveRequest"]()) for _ in range(5)]

    assert {said.code for said in calls} == {grpc.StatusCode.OK}
