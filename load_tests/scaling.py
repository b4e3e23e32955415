"""What a fleet costs its store, and how soon a change reaches all of it: arithmetic and a queue, from measured units.

    python -m load_tests.scaling [--workers 4] [--json]

The units are processor time of the store's server per thing done, measured with one gateway and its embedded store: the
server's own CPU time over 10 s, divided by what `INFO commandstats` counted. One thread serves all commands, so a store
is full at one second of processor time per second.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from dataclasses import asdict, dataclass
from typing import Final

HEAD_SECONDS: Final = 12e-6
"""One process reads the head of one route: part of a pipelined poll, with what it takes to parse and to send."""
READ_SECONDS: Final = 7.5e-6
"""The control process reads of one model what its pages and metrics show."""
READS: Final = 2.0
"""How often a second it does so."""
PROCESS_SECONDS: Final = 0.55e-3
"""What one process costs in a second however few models there are: pings, the fleet's list, scripts."""
ROLLOUT_SECONDS: Final = 1.0e-3
"""What one process costs in a second for one live rollout with traffic: its evidence five times a second."""
ANSWER_SECONDS: Final = 33e-6
"""One answer is remembered for labels."""

POLL_SECONDS: Final = 0.5
JITTER: Final = 0.2
DEADLINE_SECONDS: Final = 0.5
"""How long a poll waits for the store; the routes that are held serve on after that, and nothing new is seen."""

FULL: Final = 0.7
"""Share of the store's second beyond which queues grow faster than they are worth."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """So many replicas of one gateway with one store between them. *answers*: remembered per second and replica."""

    replicas: int
    models: int
    workers: int = 4
    rollouts: int = 1
    answers: float = 0.0

    @property
    def processes(self) -> int:
        """All that poll: the workers and the control process of each replica."""
        return self.replicas * (self.workers + 1)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of the store's processor per second, by what for."""

    polls: float
    pages: float
    processes: float
    rollouts: float
    answers: float

    @property
    def total(self) -> float:
        return self.polls + self.pages + self.processes + self.rollouts + self.answers

    @property
    def largest(self) -> str:
        """What takes most."""
        return max(asdict(self).items(), key=lambda item: item[1])[0]


def cost(fleet: Fleet) -> Cost:
    """Return what *fleet* costs its store."""
    return Cost(
        polls=fleet.processes * fleet.models * HEAD_SECONDS / POLL_SECONDS,
        pages=fleet.replicas * fleet.models * READ_SECONDS * READS,
        processes=fleet.processes * PROCESS_SECONDS,
        rollouts=fleet.processes * min(fleet.rollouts, fleet.models) * ROLLOUT_SECONDS,
        answers=fleet.replicas * fleet.answers * ANSWER_SECONDS,
    )


def most_replicas(models: int, *, workers: int = 4, rollouts: int = 1, answers: float = 0.0) -> int:
    """Return how many replicas one store carries, 0 where not even one."""
    one = cost(Fleet(1, models, workers, rollouts, answers)).total
    return int(FULL / one)


@dataclass(frozen=True, slots=True)
class Spread:
    """How a change reached a fleet: seconds until half, 99 % and all processes had read it, and polls given up."""

    half: float
    most: float
    last: float
    late: int


def spread(fleet: Fleet, *, nudged: bool = True, seed: int = 1) -> Spread:
    """Simulate one change: every process polls at once where it is *nudged*, else at its own next turn.

    One server, first come first served, busy with the rest of what the fleet costs; a poll that waits longer than its
    deadline is given up, and its process tries again at its next turn. Its work is done all the same.
    """
    draw = random.Random(seed)
    slower = max(0.05, 1.0 - min(cost(fleet).total - cost(fleet).polls, 0.95))
    service = fleet.models * HEAD_SECONDS / slower
    due = [(0.0 if nudged else draw.random() * POLL_SECONDS, process) for process in range(fleet.processes)]
    heapq.heapify(due)
    free, late = 0.0, 0
    seen: list[float] = []
    while due and free < 60.0:
        at, process = heapq.heappop(due)
        free = max(free, at) + service
        if free - at <= DEADLINE_SECONDS:
            seen.append(free)
            continue
        late += 1
        turn = POLL_SECONDS * draw.uniform(1 - JITTER, 1 + JITTER)
        heapq.heappush(due, (at + DEADLINE_SECONDS + turn, process))
    seen += [float("inf")] * (fleet.processes - len(seen))
    seen.sort()
    return Spread(seen[len(seen) // 2], seen[int(len(seen) * 0.99)], seen[-1], late)


def main() -> int:
    """Print a table of fleets."""
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.scaling", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="one object per fleet")
    given = parser.parse_args()
    for models in (10, 100, 1_000, 10_000):
        for replicas in (10, 100, 1_000):
            fleet = Fleet(replicas, models, given.workers)
            costs, change = cost(fleet), spread(fleet)
            if given.json:
                print(json.dumps({**asdict(fleet), "cost": {**asdict(costs), "total": costs.total}, **asdict(change)}))
                continue
            print(
                f"{replicas:6} replicas  {models:6} models  {costs.total:9.1%} of a core, most for {costs.largest:9}  "
                f"a change reaches 99 % in {change.most:6.2f} s, {change.late} polls given up"
            )
        print(f"one store carries {most_replicas(models, workers=given.workers)} replicas of {models} models")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
