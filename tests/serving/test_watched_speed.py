"""What a rollout costs a request. Bounds are wide, for machines that do other things too; figures are in the docs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.core.watching import Mark
from gateway.serving.dispatch import Attempt
from gateway.serving.retries import RetryBudget
from gateway.serving.watched import start_watched
from tests.serving.fakes import FAR, Floor, compiled, nothing, pairs
from tests.serving.test_watched import arm_of, serve

if TYPE_CHECKING:
    from gateway.serving.live import Arm

ROUNDS = 9
REQUESTS = 500
MORE_MICROSECONDS = 6.0
"""Measured: 1 µs."""


async def microseconds(arm: Arm) -> float:
    """Return what one request through *arm* takes, the best of some rounds."""
    given = ((pairs(1),), 1, FAR, lambda arm, result: None, RetryBudget(lambda: 1))
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(REQUESTS):
            if arm.watched is None:
                Attempt(arm, *given)
            else:
                start_watched(arm, arm.watched, *given, nothing)
            arm.lane._flush()
        best = min(best, (time.perf_counter() - began) / REQUESTS)
        await asyncio.sleep(0)
    return best * 1e6


async def test_a_rollout_costs_a_request_a_few_microseconds_at_most() -> None:
    plain, watched = Floor(), Floor()
    plain.held.hold("fraud", 1)
    plain.held.hold("fraud", 2)
    plain.adoption.want(Mark("a", 1, "d"), compiled({"1": 50, "2": 50}, baseline="1"))
    serve(watched)

    more = {v: await microseconds(arm_of(watched, v)) - await microseconds(arm_of(plain, v)) for v in (1, 2)}

    assert max(more.values()) < MORE_MICROSECONDS, more
