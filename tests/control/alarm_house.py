"""A control process in which rollouts have alarms, and a monitoring that answers what a test says."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.control.alarms import Alarms
from gateway.control.operations import Operations
from gateway.core.alarms import Answer, Silence, State
from gateway.core.phases import Phase
from tests.control.rollout_house import RolloutHouse

ALARM: dict[str, Any] = {"name": "shop", "query": "errors", "fires": "> 0.05", "for": "2s", "grace": "5s"}
GOOD, BAD, AWAY = Answer((0.0,)), Answer((0.9,)), Silence("it is away")


class FakeMonitoring:
    """Answers *reply* to everything, at once or when *gate* is opened."""

    def __init__(self) -> None:
        self.reply: Answer | Silence = GOOD
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None
        self.under_way = self.most_under_way = 0

    async def ask(self, query: str) -> Answer | Silence:
        self.asked.append(query)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.under_way -= 1
        return self.reply


class AlarmHouse(RolloutHouse):
    """A house with somebody to ask, and the clock of its store for everything."""

    def __init__(self) -> None:
        super().__init__()
        self.monitoring = FakeMonitoring()
        self.operations, self.alarms = self.new_operations()
        self.rollouts = self.operations.rollouts
        self.controller = self.new_controller("one")

    def new_operations(self) -> tuple[Operations, Alarms]:
        """Return what another process, or the same after a restart, has."""
        alarms = Alarms(self.monitoring, clock=lambda: self.store.seconds)
        return Operations(self.store, self.workers, lambda: self.on_disk, self.snapshot, alarms=alarms), alarms

    async def tick(self, seconds: float = 1.0, controller: Any = None) -> None:
        """Let time pass, look, and let what was asked be answered."""
        await super().tick(seconds, controller)
        for _ in range(5):
            await asyncio.sleep(0)

    async def walk_to_step(self, then: str = "hold", **changes: Any) -> None:
        """Start a rollout with one alarm, and walk it to its first step."""
        await self.begin(alarms=[ALARM | {"then": then}], steps=[{"weight": 5, "for": "24h"}], **changes)
        for _ in range(4):
            await self.tick()
        assert (await self.rollout()).phase is Phase.STEP

    async def phase(self) -> Phase:
        return (await self.rollout()).phase

    def state(self) -> State:
        return self.alarms.standings()["fraud"][0].state
