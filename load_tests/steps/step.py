"""The steps of a request, in the order in which a server that is one step higher does one thing more."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Step(IntEnum):
    """What a server does, each with all that is before it. `SAID` says it in words."""

    LOOP = 0
    CONNECTION = 1
    EXCHANGE = 2
    READ = 3
    RUN = 4
    ENCODE = 5
    ROUTE = 6
    LANE = 7
    COUNT = 8
    PROCESSES = 9
    GATEWAY = 10

    @property
    def key(self) -> str:
        """What the command line calls it."""
        return self.name.lower()

    @property
    def is_whole(self) -> bool:
        """Whether it is `gateway serve` itself, and no process of this package."""
        return self >= Step.PROCESSES

    @property
    def runs(self) -> bool:
        """Whether the model is run, so that there are rows of a run."""
        return self >= Step.RUN

    @property
    def answers(self) -> bool:
        """Whether what is sent back is the answer of the row; below it is always the same."""
        return self >= Step.ENCODE


SAID: Final = {
    Step.LOOP: "uvloop reads and writes a constant",
    Step.CONNECTION: "our connection: a known head, order, keep-alive, the head of an answer",
    Step.EXCHANGE: "a request: admitted, its id, its deadline, its turn in the tick, its end",
    Step.READ: "its JSON is read and checked, its data becomes an array",
    Step.RUN: "what came in one tick runs as one, joined and cut",
    Step.ENCODE: "its outputs become JSON",
    Step.ROUTE: "the route chooses the version",
    Step.LANE: "the queue's limits, priorities, the watchdog, the time it waited",
    Step.COUNT: "it is counted",
    Step.PROCESSES: "gateway serve: duties of the worker, control process, store, launcher",
    Step.GATEWAY: "answers are remembered for labels: the gateway as it ships",
}
"""What is added at each step."""
