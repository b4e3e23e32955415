"""A worker stops asking a canary by itself, asks again now and then, and knows how much larger the batches are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.core.breaker import IN_A_ROW, Breaker
from gateway.core.watching import Mark
from gateway.serving.windows import BatchWindows
from tests.serving.fakes import (
    SLOW,
    TAKES_ANY_WIDTH,
    Dispatched,
    Floor,
    Gate,
    a_turn,
    compiled,
    doubled,
    pairs,
    rollout_of,
)
from tests.serving.test_watched import EMPTY, REVISION, arm_of, counted, raising, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.serving.batching import Lane
    from gateway.serving.trials import Trial


async def fail(floor: Floor, times: int) -> None:
    for _ in range(times):
        await Dispatched(arm_of(floor, 2), pairs(1)).ending()


def opened_ago(trial: Trial, seconds: float, bad_probes: int = 0) -> None:
    now = asyncio.get_running_loop().time()
    trial.canaries[2].breaker = Breaker(failures=IN_A_ROW, opened=now - seconds, bad_probes=bad_probes)


async def test_after_so_many_failures_in_a_row_the_canary_is_asked_no_more(floor: Floor) -> None:
    trial = serve(floor, canary=raising)

    await fail(floor, IN_A_ROW + 5)

    assert floor.held.sessions["fraud", 2].rows == [1] * IN_A_ROW
    assert floor.cells(2).fallbacks == ["error"] * IN_A_ROW + ["breaker"] * 5
    assert counted(trial) == {"2 n": IN_A_ROW, "2 failed": IN_A_ROW, "2 error": IN_A_ROW}


async def test_what_the_breaker_sends_to_the_baseline_takes_no_place_in_the_budget(floor: Floor) -> None:
    trial = serve(floor, canary=raising)
    opened_ago(trial, 0)

    _, result = await Dispatched(arm_of(floor, 2), pairs(1), retries=EMPTY).ending()

    assert isinstance(result, list)
    assert {str(counter) for counter in trial.counts()} == {f"{REVISION}|2|assigned"}


async def test_an_open_breaker_does_not_send_the_baseline_what_it_cannot_run(floor: Floor) -> None:
    trial = serve(floor, canary=lambda feeds: [feeds["x"][:, :2]], takes=TAKES_ANY_WIDTH)
    opened_ago(trial, 0)

    ended_by, result = await Dispatched(arm_of(floor, 2), np.ones((1, 3), np.float32)).ending()

    assert isinstance(result, list)
    assert ended_by.lane.version.version == 2


async def test_one_good_answer_in_between_keeps_the_breaker_shut(floor: Floor) -> None:
    trial = serve(floor, canary=raising)
    await fail(floor, IN_A_ROW - 1)
    floor.held.sessions["fraud", 2]._run = doubled
    await fail(floor, 1)
    floor.held.sessions["fraud", 2]._run = raising

    await fail(floor, IN_A_ROW - 1)

    assert not trial.canaries[2].breaker.is_open


async def test_failures_that_were_not_confirmed_open_nothing(floor: Floor) -> None:
    trial = serve(floor, canary=raising)

    for _ in range(IN_A_ROW + 1):
        await Dispatched(arm_of(floor, 2), pairs(1), retries=EMPTY).ending()

    assert trial.canaries[2].breaker == Breaker()


@pytest.mark.parametrize("is_good", [True, False])
async def test_one_request_after_a_second_says_whether_the_canary_is_well_again(floor: Floor, is_good: bool) -> None:
    trial = serve(floor, canary=doubled if is_good else raising)
    opened_ago(trial, 1.0)

    await fail(floor, 3)

    assert floor.held.sessions["fraud", 2].rows == ([1, 1, 1] if is_good else [1])
    assert trial.canaries[2].breaker.is_open is not is_good
    assert trial.canaries[2].breaker.bad_probes == (0 if is_good else 1)


async def test_three_bad_probes_trip_the_breaker(floor: Floor) -> None:
    trial = serve(floor, canary=raising)
    opened_ago(trial, 4.0, bad_probes=2)

    await fail(floor, 1)

    assert trial.canaries[2].breaker.is_tripped


async def test_a_probe_whose_caller_leaves_says_nothing_and_the_next_one_is_asked(floor: Floor) -> None:
    gate = Gate()
    trial = serve(floor, canary=gate, slow_canary=SLOW)
    opened_ago(trial, 1.0)
    probe = Dispatched(arm_of(floor, 2), pairs(1))
    await gate.begun.wait()
    assert not trial.canaries[2].asks_a_probe(asyncio.get_running_loop().time())

    probe.attempt.cancel()

    assert trial.canaries[2].asks_a_probe(asyncio.get_running_loop().time())
    gate.open()


async def test_a_route_without_fallback_has_no_breaker(floor: Floor) -> None:
    trial = serve(floor, canary=raising, fallback="none")
    opened_ago(trial, 0)

    await fail(floor, 2)
    await a_turn()

    assert floor.held.sessions["fraud", 2].rows == [1, 1]


async def test_a_worker_whose_own_counts_are_damning_asks_no_more_until_the_revision_changes(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2, raising)
    floor.adoption.want(Mark("a", REVISION, "d"), compiled({"1": 95, "2": 5}, baseline="1"), rollout_of())
    trial = floor.adoption.trials.under_way["fraud"]

    looks = []
    for _ in range(4):
        await fail(floor, 1)
        trial.judge_alone(trial.canaries[2])
        looks.append(trial.canaries[2].breaker.is_open)
    floor.adoption.want(Mark("a", REVISION + 1, "e"), compiled({"1": 95, "2": 5}, baseline="1"), rollout_of())

    assert looks == [False, False, False, True]
    assert not trial.canaries[2].breaker.is_open


async def take(lane: Lane, rows: int, batches: int) -> None:
    lane.queue.batches += batches
    lane.queue.batch_rows += rows * batches


async def test_an_event_has_the_class_of_the_larger_of_two_windows(make_lane: Callable[..., Lane]) -> None:
    canary, baseline = make_lane(), make_lane()
    windows = BatchWindows()
    windows.follow({2: canary}, baseline)
    windows.pass_time(10.0)
    classes = []

    for baseline_rows, canary_rows in ((1, 1), (16, 1), (4, 4), (1, 1)):
        await take(baseline, baseline_rows, 3)
        await take(canary, canary_rows, 2)
        classes.append(windows.batch_class())
        windows.pass_time(10.0 + len(classes))

    assert classes == [0, 8, 8, 0]


async def test_a_window_without_runs_keeps_the_baselines_mean_and_takes_one_row_for_the_canary(
    make_lane: Callable[..., Lane],
) -> None:
    canary, baseline = make_lane(), make_lane()
    windows = BatchWindows()
    windows.follow({2: canary}, baseline)
    windows.pass_time(10.0)
    await take(baseline, 4, 1)
    windows.pass_time(11.0)
    windows.pass_time(12.0)

    assert windows.batch_class() == 4


async def test_a_batch_without_rows_counts_its_requests_so_that_a_window_of_them_has_a_class(floor: Floor) -> None:
    trial = serve(floor)
    trial.windows.pass_time(10.0)

    for version, together in ((1, 4), (2, 1)):
        callers = [Dispatched(arm_of(floor, version), pairs()) for _ in range(together)]
        for caller in callers:
            await caller.ending()

    assert trial.windows.batch_class() == 4
    assert trial.windows.pass_time(11.0) == 4


async def test_a_lane_counts_the_batches_that_it_takes_and_their_rows(floor: Floor) -> None:
    serve(floor)

    callers = [Dispatched(arm_of(floor, 1), pairs(number)) for number in range(5)]
    for caller in callers:
        await caller.ending()

    assert (floor.lane(1).queue.batches, floor.lane(1).queue.batch_rows) == (1, 5)
