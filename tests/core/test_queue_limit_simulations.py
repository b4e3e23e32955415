"""Seeded simulations of one lane under open-loop load: what the limit does to latency, and what it costs.

The clock is simulated. Requests leave at random when they are due, whatever became of earlier ones; a run takes all
that wait, up to its most rows, and the queue fills meanwhile.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gateway.core.queue_limit import QueueLimit, open_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.no_cover  # many thousands of runs; what they pass through has tests of its own

MOST = 1024
SECONDS = 30.0
SETTLED = 10.0
"""From then on the queue of the opening has been worked off, and the limit is what is judged."""


@dataclass(frozen=True)
class Model:
    """What a run costs: so much, and so much more for each row."""

    run_seconds: float
    row_seconds: float
    most_rows: int
    target_seconds: float

    def seconds(self, rows: int) -> float:
        return self.run_seconds + rows * self.row_seconds

    @property
    def peak(self) -> float:
        """Requests a second of an engine whose every run is full."""
        return self.most_rows / self.seconds(self.most_rows)


ALONE = Model(0.05, 0.0, 1, target_seconds=0.25)
JOINED = Model(0.02, 0.001, 64, target_seconds=0.2)
COSTLY_ROWS = Model(0.0, 0.01, 64, target_seconds=0.2)
"""Whose full run alone takes three times its target: only smaller runs are in time."""


@dataclass
class Outcome:
    """What became of the requests. *answered*: when each was due, and what it took."""

    answered: list[tuple[float, float]] = field(default_factory=list)

    def p95(self, since: float = SETTLED, until: float = SECONDS) -> float:
        took = sorted(seconds for due, seconds in self.answered if since <= due < until)
        return took[len(took) * 95 // 100]

    def goodput(self, since: float = SETTLED, until: float = SECONDS) -> float:
        return sum(since <= due + seconds < until for due, seconds in self.answered) / (until - since)


def arrivals(rate: Callable[[float], float], seed: int) -> Iterator[float]:
    chance, now = random.Random(seed), 0.0
    while now < SECONDS:
        now += chance.expovariate(rate(now))
        yield now


def simulate(
    model: Model, rate: Callable[[float], float], *, adaptive: bool, slower: Callable[[float], float] = lambda _: 1.0
) -> Outcome:
    """Serve the requests of *rate* (a second, at a time) with *model*, which takes *slower* times as long at a time."""
    outcome, queue, now = Outcome(), deque[float](), 0.0
    limit: QueueLimit | None = open_limit(model.target_seconds, MOST) if adaptive else None
    due = arrivals(rate, seed=7)
    arriving = next(due, None)
    while queue or arriving is not None:
        if not queue and arriving is not None:
            now = max(now, arriving)
            queue.append(arriving)
            arriving = next(due, None)
        batch = [queue.popleft() for _ in range(min(len(queue), model.most_rows))]
        ended = now + model.seconds(len(batch)) * slower(now)
        while arriving is not None and arriving <= ended:
            if len(queue) < (MOST if limit is None else limit.requests):
                queue.append(arriving)
            arriving = next(due, None)
        outcome.answered += [(each, ended - each) for each in batch]
        if limit is not None:
            limit = limit.after_run(
                arrived=batch[0], began=now, ended=ended, answered=len(batch), waiting=len(queue)
            )  # fmt: skip
        now = ended
    return outcome


@pytest.mark.parametrize("times", [2, 5])
@pytest.mark.parametrize("model", [ALONE, JOINED, COSTLY_ROWS])
def test_in_overload_answers_are_in_time_and_as_many_as_the_engine_can_give(model: Model, times: int) -> None:
    found = simulate(model, lambda _: times * model.peak, adaptive=True)
    fixed = simulate(model, lambda _: times * model.peak, adaptive=False)

    assert found.p95() <= 1.2 * model.target_seconds  # over: where the target is two runs and a part of a third
    assert found.goodput() >= 0.9 * model.peak
    assert fixed.p95() >= 5 * model.target_seconds


@pytest.mark.parametrize("model", [ALONE, JOINED])
def test_below_saturation_nearly_everybody_who_was_answered_in_time_still_is(model: Model) -> None:
    found = simulate(model, lambda _: 0.7 * model.peak, adaptive=True)
    fixed = simulate(model, lambda _: 0.7 * model.peak, adaptive=False)

    in_time = [sum(seconds <= model.target_seconds for _, seconds in each.answered) for each in (found, fixed)]
    assert in_time[0] >= 0.97 * in_time[1]


def test_a_version_that_turns_slow_is_followed_down_and_up_again() -> None:
    found = simulate(ALONE, lambda _: 2 * ALONE.peak, adaptive=True, slower=lambda now: 3.0 if 10 <= now < 20 else 1.0)

    assert found.p95(12, 19) <= 0.35  # one that runs, and one that waits: two runs of 150 ms are over the target
    assert found.p95(21) <= 1.05 * ALONE.target_seconds
    assert found.goodput(21) >= 0.95 * ALONE.peak


def test_a_single_long_stop_does_not_keep_the_queue_short() -> None:
    stops = iter([40.0])
    found = simulate(
        JOINED, lambda _: 0.7 * JOINED.peak, adaptive=True,
        slower=lambda now: next(stops, 1.0) if now > 10 else 1.0,
    )  # fmt: skip

    assert found.goodput(14) >= 0.97 * 0.7 * JOINED.peak
    assert found.p95(14) <= JOINED.target_seconds
