"""Slow versions run on a thread of their own: deadlines, queues and ends of requests that wait."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import DeadlineExceeded, ModelFailed, Overloaded
from tests.serving.fakes import SLOW, Caller, FakeCells, FakeSession, Gate, a_turn, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ports.engine import Tensor
    from gateway.serving.batching import Lane

    MakeLane = Callable[..., Lane]


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_slow_version_runs_off_the_event_loop_and_a_quick_one_on_it(make_lane: MakeLane) -> None:
    quick, slow = FakeSession(), FakeSession()

    await Caller(make_lane(quick), pairs(1)).outputs()
    await Caller(make_lane(slow, run_seconds=SLOW), pairs(1)).outputs()

    assert quick.threads == {threading.get_ident()}
    assert slow.threads.isdisjoint(quick.threads)


async def test_the_next_batch_fills_while_one_runs(make_lane: MakeLane) -> None:
    gate = Gate()
    session = FakeSession(gate)
    lane = make_lane(session, run_seconds=SLOW)
    callers = [Caller(lane, pairs(1))]
    await gate.begun.wait()

    callers += [Caller(lane, pairs(number)) for number in (2, 3)]
    gate.open()
    answers = [await caller.outputs() for caller in callers]

    assert [float(answer[0][0, 0]) for answer in answers] == [2, 4, 6]
    assert session.rows == [1, 2]


async def test_a_caller_is_told_at_its_deadline_while_the_run_goes_on(make_lane: MakeLane) -> None:
    gate = Gate()
    lane = make_lane(FakeSession(gate), run_seconds=SLOW)
    began = asyncio.get_running_loop().time()

    with pytest.raises(DeadlineExceeded):
        await Caller(lane, pairs(1), deadline=began + 0.05).outputs()
    took = asyncio.get_running_loop().time() - began
    still_held = lane.version.in_flight
    gate.open()
    answer = await Caller(lane, pairs(2)).outputs()

    assert 0.049 <= took < 0.5
    assert still_held == 1  # the engine still has its tensors: the version must not be unloaded
    assert float(answer[0][0, 0]) == 4
    assert lane.version.in_flight == 0


async def test_a_request_whose_deadline_passed_in_the_queue_never_runs(make_lane: MakeLane) -> None:
    gate = Gate()
    session = FakeSession(gate)
    lane = make_lane(session, run_seconds=SLOW)
    running = Caller(lane, pairs(1))
    await gate.begun.wait()

    with pytest.raises(DeadlineExceeded):
        await Caller(lane, pairs(2), deadline=soon(0.01)).outputs()
    gate.open()
    await running.outputs()
    await a_turn()

    assert session.rows == [1]
    assert lane.version.in_flight == 0


async def test_an_answer_that_came_in_time_is_not_followed_by_its_deadline(make_lane: MakeLane) -> None:
    lane = make_lane(run_seconds=SLOW)
    caller = Caller(lane, pairs(1), deadline=soon(0.05))

    await caller.outputs()
    await asyncio.sleep(0.06)

    assert len(caller.results) == 1
    assert lane.version.in_flight == 0


async def test_a_caller_that_leaves_a_full_queue_makes_room_for_the_next(make_lane: MakeLane) -> None:
    gate = Gate()
    session = FakeSession(gate)
    lane = make_lane(session, run_seconds=SLOW, max_queue=1)
    running = Caller(lane, pairs(1))
    await gate.begun.wait()
    leaving = Caller(lane, pairs(2))

    leaving.leave()
    following = Caller(lane, pairs(3))
    gate.open()
    answers = [await caller.outputs() for caller in (running, following)]

    assert [float(answer[0][0, 0]) for answer in answers] == [2, 6]
    assert session.rows == [1, 1]
    assert lane.version.in_flight == 0


async def test_requests_that_expired_in_the_queue_of_a_hanging_version_take_no_place(make_lane: MakeLane) -> None:
    gate = Gate()
    lane = make_lane(FakeSession(gate), run_seconds=SLOW, max_queue=1)
    running = Caller(lane, pairs(1))
    await gate.begun.wait()

    for _ in range(3):
        with pytest.raises(DeadlineExceeded):
            await Caller(lane, pairs(2), deadline=soon(0.005)).outputs()
    gate.open()
    await running.outputs()
    await a_turn()

    assert lane.version.in_flight == 0


async def test_a_caller_that_leaves_during_its_run_is_not_told_and_the_version_is_held(make_lane: MakeLane) -> None:
    gate = Gate()
    lane = make_lane(FakeSession(gate), run_seconds=SLOW)
    leaving = Caller(lane, pairs(1))
    await gate.begun.wait()

    leaving.leave()
    held = lane.version.in_flight
    gate.open()
    await Caller(lane, pairs(2)).outputs()

    assert (held, lane.version.in_flight) == (1, 0)
    assert not leaving.results


async def test_what_waits_behind_a_slow_run_has_a_bound(make_lane: MakeLane) -> None:
    gate = Gate()
    lane = make_lane(FakeSession(gate), run_seconds=SLOW, max_queue=2)
    accepted = [Caller(lane, pairs(1))]
    await gate.begun.wait()
    accepted += [Caller(lane, pairs(number)) for number in (2, 3)]

    with pytest.raises(Overloaded):
        Caller(lane, pairs(4))
    gate.open()
    for caller in accepted:
        await caller.outputs()

    assert lane.version.in_flight == 0


@pytest.mark.parametrize("failure", [ModelFailed("fraud", 1, "no"), RuntimeError("a bug")])
async def test_a_failure_on_the_thread_reaches_its_callers_and_the_lane_serves_on(
    make_lane: MakeLane, failure: Exception
) -> None:
    failures = [failure]

    def once(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        if failures:
            raise failures.pop()
        return [feeds["x"]]

    lane = make_lane(FakeSession(once), run_seconds=SLOW)

    with pytest.raises(type(failure)):
        await Caller(lane, pairs(1)).outputs()
    answer = await Caller(lane, pairs(2)).outputs()

    assert float(answer[0][0, 0]) == 2
    assert lane.version.in_flight == 0


async def test_a_slow_version_does_not_hold_up_a_quick_one(make_lane: MakeLane) -> None:
    gate = Gate()
    slow, quick = make_lane(FakeSession(gate), run_seconds=SLOW), make_lane()
    held = Caller(slow, pairs(1))
    await gate.begun.wait()

    answer = await Caller(quick, pairs(2)).outputs()
    answered_meanwhile = list(held.results)
    gate.open()
    await held.outputs()

    assert float(answer[0][0, 0]) == 4
    assert not answered_meanwhile


async def test_a_window_does_not_keep_a_caller_past_its_deadline(make_lane: MakeLane) -> None:
    session, cells = FakeSession(), FakeCells()
    lane = make_lane(session, cells=cells, delay_ms=100.0)

    with pytest.raises(DeadlineExceeded):
        await Caller(lane, pairs(1), deadline=soon(0.01)).outputs()
    answer = await Caller(lane, pairs(2)).outputs()

    assert float(answer[0][0, 0]) == 4
    assert session.rows == cells.runs == [1]


async def test_of_those_that_wait_the_more_urgent_run_first_and_equals_in_turn(make_lane: MakeLane) -> None:
    gate = Gate()
    session = FakeSession(gate)
    lane = make_lane(session, run_seconds=SLOW, max_rows=1)
    order: list[float] = []
    running = Caller(lane, pairs(0))
    await gate.begun.wait()

    waiting = [
        Caller(lane, pairs(number), priority=priority, told=partial(order.append, number))
        for number, priority in [(1, 0), (2, 7), (3, 1), (4, 7), (5, 0), (6, 1)]
    ]
    gate.open()
    for caller in (running, *waiting):
        await caller.outputs()

    assert order == [3, 6, 2, 4, 1, 5]


async def test_an_urgent_request_takes_nobody_s_place_in_a_full_queue(make_lane: MakeLane) -> None:
    gate = Gate()
    lane = make_lane(FakeSession(gate), run_seconds=SLOW, max_queue=1)
    running = Caller(lane, pairs(1))
    await gate.begun.wait()
    waiting = Caller(lane, pairs(2))

    with pytest.raises(Overloaded):
        Caller(lane, pairs(3), priority=1)

    gate.open()
    assert [len(await caller.outputs()) for caller in (running, waiting)] == [1, 1]
