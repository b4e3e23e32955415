"""What a rollout costs a request. Bounds are wide, for machines that do other things too; figures are in the docs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gateway.core.watching import Mark
from gateway.serving.dispatch import Attempt
from gateway.serving.retries import RetryBudget
from gateway.serving.watched import start_watched
from tests.serving.fakes import FAR, Floor, compiled, pairs
from tests.serving.test_watched import arm_of, serve

if TYPE_CHECKING:
    from gateway.serving.jobs import Result
    from gateway.serving.live import Arm

ROUNDS = 40
REQUESTS = 100
MORE_MICROSECONDS = 9.0
"""Measured on a busy machine: 5 µs, two of them for the time of the run."""


def quietly(arm: Arm, result: Result) -> None:
    """Take an ending."""


def microseconds(arm: Arm) -> float:
    """Return what one request through *arm* takes, the mean of one round."""
    given = ((pairs(1),), 1, FAR, quietly, RetryBudget(lambda: 1))
    began = time.perf_counter()
    for _ in range(REQUESTS):
        if arm.watched is None:
            Attempt(arm, *given)
        else:
            start_watched(arm, arm.watched, *given, None)
        arm.lane._flush()
    return (time.perf_counter() - began) / REQUESTS * 1e6


@pytest.mark.parametrize("version", [1, 2])
async def test_a_rollout_costs_a_request_a_few_microseconds_at_most(version: int) -> None:
    plain, watched = Floor(), Floor()
    plain.held.hold("fraud", 1)
    plain.held.hold("fraud", 2)
    plain.adoption.want(Mark("a", 1, "d"), compiled({"1": 50, "2": 50}, baseline="1"))
    serve(watched)
    without, within = arm_of(plain, version), arm_of(watched, version)

    rounds = []
    for _ in range(ROUNDS):
        rounds.append((microseconds(without), microseconds(within)))
        await asyncio.sleep(0)

    cost = min(second for _, second in rounds) - min(first for first, _ in rounds)
    assert cost < MORE_MICROSECONDS
