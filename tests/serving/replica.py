"""One worker's watcher over a store, with what it adopts, and a way to write routes as the control process does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from gateway.core import document, seating, stored
from gateway.ports.routes import AuditEntry
from gateway.serving.snapshot import Snapshot
from gateway.serving.watcher import Watcher
from tests.serving.fakes import Floor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.ports.routes import RouteStore, StoredRoute

ENTRY = AuditEntry(0, "test", "because", "route", None, None)


def payload(split: Mapping[str, int], *, model: str = "fraud", **members: Any) -> bytes:
    made = document.parse({"model": model, "split": dict(split), **members})
    return stored.encode(stored.Held(made, seating.seat_route(made)))


async def write(
    store: RouteStore, split: Mapping[str, int], expected: int, *, model: str = "fraud", **members: Any
) -> StoredRoute:
    """Write a route of *model* over revision *expected*; a member ``incarnation`` is that of a restore."""
    incarnation = members.pop("incarnation", None)
    content = payload(split, model=model, **members)
    return await store.write(model, content, ENTRY, expected=expected, incarnation=incarnation)


class Replica:
    """A worker that follows routes. *models* (by default ``fraud``) have the versions 1 and 2, both ready."""

    def __init__(self, store: RouteStore, state_dir: Path, *models: str) -> None:
        self.store = store
        self.floor = Floor()
        self.snapshot = Snapshot(state_dir)
        self.answers: list[bool] = []
        self.refusals: list[str] = []
        self.watcher = Watcher(
            store,
            self.floor.adoption,
            self.snapshot,
            self.floor.held.models,
            answered=self.answers.append,
            refused=self.refusals.append,
        )
        self.adopted_at: dict[int, float] = {}
        self._changed = asyncio.Event()
        self.floor.adoption.subscribe(self._note)
        self._tasks: list[asyncio.Task[None]] = []
        for model in models or ("fraud",):
            for version in (1, 2):
                self.floor.held.hold(model, version)

    def served(self, model: str = "fraud") -> int | None:
        live = self.floor.table.routes.get(model)
        return None if live is None else live.revision

    def split(self, model: str = "fraud") -> dict[int, int]:
        return dict(self.floor.table.route(model).routing.document.split)

    def follow(self, *, nudged: bool) -> None:
        """Poll for ever, and early where *nudged*."""
        self._tasks.append(asyncio.create_task(self.watcher.poll_forever()))
        if nudged:
            self._tasks.append(asyncio.create_task(self.watcher.nudge_forever()))

    async def serves(self, revision: int, *, within_seconds: float = 5.0) -> None:
        """Wait until *revision* is served."""
        async with asyncio.timeout(within_seconds):
            while self.served() != revision:
                self._changed.clear()
                await self._changed.wait()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note(self) -> None:
        live = self.floor.table.routes.get("fraud")
        if live is not None:
            self.adopted_at.setdefault(live.revision, time.monotonic())
        self._changed.set()
