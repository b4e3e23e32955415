"""Stand-ins for what surrounds the control process: workers that say what they are told, a snapshot in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.auth import LoopbackDoor, Principal, Role
from gateway.control.operations import Operations
from gateway.core import document, seating, stored
from gateway.core.errors import Unauthenticated
from gateway.core.lineage import Lineage
from gateway.core.signature import Signature, TensorSpec
from gateway.core.versions import VersionState, VersionStatus
from gateway.ports.routes import AuditEntry, StoredRoute
from gateway.ports.workers import GoldenResult, WorkerReport
from gateway.store.memory import MemoryRouteStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.control.auth import Door
    from gateway.ports.notifications import NotificationDesk
    from gateway.recordings.files import RecordingFiles

READY = VersionState.READY
LOADING = VersionState.LOADING
FAILED = VersionState.FAILED
UNAVAILABLE = VersionState.UNAVAILABLE
UNLOADING = VersionState.UNLOADING

FOUR_FLOATS = Signature((TensorSpec("X", "FP32", (-1, 4)),), (TensorSpec("Y", "FP32", (-1, 4)),))
FIVE_FLOATS = Signature((TensorSpec("X", "FP32", (-1, 5)),), (TensorSpec("Y", "FP32", (-1, 5)),))


def no_metrics(_accept: str) -> tuple[bytes, str]:
    """Render an empty scrape."""
    return b"", "text/plain"


class FakeWorkers:
    """Implements ``ports.Workers``; each worker has its own states, by model and version."""

    def __init__(self, count: int = 2) -> None:
        self.states: list[dict[tuple[str, int], VersionStatus]] = [{} for _ in range(count)]
        self.revisions: dict[str, int] = {}
        self.not_ready: dict[str, str] = {}
        self.golden: list[Mapping[int, GoldenResult]] = []
        """What each worker's golden requests showed of each candidate of ``fraud``; none before they were replayed."""

    def say(
        self,
        model: str,
        version: int,
        state: VersionState,
        reason: str = "",
        *,
        worker: int | None = None,
        signature: Signature | None = None,
    ) -> None:
        """Let one worker, or all, report *state*."""
        if signature is None and state is READY:
            signature = FOUR_FLOATS
        status = VersionStatus(model, version, state, reason, "ab" * 32, signature)
        for index in range(len(self.states)) if worker is None else [worker]:
            self.states[index][model, version] = status

    def reports(self) -> Sequence[WorkerReport]:
        return [
            WorkerReport(
                slot,
                1000 + slot,
                self.not_ready,
                self.revisions,
                list(states.values()),
                store_up=True,
                golden={"fraud": self.golden[slot]} if self.golden else {},
            )
            for slot, states in enumerate(self.states)
        ]


class FakeSnapshot:
    """Implements ``ports.LastGood``."""

    def __init__(self) -> None:
        self.routes: dict[str, StoredRoute] = {}

    def read(self) -> Mapping[str, StoredRoute]:
        return self.routes

    def keep(self, model: str, split: Mapping[str, int], revision: int = 7) -> None:
        route = document.parse({"model": model, "split": split})
        payload = stored.encode(stored.Held(route, seating.seat_route(route)))
        self.routes[model] = StoredRoute("before", revision, stored.digest(payload), payload)


class FakeDoor:
    """Implements ``auth.Door``: the bearer token is the name of a role."""

    def identify(self, address: str | None, headers: Mapping[str, str]) -> Principal:
        role = headers.get("authorization", "").removeprefix("Bearer ")
        if role.upper() not in Role.__members__:
            raise Unauthenticated("no token")
        return Principal(role, Role[role.upper()])


class House:
    """A control process without a network: model ``fraud`` with versions 1, 2 and 3, all ready on two workers."""

    def __init__(self, door: Door | None = None) -> None:
        self.store = MemoryRouteStore()
        self.workers = FakeWorkers()
        self.snapshot = FakeSnapshot()
        self.on_disk: dict[str, set[int]] = {"fraud": {1, 2, 3}}
        self.operations = Operations(self.store, self.workers, lambda: self.on_disk, self.snapshot)
        self.door: Door = door or LoopbackDoor()
        self.described: dict[tuple[str, int], Mapping[str, object]] = {}
        self.tagged: dict[int, dict[str, str]] = {}
        self.lineage = Lineage({})
        self.notifications: NotificationDesk | None = None
        self.recordings: RecordingFiles | None = None
        for version in (1, 2, 3):
            self.workers.say("fraud", version, READY)

    async def route(self, split: Mapping[str, int], **members: object) -> int:
        """Write a route for ``fraud`` and return its revision."""
        data = {"split": split, **members}
        _, revision = await self.operations.put_route("fraud", data, expected=None, who="test", reason="set up")
        return revision

    async def history(self) -> Sequence[AuditEntry]:
        return await self.operations.history("fraud", 100)
