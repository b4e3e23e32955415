"""A second run takes a place in the worker's budget, and gives it back however it ends."""

from __future__ import annotations

from gateway.core.breaker import LEAST_RERUNS
from gateway.core.errors import ModelFailed
from gateway.serving.retries import RetryBudget
from tests.serving.fakes import SLOW, Caller, Dispatched, Floor, Gate, a_turn, nothing, pairs
from tests.serving.test_dispatch import all_to_the_canary, raising


async def test_without_a_rollout_too_only_so_many_fallbacks_run_at_once(floor: Floor) -> None:
    arm = all_to_the_canary(floor, raising)
    budget = RetryBudget(lambda: 10)
    budget.running = LEAST_RERUNS - 3

    callers = [Dispatched(arm, pairs(number), retries=budget) for number in range(10)]
    results = [(await caller.ending())[1] for caller in callers]

    assert [isinstance(result, ModelFailed) for result in results] == [False] * 3 + [True] * 7
    assert floor.cells(2).fallbacks == ["error"] * 3


async def test_nobody_in_a_full_run_that_fails_sees_it(floor: Floor) -> None:
    arm = all_to_the_canary(floor, raising)
    budget = RetryBudget(lambda: LEAST_RERUNS)

    callers = [Dispatched(arm, pairs(number), retries=budget) for number in range(LEAST_RERUNS)]
    results = [(await caller.ending())[1] for caller in callers]

    assert all(isinstance(result, list) for result in results)


async def test_a_busy_worker_runs_a_fifth_of_its_requests_again(floor: Floor) -> None:
    arm = all_to_the_canary(floor, raising)
    budget = RetryBudget(lambda: 500)
    budget.running = 90

    callers = [Dispatched(arm, pairs(number), retries=budget) for number in range(20)]
    results = [(await caller.ending())[1] for caller in callers]

    assert sum(isinstance(result, list) for result in results) == 10


async def test_a_place_is_given_back_when_the_second_run_ends(floor: Floor) -> None:
    arm = all_to_the_canary(floor, raising)
    budget = RetryBudget(lambda: 1)

    for _ in range(5):
        _, result = await Dispatched(arm, pairs(1), retries=budget).ending()
        assert isinstance(result, list)

    assert budget.running == 0


async def test_a_place_is_given_back_once_when_the_caller_leaves(floor: Floor) -> None:
    gate = Gate()
    arm = all_to_the_canary(floor, raising)
    floor.held.hold("fraud", 1, gate, run_seconds=SLOW)
    floor.adoption.settle()
    budget = RetryBudget(lambda: 1)
    arm = floor.table.route("fraud").decide(nothing, 0)

    leaving = Dispatched(arm, pairs(1), retries=budget)
    await gate.begun.wait()
    before = budget.running
    leaving.attempt.cancel()
    leaving.attempt.cancel()
    gate.open()
    await a_turn()

    assert (before, budget.running) == (1, 0)


async def test_a_place_is_given_back_when_the_baselines_queue_is_full() -> None:
    tight, gate = Floor(max_queue=1), Gate()
    all_to_the_canary(tight, raising)
    tight.held.hold("fraud", 1, gate, run_seconds=SLOW)
    tight.adoption.settle()
    arm = tight.table.route("fraud").decide(nothing, 0)
    budget = RetryBudget(lambda: 1)
    running = Caller(tight.lane(1), pairs(1))
    await gate.begun.wait()
    waiting = Caller(tight.lane(1), pairs(1))

    await Dispatched(arm, pairs(1), retries=budget).ending()
    gate.open()
    await running.outputs()
    await waiting.outputs()

    assert budget.running == 0
