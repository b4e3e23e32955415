"""A failing arm is answered for by the baseline: who answered, who failed, what is counted, and by when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import DeadlineExceeded, ModelFailed, Overloaded, VersionUnavailable
from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from tests.serving.fakes import (
    FAILED,
    SLOW,
    TAKES_ANY_WIDTH,
    Caller,
    Dispatched,
    Floor,
    Gate,
    a_turn,
    compiled,
    nothing,
    pairs,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.engine import Tensor
    from gateway.serving.live import Arm
    from tests.serving.fakes import Run


def raising(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    raise ModelFailed("fraud", 2, "it always does")


def not_a_number(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    return [feeds["x"] * np.nan]


def all_to_the_canary(floor: Floor, canary: Run, *, run_seconds: float = 0.0, **members: Any) -> Arm:
    """Return the arm of a request under a route that sends everything to version 2 and falls back to 1."""
    floor.held.hold("fraud", 1, lambda feeds: [feeds["x"] + 100])
    floor.held.hold("fraud", 2, canary, run_seconds=run_seconds)
    floor.adoption.want(Mark("a", 7, "d"), compiled({"1": 0, "2": 1}, **{"baseline": "1", **members}))
    return floor.table.route("fraud").decide(nothing, 0)


def header(arm: Arm, name: str) -> str | None:
    return {key.decode(): value.decode() for key, value in arm.headers}.get(name)


@pytest.mark.parametrize(("canary", "reason"), [(raising, "error"), (not_a_number, "invalid")])
async def test_the_baseline_answers_for_a_canary_that_fails_and_the_answer_says_so(
    floor: Floor, canary: Run, reason: str
) -> None:
    arm = all_to_the_canary(floor, canary)

    ended_by, result = await Dispatched(arm, pairs(1)).ending()

    assert isinstance(result, list)
    assert float(result[0][0, 0]) == 101
    assert header(ended_by, "x-gateway-version") == "1"
    assert header(ended_by, "x-gateway-fallback-from") == "2"
    assert ended_by.segment == "fallback", "its labels say nothing of the split"
    assert header(ended_by, "x-gateway-revision") == "7"
    assert header(ended_by, "x-gateway-rule") == "split"
    assert (floor.cells(2).fallbacks, floor.cells(1).fallbacks) == ([reason], [])


async def test_the_baseline_gets_each_input_by_its_name_in_whatever_order_both_versions_have_them(floor: Floor) -> None:
    a, b = (TensorSpec(name, "FP32", (-1, 1)) for name in "ab")
    y = (TensorSpec("y", "FP32", (-1, 1)),)
    floor.held.hold("fraud", 1, lambda feeds: [feeds["a"] * 10 + feeds["b"]], signature=Signature((b, a), y))
    floor.held.hold("fraud", 2, raising, signature=Signature((a, b), y))
    floor.adoption.want(Mark("a", 7, "d"), compiled({"1": 0, "2": 1}, baseline="1"))
    arm = floor.table.route("fraud").decide(nothing, 0)

    _, result = await Dispatched(arm, np.array([[3]], np.float32), np.array([[4]], np.float32)).ending()

    assert isinstance(result, list)
    assert float(result[0][0, 0]) == 34


async def test_a_canary_that_answers_is_not_stood_in_for(floor: Floor) -> None:
    arm = all_to_the_canary(floor, lambda feeds: [feeds["x"] * 2])

    ended_by, result = await Dispatched(arm, pairs(1)).ending()

    assert isinstance(result, list)
    assert header(ended_by, "x-gateway-version") == "2"
    assert header(ended_by, "x-gateway-fallback-from") is None
    assert floor.cells(2).fallbacks == []
    assert floor.held.sessions["fraud", 1].rows == []


async def test_a_canary_that_hangs_leaves_the_baseline_half_of_the_deadline(floor: Floor) -> None:
    gate = Gate()
    arm = all_to_the_canary(floor, gate, run_seconds=SLOW)
    loop = asyncio.get_running_loop()
    began = loop.time()

    ended_by, result = await Dispatched(arm, pairs(1), deadline=began + 0.4).ending()
    took = loop.time() - began
    gate.open()

    assert isinstance(result, list)
    assert header(ended_by, "x-gateway-fallback-from") == "2"
    assert 0.199 <= took < 0.4
    assert floor.cells(2).fallbacks == ["timeout"]


async def test_a_canary_whose_queue_is_full_is_answered_for(floor: Floor) -> None:
    gate = Gate()
    tight = Floor(max_queue=1)
    arm = all_to_the_canary(tight, gate, run_seconds=SLOW)
    running = Caller(arm.lane, pairs(1))
    await gate.begun.wait()
    waiting = Caller(arm.lane, pairs(2))

    ended_by, result = await Dispatched(arm, pairs(3)).ending()
    gate.open()
    await running.outputs()
    await waiting.outputs()

    assert isinstance(result, list)
    assert header(ended_by, "x-gateway-version") == "1"
    assert tight.cells(2).fallbacks == ["overload"]


async def test_the_error_is_the_baselines_when_both_fail(floor: Floor) -> None:
    arm = all_to_the_canary(floor, raising)
    floor.held.sessions["fraud", 1]._run = not_a_number

    ended_by, result = await Dispatched(arm, pairs(1)).ending()

    assert isinstance(result, ModelFailed)
    assert (result.version, result.code) == (1, "nonfinite_output")
    assert header(ended_by, "x-gateway-version") == "1"
    assert floor.cells(2).fallbacks == ["error"]


async def test_a_route_may_want_the_canarys_own_error(floor: Floor) -> None:
    arm = all_to_the_canary(floor, raising, fallback="none")

    ended_by, result = await Dispatched(arm, pairs(1)).ending()

    assert isinstance(result, ModelFailed)
    assert header(ended_by, "x-gateway-version") == "2"
    assert floor.cells(2).fallbacks == []
    assert floor.held.sessions["fraud", 1].rows == []


async def test_a_baseline_that_fails_has_nobody_behind_it(floor: Floor) -> None:
    floor.held.hold("fraud", 1, raising)
    floor.adoption.want(Mark("a", 1, "d"), compiled({"1": 1}))

    _, result = await Dispatched(floor.table.route("fraud").decide(nothing, 0), pairs(1)).ending()

    assert isinstance(result, ModelFailed)
    assert floor.cells(1).fallbacks == []


@pytest.mark.parametrize(("columns", "answered"), [(2, True), (3, False)])
async def test_a_baseline_stands_in_for_a_wider_version_where_it_can_run_the_request(
    floor: Floor, columns: int, answered: bool
) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2, raising, signature=TAKES_ANY_WIDTH)
    floor.adoption.want(Mark("a", 1, "d"), compiled({"1": 0, "2": 1}, baseline="1"))
    wide = np.ones((1, columns), np.float32)

    _, result = await Dispatched(floor.table.route("fraud").decide(nothing, 0), wide).ending()

    assert isinstance(result, list) is answered
    assert isinstance(result, ModelFailed) is not answered


@pytest.mark.parametrize("canary", [raising, not_a_number])
async def test_a_pinned_request_never_falls_back(floor: Floor, canary: Run) -> None:
    all_to_the_canary(floor, canary)
    pinned = floor.table.pinned("fraud", floor.lane(2))

    ended_by, result = await Dispatched(pinned, pairs(1)).ending()

    assert isinstance(result, ModelFailed)
    assert (header(ended_by, "x-gateway-version"), header(ended_by, "x-gateway-rule")) == ("2", "pinned")
    assert header(ended_by, "x-gateway-fallback-from") is None
    assert floor.cells(2).fallbacks == []


async def test_a_bug_of_ours_is_no_reason_to_blame_the_canary(floor: Floor) -> None:
    def buggy(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        raise RuntimeError("a bug")

    arm = all_to_the_canary(floor, buggy)

    _, result = await Dispatched(arm, pairs(1)).ending()

    assert isinstance(result, RuntimeError)
    assert floor.cells(2).fallbacks == []


async def test_a_caller_that_leaves_while_the_canary_runs_causes_no_fallback(floor: Floor) -> None:
    gate = Gate(raising)
    arm = all_to_the_canary(floor, gate, run_seconds=SLOW)
    dispatched = Dispatched(arm, pairs(1))
    await gate.begun.wait()

    dispatched.attempt.cancel()
    gate.open()
    await Dispatched(floor.table.pinned("fraud", floor.lane(2)), pairs(1)).ending()

    assert dispatched.endings == []
    assert floor.held.sessions["fraud", 1].rows == []
    assert floor.cells(2).fallbacks == []


async def test_a_caller_that_leaves_after_the_canary_failed_is_not_run_on_the_baseline(floor: Floor) -> None:
    arm = all_to_the_canary(floor, raising)
    dispatched = Dispatched(arm, pairs(1))
    await asyncio.sleep(0)  # the canary has failed, the baseline's run is due in the next turn

    dispatched.attempt.cancel()
    await a_turn()

    assert dispatched.endings == []
    assert floor.lane(1).version.in_flight == 0


async def test_without_any_time_left_both_arms_are_told_of_the_deadline(floor: Floor) -> None:
    gate = Gate()
    arm = all_to_the_canary(floor, gate, run_seconds=SLOW)
    floor.held.hold("fraud", 1, gate, run_seconds=SLOW)
    floor.adoption.settle()
    arm = floor.table.route("fraud").decide(nothing, 0)

    ended_by, result = await Dispatched(arm, pairs(1), deadline=asyncio.get_running_loop().time() + 0.04).ending()
    gate.open()

    assert isinstance(result, DeadlineExceeded)
    assert header(ended_by, "x-gateway-version") == "1"
    assert floor.cells(2).fallbacks == ["timeout"]


async def test_a_version_that_is_not_ready_here_is_answered_for_and_counted(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")
    floor.adoption.want(Mark("a", 3, "d"), compiled({"1": 0, "2": 1}, baseline="1"))
    arm = floor.table.route("fraud").decide(nothing, 0)

    ended_by, result = await Dispatched(arm, pairs(1)).ending()

    assert isinstance(result, list)
    assert header(ended_by, "x-gateway-version") == "1"
    assert header(ended_by, "x-gateway-fallback-from") == "2"
    assert floor.cells(2).fallbacks == ["unavailable"]


async def test_without_a_fallback_a_version_that_is_not_ready_here_is_an_error(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")
    floor.adoption.want(Mark("a", 3, "d"), compiled({"1": 0, "2": 1}, baseline="1", fallback="none"))

    with pytest.raises(VersionUnavailable) as caught:
        floor.table.route("fraud").decide(nothing, 0)

    assert caught.value.version == 2


async def test_an_overloaded_arm_without_a_fallback_tells_the_caller(floor: Floor) -> None:
    gate = Gate()
    tight = Floor(max_queue=1)
    arm = all_to_the_canary(tight, gate, run_seconds=SLOW, fallback="none")
    callers = [Caller(arm.lane, pairs(1))]
    await gate.begun.wait()
    callers.append(Caller(arm.lane, pairs(2)))

    _, result = await Dispatched(arm, pairs(3)).ending()
    gate.open()
    for caller in callers:
        await caller.outputs()

    assert isinstance(result, Overloaded)
