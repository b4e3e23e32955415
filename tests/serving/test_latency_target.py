"""A version with a latency target: as many may wait as are answered in time, and the rest is refused at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import Overloaded
from tests.serving.fakes import FAR, SLOW, Caller, FakeSession, Floor, Gate, a_turn, doubled, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ports.engine import Tensor
    from gateway.serving.batching import Lane
    from gateway.serving.jobs import Result

    MakeLane = Callable[..., Lane]

RUN = 0.05
TARGET = 0.25
OVER = 5
"""How many times more is asked than can be served."""
RUNS = 400


@dataclass
class Shop:
    """A lane whose runs take RUN each, by a clock that they turn, and callers who come whatever became of others."""

    now: float = 1_000.0
    due: float = 1_000.0
    until: float = 1_000.0 + RUNS * RUN
    lane: Lane | None = None
    took: list[tuple[float, float]] = field(default_factory=list)
    """Of each answer: when its request was due, and how long it took."""
    refused: int = 0

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        """Be asked by all who come meanwhile, and take RUN."""
        ended = self.now + RUN
        while self.due <= ended and self.due < self.until:
            self.now = self.due
            self.ask()
        self.now = ended
        return doubled(feeds)

    def ask(self) -> None:
        """Let the next caller come."""
        assert self.lane is not None
        due, self.due = self.due, self.due + RUN / OVER

        def settle(result: Result) -> None:
            assert not isinstance(result, Exception)
            self.took.append((due, self.now - due))

        try:
            self.lane.submit((pairs(1),), 1, FAR, settle)
        except Overloaded:
            self.refused += 1

    async def open(self, make_lane: MakeLane, **how: object) -> Shop:
        """Serve until nobody comes any more."""
        self.lane = make_lane(FakeSession(self.run), max_rows=1, max_queue=64, **how)
        self.ask()
        for _ in range(RUNS + 70):
            await a_turn()
        assert not self.lane.is_waited_for
        assert self.lane.version.in_flight == 0
        return self

    def p95(self) -> float:
        """Return what those took who came in the second half."""
        took = sorted(seconds for due, seconds in self.took if due > self.until - RUNS * RUN / 2)
        return took[len(took) * 95 // 100]

    def served(self) -> int:
        """Return how many were answered while others still came."""
        return sum(due + seconds <= self.until for due, seconds in self.took)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Shop]:
    """Make shops whose clock is also the lane's."""

    def make() -> Shop:
        made = Shop()
        monkeypatch.setattr(time, "perf_counter", lambda: made.now)
        return made

    return make


async def test_in_overload_answers_come_in_time_and_as_many_as_can_be_served(
    shop: Callable[[], Shop], make_lane: MakeLane
) -> None:
    fixed = await shop().open(make_lane)
    aiming = await shop().open(make_lane, latency_target_ms=TARGET * 1000)

    assert fixed.p95() > 10 * TARGET
    assert aiming.p95() <= TARGET + 1e-6
    assert aiming.served() >= 0.99 * RUNS
    assert aiming.refused + len(aiming.took) == fixed.refused + len(fixed.took)


async def test_the_limit_is_told_where_there_is_a_target(make_lane: MakeLane) -> None:
    assert make_lane(max_queue=8).queue_limit is None
    assert make_lane(max_queue=8, latency_target_ms=250).queue_limit == 8


async def test_who_waits_when_the_limit_falls_is_answered_and_who_comes_then_is_refused(
    make_lane: MakeLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]

    def run(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        now[0] += RUN
        return doubled(feeds)

    gate = Gate(run)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    lane = make_lane(FakeSession(gate), run_seconds=SLOW, max_rows=1, max_queue=8, latency_target_ms=0.001)
    callers = [Caller(lane, pairs(1))]
    await gate.begun.wait()
    callers += [Caller(lane, pairs(number)) for number in range(2, 7)]
    limits: list[int | None] = []

    def come() -> None:
        limits.append(lane.queue_limit)
        with pytest.raises(Overloaded):
            Caller(lane, pairs(9))

    callers[0]._told = lambda: limits.append(lane.queue_limit)
    callers[1]._told = come
    now[0] += 1.0
    gate.open()
    answers = [await caller.outputs() for caller in callers]

    assert [float(answer[0][0, 0]) for answer in answers] == [2, 4, 6, 8, 10, 12]
    assert limits == [8, 1]  # the first was late and had not waited, the second had
    assert lane.version.in_flight == 0


async def test_the_request_that_waited_longest_is_looked_at_though_urgent_ones_run_before_it(
    make_lane: MakeLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    lane = make_lane(max_queue=8, latency_target_ms=TARGET * 1000)
    patient = Caller(lane, pairs(1), priority=2)
    now[0] += 2 * TARGET
    urgent = Caller(lane, pairs(2), priority=1)

    await asyncio.gather(patient.outputs(), urgent.outputs())

    assert lane.queue_limit == 7


async def test_the_memory_of_a_version_keeps_its_target_too(make_lane: MakeLane) -> None:
    lane = make_lane(FakeSession(), cache_bytes=1 << 20, max_queue=8, latency_target_ms=250)

    await Caller(lane, pairs(1)).outputs()

    assert lane.queue_limit == 8


async def test_a_worker_tells_the_limits_of_the_versions_that_were_asked(floor: Floor) -> None:
    floor.held.hold("fraud", 1, latency_target_ms=250)
    floor.held.hold("fraud", 2)
    floor.held.hold("spam", 1, latency_target_ms=250)
    for version in (1, 2):
        floor.lane(version)

    assert floor.lanes.queue_limits() == {"fraud": {1: 1024}}


async def test_a_target_that_no_queue_can_keep_is_told_of(
    make_lane: MakeLane, caplog: pytest.LogCaptureFixture
) -> None:
    make_lane(run_seconds=0.125, latency_target_ms=250)
    kept = list(caplog.messages)
    make_lane(run_seconds=0.126, latency_target_ms=250)

    assert kept == []
    [message] = caplog.messages
    assert message == (
        "version 1 of model 'fraud' took 126 ms for one row when it was warmed, and its serving.latency_target_ms is "
        "250: whoever waits for a run and then takes one is late; name a target of several runs"
    )
