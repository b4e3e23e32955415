"""What a request in JSON may cost, in calls of Python functions: a count that no noisy machine can move.

Where it fails, a feature put work on the way of every request. Resolve it when the route changes, do it once for a
batch, or raise the budget in the change that says what it buys: a call costs 0.2 to 0.5 µs of about 60.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

import gateway
from gateway.rest.known_heads import KnownHeads
from gateway.serving.cpu_time import MEASURED_EVERY
from tests.rest.door import FakeDoor, send_all_to
from tests.rest.in_memory import REQUEST, connected
from tests.rest.wire import LENGTH, packed, sent
from tests.serving.fakes import a_turn, pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

JOINED = 31
"""The most calls per request where sixteen share a run, which adds two to each. Its head came before."""

ALONE = 40
"""The most calls of a request that runs alone. Its head came before."""

NEW = 14
"""What a head that did not come before adds to either."""

BINARY = 71
"""The most calls of a request with a binary tensor, alone. Its head came before."""

ROUNDS = 5

WARM = 2 * MEASURED_EVERY + 2
"""Ticks before any is counted: what is made at first requests is made then, and the processor's time was just read, as
it is in one batch of MEASURED_EVERY."""

OURS = tuple(str(Path(str(module.__file__)).parent) for module in (gateway, uvicorn))


class Memory:
    """Stands in for the memory of what was served, at the end of what it takes."""

    room = 0

    def __init__(self) -> None:
        self.skipped: Counter[tuple[str, int]] = Counter()


@pytest.fixture
async def door() -> FakeDoor:
    made = FakeDoor()
    made.floor.held.hold("fraud", 1)
    send_all_to(made, 1, assign={"by": "header:x-user-id"})
    made.inference.memory = Memory()  # type: ignore[assignment] # it is never asked to remember
    return made


async def calls(door: FakeDoor, many: int, request: bytes) -> float:
    """Return how many calls of ours one of *many* requests of a tick takes; the answers are seen to be right."""
    connections = connected(door, many)
    for _ in range(WARM):
        await tick(connections, request)
    counted = await counting(lambda: tick(connections, request))
    answers = [each for _, wire in connections for each in wire.written]
    assert len(answers) == many * (ROUNDS + WARM)
    assert all(each.startswith(b"HTTP/1.1 200 ") for each in answers)
    return counted.total() / many / ROUNDS


async def tick(connections: Any, request: bytes) -> None:
    for protocol, _ in connections:
        protocol.data_received(request)
    await a_turn()


async def counting(what: Callable[[], Any]) -> Counter[str]:
    """Return how often each function of ours is called by ROUNDS times *what*."""
    counted: Counter[str] = Counter()

    def see(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            counted[frame.f_code.co_qualname] += 1

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        for _ in range(ROUNDS):
            await what()
    finally:
        sys.setprofile(before)
    return counted


async def test_requests_that_share_a_run_stay_within_their_budget_of_calls(door: FakeDoor) -> None:
    assert await calls(door, 16, REQUEST) <= JOINED


async def test_a_request_that_runs_alone_stays_within_its_budget_of_calls(door: FakeDoor) -> None:
    assert await calls(door, 1, REQUEST) <= ALONE


async def test_a_head_that_is_new_stays_within_its_budget_of_calls(
    door: FakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KnownHeads, "came", lambda *_: None)

    assert await calls(door, 16, REQUEST) <= JOINED + NEW
    assert await calls(door, 1, REQUEST) <= ALONE + NEW


async def test_a_binary_request_stays_within_its_budget_of_calls(door: FakeDoor) -> None:
    body, [(_, length)] = packed({"inputs": [sent("x", pairs(1.0))]})
    head = b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: here\r\n%s: %s\r\nContent-Length: %d\r\n\r\n"

    assert await calls(door, 1, head % (LENGTH.encode(), length.encode(), len(body)) + body) <= BINARY


async def test_a_latency_target_costs_calls_per_run_and_none_per_request(door: FakeDoor) -> None:
    without = await calls(door, 16, REQUEST)
    aiming = FakeDoor()
    aiming.floor.held.hold("fraud", 1, latency_target_ms=60_000)
    send_all_to(aiming, 1, assign={"by": "header:x-user-id"})
    aiming.inference.memory = Memory()  # type: ignore[assignment] # as above

    assert await calls(aiming, 16, REQUEST) == pytest.approx(without + 3 / 16)


async def test_rules_that_ask_for_what_is_missing_cost_one_look_together(door: FakeDoor) -> None:
    without = await calls(door, 16, REQUEST)
    ruled = FakeDoor()
    ruled.floor.held.hold("fraud", 1)
    rules = [{"when": {"header:x-tenant": f"tenant-{at}"}, "split": {"1": 1}} for at in range(5)]
    send_all_to(ruled, 1, assign={"by": "header:x-user-id"}, rules=rules)
    ruled.inference.memory = Memory()  # type: ignore[assignment] # as above

    assert await calls(ruled, 16, REQUEST) <= without + 3


async def test_a_call_more_per_request_is_seen(door: FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await calls(door, 16, REQUEST)
    request_id, clock = door.inference.request_id, door.inference.clock
    monkeypatch.setattr(door.inference, "clock", lambda: (request_id(None), clock())[1])

    assert await calls(door, 16, REQUEST) == pytest.approx(before + 1)
