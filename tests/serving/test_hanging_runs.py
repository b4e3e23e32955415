"""Runs that do not end, and inputs that crashed workers: who waits, who is told what, and who runs alone."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import (
    DeadlineExceeded,
    InputRefused,
    InvalidRequest,
    ModelFailed,
    Quarantined,
    RejectedInput,
    RunStopped,
    VersionStuck,
)
from gateway.core.watching import Mark
from gateway.serving.batching import ON_LOOP_SECONDS
from gateway.serving.lane_thread import LOOK_SECONDS, STUCK_SECONDS, SUSPECT_SECONDS
from gateway.serving.running import fingerprint
from gateway.serving.watchdog import BUSY_SECONDS, Watchdog
from tests.serving.fakes import (
    SLOW,
    Caller,
    Dispatched,
    FakeCells,
    FakeRuns,
    FakeSession,
    Floor,
    Gate,
    compiled,
    doubled,
    nothing,
    pairs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.ports.engine import Tensor
    from gateway.serving.batching import Lane
    from gateway.serving.live import Arm

    MakeLane = Callable[..., Lane]

HANGS = 666.0
QUICK = 0.001
"""A ``run_seconds`` that sends every run to a thread, and lets none be much longer."""


class Hanging(FakeSession):
    """Runs that hold HANGS go on until they are stopped."""

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        if (feeds["x"] == HANGS).any():
            self.threads.add(threading.get_ident())
            assert self.stops.wait(20)
            self.stops.clear()
            raise RunStopped("fraud", 1)
        return super().run(feeds)


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog()
    yield made
    made.close()


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_run_that_hangs_on_the_loop_ends_at_its_deadline_and_the_lane_leaves_the_loop(
    make_lane: MakeLane, watchdog: Watchdog
) -> None:
    session, cells = Hanging(), FakeCells()
    lane = make_lane(session, watchdog=watchdog, cells=cells)
    began = time.monotonic()

    hung = await Caller(lane, pairs(HANGS), deadline=soon(0.1)).result()
    took = time.monotonic() - began
    session.threads.clear()
    answer = await Caller(lane, pairs(1)).outputs()

    assert isinstance(hung, DeadlineExceeded)
    assert 0.09 < took < 0.3
    assert float(answer[0][0, 0]) == 2
    assert threading.get_ident() not in session.threads
    assert cells.events == ["stopped"]
    assert lane.version.in_flight == 0


async def test_the_loop_waits_half_a_second_and_the_caller_its_whole_deadline(
    make_lane: MakeLane, watchdog: Watchdog
) -> None:
    lane = make_lane(Hanging(), watchdog=watchdog)
    turned: list[float] = []
    asyncio.get_running_loop().call_later(0.01, lambda: turned.append(time.monotonic()))
    began = time.monotonic()

    result = await Caller(lane, pairs(HANGS), deadline=soon(1.2)).result()

    assert isinstance(result, DeadlineExceeded)
    assert 1.15 < time.monotonic() - began < 2
    assert turned[0] - began < 1


class Busy(FakeSession):
    """Runs that hold HANGS take a processor for themselves until they are stopped, on the loop; not on a thread."""

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        if (feeds["x"] == HANGS).any() and threading.current_thread() is threading.main_thread():
            end = time.thread_time() + 20
            while time.thread_time() < end and not self.stops.is_set():
                pass
            raise RunStopped("fraud", 1)
        return super().run(feeds)


async def test_a_run_that_keeps_the_loop_busy_is_run_again_on_a_thread_long_before_its_deadline(
    make_lane: MakeLane, watchdog: Watchdog
) -> None:
    session, cells = Busy(), FakeCells()
    lane = make_lane(session, watchdog=watchdog, cells=cells)
    turned: list[float] = []
    asyncio.get_running_loop().call_later(0.01, lambda: turned.append(time.thread_time()))
    began = time.thread_time()

    answer = await Caller(lane, pairs(HANGS), deadline=soon(60)).outputs()

    assert float(answer[0][0, 0]) == 2 * HANGS
    assert threading.get_ident() not in session.threads
    assert turned[0] - began < ON_LOOP_SECONDS / 2
    assert cells.events == ["stopped"]


MANY = 1000


class Laborious(FakeSession):
    """Many rows take a processor for themselves for longer than a loop can bear, until they are stopped."""

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        end = time.thread_time() + len(feeds["x"]) * BUSY_SECONDS * 8 / MANY
        while time.thread_time() < end:
            if self.stops.is_set():
                self.stops.clear()
                raise RunStopped("fraud", 1)
        return super().run(feeds)


async def test_requests_of_many_rows_run_on_a_thread_and_the_others_on_the_loop_again(
    make_lane: MakeLane, watchdog: Watchdog
) -> None:
    session, cells = Laborious(), FakeCells()
    lane = make_lane(session, watchdog=watchdog, cells=cells)
    recorded = lane._runner.records
    loop, ran = threading.get_ident(), []

    for rows in (1, MANY, 1, MANY, MANY // 10, 1):
        session.threads.clear()
        many, behind = Caller(lane, pairs(*[2.0] * rows)), Caller(lane, pairs(3))
        assert len((await many.outputs())[0]) == rows
        ran.append(loop not in session.threads)
        assert float((await behind.outputs())[0][0, 0]) == 6
        assert loop in session.threads or rows == MANY

    assert ran == [False, True, False, True, False, False]
    assert cells.events == ["stopped"]
    assert lane._runner.records == recorded
    assert lane.version.in_flight == 0


async def test_all_who_share_a_run_of_many_rows_on_the_thread_are_told_at_their_deadlines(
    make_lane: MakeLane, watchdog: Watchdog
) -> None:
    class Heavy(Hanging):
        def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
            while threading.current_thread() is threading.main_thread() and len(feeds["x"]) == MANY:
                if self.stops.is_set():
                    self.stops.clear()
                    raise RunStopped("fraud", 1)
            return super().run(feeds)

    lane = make_lane(Heavy(), watchdog=watchdog, max_rows=2 * MANY)
    await Caller(lane, pairs(*[2.0] * MANY)).outputs()
    deadlines = [soon(after) for after in (0.2, 0.1, 0.4)]

    hung = [Caller(lane, pairs(*[HANGS] * (MANY // 2 + 1)), deadline=deadline) for deadline in deadlines[:2]]
    hung.append(Caller(lane, pairs(*[HANGS] * (MANY // 2)), deadline=deadlines[2]))
    told = []
    for caller, deadline in sorted(zip(hung, deadlines, strict=True), key=lambda each: each[1]):
        assert isinstance(await caller.result(), DeadlineExceeded)
        told.append(soon(0) - deadline)

    assert max(told) < 0.08


async def test_a_quick_run_that_ends_behind_its_deadline_is_nobodys_fault(
    make_lane: MakeLane, watchdog: Watchdog
) -> None:
    session, cells = FakeSession(), FakeCells()
    lane = make_lane(session, watchdog=watchdog, cells=cells)

    late = await Caller(lane, pairs(1), deadline=soon(0)).result()
    await Caller(lane, pairs(1)).outputs()

    assert isinstance(late, DeadlineExceeded)
    assert session.threads == {threading.get_ident()}
    assert cells.events == []


async def test_who_shared_the_run_of_one_that_hangs_is_run_again(make_lane: MakeLane, watchdog: Watchdog) -> None:
    lane = make_lane(Hanging(), watchdog=watchdog, batchable=False)
    first, second = Caller(lane, pairs(HANGS), deadline=soon(0.1)), Caller(lane, pairs(2))

    assert isinstance(await first.result(), DeadlineExceeded)
    assert float((await second.outputs())[0][0, 0]) == 4


async def test_a_stop_that_comes_too_late_costs_the_next_run_nothing(make_lane: MakeLane) -> None:
    stops = iter([True, False])

    def stopped_once(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        if next(stops):
            raise RunStopped("fraud", 1)
        return doubled(feeds)

    session = FakeSession(stopped_once)
    lane = make_lane(session)

    answer = await Caller(lane, pairs(1)).outputs()

    assert float(answer[0][0, 0]) == 2
    assert session.threads == {threading.get_ident()}


async def test_a_run_on_a_thread_is_stopped_when_nobody_waits_for_it_any_more(make_lane: MakeLane) -> None:
    session, cells = Hanging(), FakeCells()
    lane = make_lane(session, run_seconds=SLOW, cells=cells)

    hung = await Caller(lane, pairs(HANGS), deadline=soon(0.05)).result()
    answer = await Caller(lane, pairs(1)).outputs()

    assert isinstance(hung, DeadlineExceeded)
    assert float(answer[0][0, 0]) == 2
    assert cells.events == ["stopped"]


async def test_a_run_on_a_thread_ends_when_all_its_callers_left(make_lane: MakeLane) -> None:
    cells = FakeCells()
    lane = make_lane(Hanging(), run_seconds=SLOW, cells=cells)
    first, second = Caller(lane, pairs(HANGS)), Caller(lane, pairs(HANGS))
    await asyncio.sleep(0.1)

    first.leave()
    await asyncio.sleep(3 * LOOK_SECONDS)
    was_running = lane.version.in_flight
    second.leave()
    answer = await Caller(lane, pairs(1), deadline=soon(5)).outputs()

    assert was_running == 2
    assert float(answer[0][0, 0]) == 2
    assert cells.events == []


@pytest.mark.parametrize("goes", [Caller.leave, None], ids=["left", "was told that its time is over"])
async def test_a_run_that_may_have_no_end_goes_with_who_asked_for_it_and_the_others_are_run_again(
    make_lane: MakeLane, goes: Callable[[Caller], None] | None
) -> None:
    lane = make_lane(Hanging(), run_seconds=QUICK, max_rows=2, delay_ms=1)
    hangs, waits = Caller(lane, pairs(HANGS), deadline=soon(20 if goes else 0.05)), Caller(lane, pairs(1))
    await asyncio.sleep(0.03)
    was_running = lane.thread.is_running

    if goes:
        goes(hangs)
    else:
        assert isinstance(await hangs.result(), DeadlineExceeded)
    began = time.monotonic()
    answer = await waits.outputs()

    assert was_running
    assert float(answer[0][0, 0]) == 2
    assert time.monotonic() - began < SUSPECT_SECONDS + 3 * LOOK_SECONDS
    assert lane.version.in_flight == 0


async def test_a_run_that_takes_no_longer_than_one_that_ended_goes_on_for_who_is_left(make_lane: MakeLane) -> None:
    def unhurried(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        time.sleep(4 * SUSPECT_SECONDS)
        return doubled(feeds)

    session = FakeSession(unhurried)
    lane = make_lane(session, run_seconds=QUICK, max_rows=2, delay_ms=1)
    await Caller(lane, pairs(1)).outputs()
    leaves, waits = Caller(lane, pairs(2)), Caller(lane, pairs(3))
    await asyncio.sleep(0.03)

    leaves.leave()

    assert float((await waits.outputs())[0][0, 0]) == 6
    assert not session.stops.is_set()


async def test_a_run_that_goes_on_after_its_callers_left_is_not_stuck_before_their_deadline(
    make_lane: MakeLane,
) -> None:
    class Deaf(Hanging):
        def stop(self) -> None:
            pass

    session, cells = Deaf(), FakeCells()
    lane = make_lane(session, run_seconds=SLOW, cells=cells)
    gone = Caller(lane, pairs(HANGS), deadline=soon(20))
    await asyncio.sleep(0.1)

    gone.leave()
    await asyncio.sleep(2 * STUCK_SECONDS)
    waits = Caller(lane, pairs(1), deadline=soon(5))
    session.stops.set()

    assert float((await waits.outputs())[0][0, 0]) == 2
    assert cells.events == []


async def test_a_run_that_ended_while_the_loop_was_late_is_not_stuck(make_lane: MakeLane) -> None:
    class Late(Hanging):
        def stop(self) -> None:
            asyncio.get_running_loop().call_soon(time.sleep, 4 * STUCK_SECONDS)
            threading.Timer(STUCK_SECONDS, super().stop).start()

    cells = FakeCells()
    lane = make_lane(Late(), run_seconds=SLOW, cells=cells)

    hung = await Caller(lane, pairs(HANGS), deadline=soon(0.05)).result()
    answer = await Caller(lane, pairs(1)).outputs()

    assert isinstance(hung, DeadlineExceeded)
    assert float(answer[0][0, 0]) == 2
    assert cells.events == ["stopped"]


async def test_a_run_that_begins_after_it_was_stopped_is_stopped_again(make_lane: MakeLane) -> None:
    class NotBegun(Hanging):
        """Its first stop finds no run, as where the thread is late."""

        stopped = 0

        def stop(self) -> None:
            self.stopped += 1
            if self.stopped > 1:
                super().stop()

    session, cells = NotBegun(), FakeCells()
    lane = make_lane(session, run_seconds=SLOW, cells=cells)

    hung = await Caller(lane, pairs(HANGS), deadline=soon(0.05)).result()
    answer = await Caller(lane, pairs(1)).outputs()

    assert isinstance(hung, DeadlineExceeded)
    assert float(answer[0][0, 0]) == 2
    assert cells.events == ["stopped"]


async def test_behind_a_run_that_cannot_be_stopped_nobody_waits_and_when_it_ends_all_is_well(
    make_lane: MakeLane,
) -> None:
    gate, cells = Gate(), FakeCells()
    lane = make_lane(FakeSession(gate), run_seconds=SLOW, cells=cells)
    first = Caller(lane, pairs(1), deadline=soon(0.05))
    await gate.begun.wait()
    waiting = Caller(lane, pairs(2))

    assert isinstance(await first.result(), DeadlineExceeded)
    assert isinstance(await waiting.result(), VersionStuck)
    with pytest.raises(VersionStuck):
        Caller(lane, pairs(3))
    gate.open()
    while lane.thread.is_stuck:  # noqa: ASYNC110 - the lane tells nobody when it is free again
        await asyncio.sleep(0.005)

    assert float((await Caller(lane, pairs(4)).outputs())[0][0, 0]) == 8
    assert cells.events == ["stopped", "stuck"]
    assert lane.version.in_flight == 0


async def test_what_is_run_is_written_down_before_and_cleared_after(make_lane: MakeLane) -> None:
    runs = FakeRuns()
    during: list[int] = []

    def looking(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        during.extend(runs.now)
        return doubled(feeds)

    lane = make_lane(FakeSession(looking), runs=runs, run_seconds=SLOW, max_rows=2, delay_ms=1)
    callers = [Caller(lane, pairs(number)) for number in (1, 2)]
    for caller in callers:
        await caller.outputs()

    assert len(set(during)) == 2
    assert runs.now == []


async def test_what_was_run_at_a_crash_runs_alone_and_after_two_not_at_all(make_lane: MakeLane) -> None:
    runs, session, cells = FakeRuns(), FakeSession(), FakeCells()
    session.warning = "it divides integers"
    lane = make_lane(session, runs=runs, cells=cells)
    await Caller(lane, pairs(1)).outputs()
    [(print_,)] = runs.seen

    runs.crashed[print_] = 1
    suspected = [Caller(lane, pairs(number)) for number in (1, 2)]
    for caller in suspected:
        await caller.outputs()
    runs.crashed[print_] = 2
    refused, other = Caller(lane, pairs(1)), Caller(lane, pairs(2))

    assert isinstance(await refused.result(), Quarantined)
    await other.outputs()
    assert session.rows == [1, 1, 1, 1]
    assert [len(each) for each in runs.seen] == [1, 1, 1, 1]
    assert cells.events == ["quarantined"]


def test_a_fingerprint_tells_versions_numbers_and_texts_apart() -> None:
    texts = [np.array([["a"], [text]], object) for text in ("b", "c")]
    prints = [fingerprint(salt, [pairs(number)]) for salt in (1, 2) for number in (1, 2)]
    prints += [fingerprint(1, [tensor]) for tensor in texts]

    assert len(set(prints)) == 6
    assert fingerprint(1, [np.array([["a"], ["".join(["b"])]], object)]) == prints[4]


def refusing(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    raise InputRefused("fraud", 1, "an index is out of range")


def failing(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    raise ModelFailed("fraud", 1, "it always does")


def arm(floor: Floor, baseline: Any, canary: Any, **members: Any) -> Arm:
    floor.held.hold("fraud", 1, baseline)
    floor.held.hold("fraud", 2, canary)
    floor.adoption.want(Mark("a", 7, "d"), compiled({"1": 0, "2": 1}, **{"baseline": "1", **members}))
    return floor.table.route("fraud").decide(nothing, 0)


@pytest.mark.parametrize(
    ("baseline", "canary", "ending", "fallbacks"),
    [
        (refusing, refusing, RejectedInput, []),
        (failing, refusing, ModelFailed, ["error"]),
        (refusing, failing, RejectedInput, ["error"]),
        (doubled, refusing, list, ["error"]),
    ],
)
async def test_a_value_is_at_fault_only_where_the_baseline_refuses_it_too(
    floor: Floor, baseline: Any, canary: Any, ending: type, fallbacks: list[str]
) -> None:
    _, result = await Dispatched(arm(floor, baseline, canary), pairs(1)).ending()

    assert isinstance(result, ending)
    assert floor.cells(2).fallbacks == fallbacks


async def test_without_a_baseline_behind_it_a_canary_may_not_blame_the_input_and_a_named_version_may(
    floor: Floor,
) -> None:
    routed = arm(floor, doubled, refusing, fallback="none")
    named = floor.table.pinned("fraud", floor.lane(2))

    _, alone = await Dispatched(routed, pairs(1)).ending()
    _, pinned = await Dispatched(named, pairs(1)).ending()

    assert isinstance(alone, InputRefused)
    assert isinstance(pinned, RejectedInput)


async def test_a_stuck_canary_is_answered_for_at_once(floor: Floor) -> None:
    chosen = arm(floor, doubled, doubled)
    floor.lane(2).thread.is_stuck = True

    ended_by, _ = await Dispatched(chosen, pairs(1)).ending()

    assert ended_by.lane is floor.lane(1)
    assert floor.cells(2).fallbacks == ["timeout"]


@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_a_model_that_refuses_what_is_not_finite_never_sees_it(make_lane: MakeLane, number: float) -> None:
    session, cells = FakeSession(), FakeCells()
    lane = make_lane(session, cells=cells, nonfinite_in="refuse")

    with pytest.raises(InvalidRequest, match="'x' holds NaN or infinity"):
        Caller(lane, pairs(number))

    assert session.rows == []
    assert cells.events == ["nonfinite_in"]


async def test_an_answer_that_is_not_finite_is_counted(make_lane: MakeLane) -> None:
    cells = FakeCells()
    lane = make_lane(FakeSession(lambda feeds: [feeds["x"] * np.nan]), cells=cells)

    assert isinstance(await Caller(lane, pairs(1)).result(), ModelFailed)
    assert cells.events == ["nonfinite_out"]
