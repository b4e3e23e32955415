"""What a version takes of the processor: which batches are measured, and for how many each stands."""

from __future__ import annotations

import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, cast

import pytest

from gateway.serving import running
from gateway.serving.cpu_time import MEASURED_EVERY, CpuTime
from tests.serving.fakes import SLOW, Caller, FakeCells, FakeSession, loaded_version, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ports.engine import Tensor
    from gateway.serving.batching import Lane

    MakeLane = Callable[..., Lane]

BURNED = 0.02


class Computing:
    """A clock, and a run that takes one second of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return self.now

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        self.now += 1.0
        return [feeds["x"]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Computing:
    computing = Computing()
    monkeypatch.setattr(running, "CpuTime", partial(CpuTime, clock=computing))
    return computing


async def batches(lane: Lane, many: int) -> list[float]:
    """Return what each of *many* batches, one after the other, was counted as."""
    cells = cast("FakeCells", lane.cells)
    told = []
    for _ in range(many):
        before = cells.cpu_seconds
        await Caller(lane, pairs(1)).outputs()
        told.append(cells.cpu_seconds - before)
    return told


def burning(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    until = time.thread_time() + BURNED
    while time.thread_time() < until:
        pass
    return [feeds["x"]]


async def test_a_measured_batch_stands_for_itself_and_for_those_before_it_that_were_not(
    make_lane: MakeLane, clock: Computing
) -> None:
    lane = make_lane(FakeSession(clock.run), cells=FakeCells())

    assert await batches(lane, 15) == [1, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8]


async def test_on_the_loop_the_clock_is_read_for_one_batch_in_sixty_four(make_lane: MakeLane, clock: Computing) -> None:
    lane = make_lane(FakeSession(clock.run), cells=FakeCells())
    await batches(lane, 2 * MEASURED_EVERY - 1)
    clock.readings = 0

    told = await batches(lane, 10 * MEASURED_EVERY)

    assert clock.readings == 3 * 10
    assert sum(told) == 10 * MEASURED_EVERY


async def test_off_the_loop_every_batch_is_measured(make_lane: MakeLane, clock: Computing) -> None:
    lane = make_lane(FakeSession(clock.run), run_seconds=SLOW, cells=FakeCells())

    assert await batches(lane, 20) == [1.0] * 20


async def test_the_threads_of_the_session_count_too(make_lane: MakeLane, clock: Computing) -> None:
    def run(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        session.pool += 3.0
        return clock.run(feeds)

    session = FakeSession(run)

    assert await batches(make_lane(session, cells=FakeCells()), 1) == [4.0]


def test_a_session_that_went_meanwhile_takes_nothing_away() -> None:
    session = FakeSession()
    session.pool = 3.0
    cpu = CpuTime(version := loaded_version(session), Computing())
    cpu.untold = 1
    before = cpu.begin()

    version.retire()

    assert cpu.since(before) == 0.0


def test_what_a_reading_costs_itself_is_not_counted() -> None:
    cpu = CpuTime(loaded_version(FakeSession()), count(0.0, 0.5).__next__)
    cpu.untold = 1

    assert cpu.since(cpu.begin()) == 0.0


@pytest.mark.parametrize("run_seconds", [0.0, SLOW])
async def test_a_lane_counts_what_its_thread_computed_and_not_what_it_waited(
    make_lane: MakeLane, run_seconds: float
) -> None:
    cells = FakeCells()

    def waiting(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        time.sleep(10 * BURNED)
        return burning(feeds)

    lane = make_lane(FakeSession(waiting), run_seconds=run_seconds, cells=cells)

    await Caller(lane, pairs(1)).outputs()

    assert BURNED <= cells.cpu_seconds < 5 * BURNED
