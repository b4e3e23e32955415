"""The callers of the learning demo: they ask at a steady rate, and say what was right a while later."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.cli.demo_traffic import exchange
from gateway.cli.demo_world import MODEL, PIXELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cli.demo_world import World

MOST_ITEMS: Final = 500
"""Labels in one body of feedback."""
LABEL_PERIOD_SECONDS: Final = 0.2
MOST_DELAYS: Final = 4
"""Callers ask no more while the labels of so many times the delay are due: on a busy machine they would come too late
to judge anything."""
MOST_TRIES: Final = 10
"""So often a label is said again before it counts as failed."""
TAKEN: Final = frozenset({"counted", "duplicate"})


class Answered(NamedTuple):
    """One answer: when it came (seconds since the start), who gave it, whether it was *right*, and what its label
    will say of it: whether it was *confirmed*, right or wrong."""

    at: float
    version: str
    right: bool
    confirmed: bool


class Waiting(NamedTuple):
    """An answer whose label is not known yet."""

    due: float
    id: str
    version: str
    predicted: int
    digit: int
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """The inference port."""

    host: str
    port: int

    async def ask(self, path: str, body: object) -> Any:
        """Post *body* as JSON over a connection of its own. Raises ValueError, OSError, EOFError."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            return (await exchange(reader, writer, path, json.dumps(body).encode()))[1]
        finally:
            writer.close()


class LabelledTraffic:
    """Callers of one gateway over *world*. *answered* grows by one for each label; *failures* counts what failed."""

    def __init__(self, address: Address, world: World, per_second: float, delay_seconds: float) -> None:
        self.answered: list[Answered] = []
        self.failures = 0
        self.address = address
        self._world = world
        self._per_second = per_second
        self._delay = delay_seconds
        self._waiting: deque[Waiting] = deque()
        self._most_waiting = MOST_DELAYS * per_second * delay_seconds
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the first request."""
        return time.monotonic() - self._began

    def right(self, last: int) -> float | None:
        """Return the share of the *last* labelled answers that were right, None before there are so many."""
        return mean([each.right for each in self.answered[-last:]]) if len(self.answered) >= last else None

    async def ask(self, stop: asyncio.Event) -> None:
        """Ask until *stop*; arrivals keep their rhythm whatever the answers do."""
        reader, writer = await asyncio.open_connection(self.address.host, self.address.port)
        due, number = time.monotonic(), 0
        try:
            while not stop.is_set():
                if len(self._waiting) > self._most_waiting:
                    await asyncio.sleep(LABEL_PERIOD_SECONDS)
                    continue
                number += 1
                try:
                    await self._one(reader, writer, f"demo-{number}")
                except (OSError, EOFError, ValueError):
                    self.failures += 1
                    writer.close()
                    reader, writer = await asyncio.open_connection(self.address.host, self.address.port)
                due = max(due + 1 / self._per_second, time.monotonic() - 1)  # a stall is not made up for by a flood
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: str) -> None:
        pixels, digit = self._world.picture()
        tensor = {"name": "input", "shape": [1, PIXELS], "datatype": "FP32", "data": pixels}
        body = json.dumps({"id": request, "inputs": [tensor]}).encode()
        _, answer = await exchange(reader, writer, f"/v2/models/{MODEL}/infer", body)
        (predicted,) = next(each["data"] for each in answer["outputs"] if each["name"] == "label")
        self._waiting.append(
            Waiting(self.seconds + self._delay, request, answer["model_version"], int(predicted), digit)
        )

    async def label(self, stop: asyncio.Event) -> None:
        """Say what was right of each answer, after the delay, until *stop*."""
        while not stop.is_set():
            await asyncio.sleep(LABEL_PERIOD_SECONDS)
            due: list[Waiting] = []
            while self._waiting and self._waiting[0].due <= self.seconds and len(due) < MOST_ITEMS:
                due.append(self._waiting.popleft())
            if due:
                await self._send(due)

    async def _send(self, due: Sequence[Waiting]) -> None:
        said = [self._world.said(each.digit) for each in due]
        items = [{"id": each.id, "label": label} for each, label in zip(due, said, strict=True)]
        try:
            answer = await self.address.ask(f"/v2/models/{MODEL}/feedback", {"feedback": items})
            taken = [each["status"] in TAKEN for each in answer["feedback"]]
        except (OSError, EOFError, ValueError):  # refused or lost: what was counted is a duplicate the next time
            taken = [False] * len(due)
        for each, label, is_taken in zip(due, said, taken, strict=True):
            if is_taken:
                self.answered.append(
                    Answered(
                        each.due - self._delay, each.version, each.predicted == each.digit, each.predicted == label
                    )
                )
            elif each.tries < MOST_TRIES:
                self._waiting.append(each._replace(tries=each.tries + 1))
            else:
                self.failures += 1


def mean(found: Sequence[bool]) -> float:
    """Return the share of true ones; *found* has at least one."""
    return sum(found) / len(found)
