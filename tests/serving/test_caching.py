"""A version that remembers its answers: run once per input, told to each, and never past a caller's deadline."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import DeadlineExceeded, ModelFailed, Overloaded
from gateway.serving.caching import CachingLane
from tests.serving.fakes import Caller, FakeCells, FakeSession, doubled, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ports.engine import Tensor
    from gateway.serving.batching import Lane

    MakeLane = Callable[..., Lane]

BYTES = 1 << 20


class Slow(FakeSession):
    """Doubles, once *gate* is open."""

    def __init__(self) -> None:
        super().__init__(self._when_open)
        self.gate = threading.Event()

    def _when_open(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        assert self.gate.wait(10)
        return doubled(feeds)


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def cells() -> FakeCells:
    return FakeCells()


@pytest.fixture
async def lane(make_lane: MakeLane, session: FakeSession, cells: FakeCells) -> Lane:
    return make_lane(session, cells=cells, cache_bytes=BYTES)


def slow_lane(make_lane: MakeLane, session: FakeSession, **how: Any) -> Lane:
    return make_lane(session, cache_bytes=BYTES, run_seconds=1.0, **how)


async def test_the_same_input_is_run_once(lane: Lane, session: FakeSession, cells: FakeCells) -> None:
    first = await Caller(lane, pairs(1)).outputs()
    second = await Caller(lane, pairs(1)).outputs()
    other = await Caller(lane, pairs(2)).outputs()

    assert session.rows == [1, 1]
    assert np.array_equal(first[0], second[0])
    assert other[0][0, 0] == 4
    assert cells.events == ["cache_miss", "cache_hit", "cache_miss"]


async def test_a_version_that_asks_for_no_memory_runs_each(make_lane: MakeLane, session: FakeSession) -> None:
    lane = make_lane(session)

    await Caller(lane, pairs(1)).outputs()
    await Caller(lane, pairs(1)).outputs()

    assert not isinstance(lane, CachingLane)
    assert session.rows == [1, 1]


async def test_a_known_answer_is_not_told_before_the_caller_can_leave(lane: Lane) -> None:
    await Caller(lane, pairs(1)).outputs()

    early, left = Caller(lane, pairs(1)), Caller(lane, pairs(1))
    left.leave()

    assert early.results == []
    await early.outputs()
    assert left.results == []


async def test_those_who_ask_the_same_at_once_share_one_run(lane: Lane, session: FakeSession, cells: FakeCells) -> None:
    callers = [Caller(lane, pairs(7)) for _ in range(5)]

    outputs = [await each.outputs() for each in callers]

    assert session.rows == [1]
    assert all(each[0][0, 0] == 14 for each in outputs)
    assert cells.events == ["cache_miss", *["cache_shared"] * 4]
    assert lane.version.in_flight == 0


async def test_a_failure_is_told_to_all_and_not_remembered(make_lane: MakeLane) -> None:
    failures = [ModelFailed("fraud", 1, "no"), None]

    def run(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        if failure := failures.pop(0):
            raise failure
        return doubled(feeds)

    lane = make_lane(FakeSession(run), cache_bytes=BYTES)
    first, second = Caller(lane, pairs(1)), Caller(lane, pairs(1))
    for caller in (first, second):
        with pytest.raises(ModelFailed):
            await caller.outputs()

    assert (await Caller(lane, pairs(1)).outputs())[0][0, 0] == 2


async def test_a_run_goes_on_for_those_who_stay(make_lane: MakeLane) -> None:
    session = Slow()
    lane = slow_lane(make_lane, session)
    first, second = Caller(lane, pairs(1)), Caller(lane, pairs(1))
    first.leave()
    session.gate.set()

    assert (await second.outputs())[0][0, 0] == 2
    assert first.results == []


async def test_a_run_that_nobody_waits_for_is_not_begun(make_lane: MakeLane) -> None:
    session = Slow()
    lane = slow_lane(make_lane, session)
    busy = Caller(lane, pairs(0))
    await asyncio.sleep(0.02)
    for caller in [Caller(lane, pairs(1)), Caller(lane, pairs(1))]:
        caller.leave()
    session.gate.set()
    await busy.outputs()
    await Caller(lane, pairs(2)).outputs()

    assert session.rows == [1, 1]


async def test_each_waits_to_his_own_deadline_and_no_longer(make_lane: MakeLane) -> None:
    session = Slow()
    lane = slow_lane(make_lane, session)
    now = asyncio.get_running_loop().time()
    patient = Caller(lane, pairs(1), deadline=now + 20)
    hasty = Caller(lane, pairs(1), deadline=now + 0.05)

    assert isinstance(await hasty.result(), DeadlineExceeded)
    assert patient.results == []
    session.gate.set()
    assert (await patient.outputs())[0][0, 0] == 2


async def test_the_deadline_of_the_first_does_not_end_the_others(make_lane: MakeLane) -> None:
    session = Slow()
    lane = slow_lane(make_lane, session)
    now = asyncio.get_running_loop().time()
    hasty = Caller(lane, pairs(1), deadline=now + 0.05)
    patient = Caller(lane, pairs(1), deadline=now + 20)

    assert isinstance(await hasty.result(), DeadlineExceeded)
    session.gate.set()

    assert (await patient.outputs())[0][0, 0] == 2
    assert (await Caller(lane, pairs(1)).outputs())[0][0, 0] == 2


async def test_what_the_queue_refuses_is_refused_and_leaves_nothing_behind(make_lane: MakeLane) -> None:
    session = Slow()
    lane = slow_lane(make_lane, session, max_queue=1)
    busy = Caller(lane, pairs(0))
    await asyncio.sleep(0.02)
    queued = Caller(lane, pairs(1))
    with pytest.raises(Overloaded):
        Caller(lane, pairs(2))
    session.gate.set()
    await busy.outputs()
    await queued.outputs()

    assert (await Caller(lane, pairs(2)).outputs())[0][0, 0] == 4


async def test_who_was_refused_is_told_nothing_later(make_lane: MakeLane) -> None:
    session = Slow()
    lane = slow_lane(make_lane, session, max_queue=1)
    busy = Caller(lane, pairs(0))
    await asyncio.sleep(0.02)
    queued = Caller(lane, pairs(1))
    told: list[object] = []
    loop, gone_wrong = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, what: gone_wrong.append(what))
    soon = loop.time() + 0.03
    with pytest.raises(Overloaded):
        lane.submit((pairs(2),), 1, soon, told.append)

    await asyncio.sleep(0.06)  # past the deadline of the one that was refused

    assert told == gone_wrong == []
    session.gate.set()
    await busy.outputs()
    await queued.outputs()


async def test_an_input_that_is_too_large_to_remember_is_run(make_lane: MakeLane, session: FakeSession) -> None:
    lane = make_lane(session, cache_bytes=32)

    await Caller(lane, pairs(1)).outputs()
    await Caller(lane, pairs(1)).outputs()

    assert session.rows == [1, 1]


async def test_what_is_evidence_is_always_run(lane: Lane, session: FakeSession) -> None:
    await Caller(lane, pairs(1)).outputs()
    told = asyncio.Event()

    lane.enqueue((pairs(1),), 1, 1e9, lambda _: told.set())
    await told.wait()

    assert session.rows == [1, 1]
