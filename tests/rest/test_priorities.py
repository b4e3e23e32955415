"""The parameter ``priority`` over HTTP; its order among those that wait is ``tests/serving/test_slow_lanes.py``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.rest.door import ROW, FakeDoor
from tests.serving.fakes import SLOW, Gate


@pytest.mark.parametrize("priority", [-1, 1.0, True, "1", 2**32])
async def test_a_priority_that_is_no_whole_number_is_refused(door: FakeDoor, priority: Any) -> None:
    reply = await door.infer("fraud", {**ROW, "parameters": {"priority": priority}})

    assert (reply.status, reply.json["code"]) == (400, "invalid_priority")


async def test_an_urgent_request_is_answered_before_those_that_came_earlier() -> None:
    door, gate, order = FakeDoor(), Gate(), list[str]()
    door.floor.held.hold("fraud", 3, gate, run_seconds=SLOW)

    async def ask(called: str, **parameters: int) -> None:
        reply = await door.infer("fraud", {**ROW, "parameters": parameters}, version=3)
        order.append(called)
        assert reply.status == 200

    tasks = [asyncio.create_task(ask("first"))]
    await gate.begun.wait()
    door.floor.lane(3).queue.max_rows = 1  # one request per run, so that their order shows
    tasks += [asyncio.create_task(ask("plain")), asyncio.create_task(ask("urgent", priority=1))]
    async with asyncio.timeout(10):
        while len(door.floor.lane(3).queue.jobs) < 2:  # noqa: ASYNC110 - a queue is no event
            await asyncio.sleep(0.01)
    gate.open()
    await asyncio.gather(*tasks)

    assert order == ["first", "urgent", "plain"]
