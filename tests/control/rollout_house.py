"""A control process in which rollouts run: a store with a clock that tests move, workers that follow, and traffic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.control.controller import Controller
from gateway.control.operations import Operations
from gateway.control.rollout_news import RolloutNews
from gateway.core import stored
from gateway.core.evidence import Counter
from gateway.ports.evidence import Deltas
from gateway.ports.workers import GoldenResult
from gateway.store.memory import MemoryRouteStore
from tests.control.fakes import READY, FakeWorkers, House

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.rollout import Rollout
    from gateway.core.stored import Held
    from gateway.core.versions import VersionState

PLAN: Mapping[str, Any] = {
    "steps": [{"weight": 5, "for": "10s"}, {"weight": 50, "for": "10s"}],
    "holdback": {"weight": 95, "for": "10s"},
}


class ClockedStore(MemoryRouteStore):
    """A store whose clock stands still until a test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 1_000.0

    async def now(self) -> float:
        self._answer()
        return self.seconds


class NumberedFiles(FakeWorkers):
    """Workers whose versions are files of their own; *digests* says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.digests = {version: f"{version:02x}" * 32 for version in range(1, 10)}

    def say(self, model: str, version: int, state: VersionState, reason: str = "", **given: Any) -> None:
        super().say(model, version, state, reason, **given)
        for states in self.states:
            if (model, version) in states:
                states[model, version] = replace(states[model, version], digest=self.digests[version])


class RolloutHouse(House):
    """Model ``fraud`` with all traffic on version 1, and a controller that tests tick."""

    def __init__(self) -> None:
        super().__init__()
        self.store: ClockedStore = ClockedStore()
        self.workers: NumberedFiles = NumberedFiles()
        for version in (1, 2, 3):
            self.workers.say("fraud", version, READY)
        self.operations = Operations(
            self.store, self.workers, lambda: self.on_disk, self.snapshot,
            describe=lambda model, version: self.described.get((model, version)), evaluated=self._evaluated,
            replica="here",
        )  # fmt: skip
        self.rollouts = self.operations.rollouts
        self.news = RolloutNews()
        self.controller = self.new_controller("one")
        self.golden = ("", "")
        """What golden requests show on every worker: what they lack, and what failed."""
        self.golden_of: dict[int, tuple[str, str]] = {}
        """The same of one candidate, where it differs."""
        self.evaluated: dict[tuple[str, int, str], str] = {}
        """Why the file of a version did not pass its evaluation, empty where it did; others were not evaluated."""
        self._flushes = 0

    def _evaluated(self, model: str, version: int, sha256: str) -> tuple[bool, str]:
        why = self.evaluated.get((model, version, sha256), "it was not evaluated")
        return not why, why

    def new_controller(self, holder: str) -> Controller:
        return Controller(self.operations, self.store, self.news, holder, clock=lambda: self.store.seconds)

    async def begin(self, *candidates: int, **changes: object) -> Rollout:
        """Start a rollout of *candidates*, or of version 2, writing the route first where there is none."""
        if await self.store.read("fraud") is None:
            await self.route({"1": 100})
        rollout, _ = await self.rollouts.start(
            "fraud", candidates or (2,), {**PLAN, **changes}, expected=None, who="ann", reason="why not"
        )
        return rollout

    async def held(self) -> Held:
        found = await self.store.read("fraud")
        assert found is not None
        return stored.decode("fraud", found.payload, found.digest)

    async def rollout(self) -> Rollout:
        rollout = (await self.held()).rollout
        assert rollout is not None
        return rollout

    async def revision(self) -> int:
        found = await self.store.read("fraud")
        assert found is not None
        return found.revision

    async def split(self) -> dict[int, int]:
        return dict((await self.held()).document.split)

    async def follow(self) -> None:
        """Let every worker serve the route as it is, and replay the golden requests of its canaries."""
        self.workers.revisions["fraud"] = await self.revision()
        rollout = (await self.held()).rollout
        if rollout is not None:
            found = {
                version: GoldenResult(rollout.id, *self.golden_of.get(version, self.golden))
                for version in rollout.candidates
            }
            self.workers.golden = [found for _ in self.workers.states]

    async def tick(self, seconds: float = 1.0, controller: Controller | None = None) -> None:
        """Let time pass, the workers follow, and the controller look."""
        self.store.seconds += seconds
        if not self.store._is_away:
            await self.follow()
        await (controller or self.controller).tick()

    async def count(self, canary: int, *, failed: int = 0, baseline: int = 0, version: int = 2) -> None:
        """Let a worker flush what it counted, of the canary *version*, under the revision that it serves."""
        revision, rollout = await self.revision(), await self.rollout()
        counts = {
            Counter(revision, version, "n"): canary,
            Counter(revision, version, "failed"): failed,
            Counter(revision, version, "error"): failed,
            Counter(revision, rollout.baseline, "n"): baseline,
        }
        self._flushes += 1
        deltas = Deltas({str(counter): count for counter, count in counts.items() if count})
        assert await self.store.flush("fraud", rollout.id, worker="w", seq=self._flushes, deltas=deltas) is not None

    async def to_step(self, *candidates: int, **changes: object) -> Rollout:
        """Start a rollout and walk it to its first step."""
        await self.begin(*candidates, **changes)
        await self.tick()
        await self.tick()
        return await self.rollout()
