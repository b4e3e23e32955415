"""A small world to learn in: points of two numbers, a version that serves, a gateway and a repository that are fakes.

The version that serves says "1" where the first number is positive; what is true may change.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.core.errors import StoreUnavailable
from gateway.core.phases import ENDED, Phase
from gateway.learning import estimators
from gateway.learning.admin import GatewayAway, LastRollout, RolloutRefused, Seen
from gateway.learning.assembling import frame_of
from gateway.learning.document import read
from gateway.learning.folder import Folder
from gateway.learning.learner import Learner
from gateway.learning.publishing import Candidate, Published
from gateway.learning.releasing import Releases
from gateway.learning.rows import Columns
from gateway.store.memory_labelled import MemoryLabelledStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.core.labelled import Labelled
    from gateway.learning.document import LearnerDocument

PLAN = {"steps": [{"weight": 10, "for": "1m"}]}
COLUMNS = Columns((), 2)


def learner_yaml(**members: Any) -> dict[str, Any]:
    """Return a document that publishes soon, with other *members*."""
    return {
        "model": "points", "task": "classification", "classes": [0, 1], "learner": "sgd",
        "warm_up": 20, "publish": {"labels": 50}, "gate": {"by": "1%", "least": 50},
        "hold_out": {"share": "20%", "rows": 100, "least": 10}, "backoff": {"first": "1m", "most": "10m"},
        "rollout": PLAN,
        **members,
    }  # fmt: skip


@dataclass
class FakeAdmin:
    """A gateway. *phase* is that of the last rollout, None for none; *candidate* is its version."""

    serves: int = 1
    phase: Phase | None = None
    candidate: int = 0
    is_away: bool = False
    refusal: str = ""
    drift: tuple[str, ...] = ()
    """What has drifted of the version that serves."""
    started: list[tuple[int, Mapping[str, Any], str]] = field(default_factory=list)

    def look(self) -> Seen:
        if self.is_away:
            raise GatewayAway("nothing answers at http://127.0.0.1:9090")
        if self.phase is None:
            return Seen(self.serves, None)
        return Seen(self.serves, LastRollout(self.phase, (self.candidate,), self.phase in ENDED, "labels"))

    def drifted(self, version: int) -> tuple[str, ...]:
        return self.drift if version == self.serves else ()

    def start(self, version: int, plan: Mapping[str, Any], reason: str) -> None:
        if self.refusal:
            raise RolloutRefused(self.refusal)
        self.started.append((version, plan, reason))
        self.phase, self.candidate = Phase.STEP, version

    def end(self, phase: Phase) -> None:
        """End the rollout under way."""
        self.phase = phase
        if phase is Phase.SUCCEEDED:
            self.serves = self.candidate


@dataclass
class FakePublisher:
    """A repository that has version 1."""

    made: list[Candidate] = field(default_factory=list)
    failed: str = ""
    raises: Exception | None = None

    def publish(self, candidate: Candidate) -> Published:
        if self.raises is not None:
            raise self.raises
        earlier = [place for place, each in enumerate(self.made) if each.attempt == candidate.attempt]
        if not earlier:
            self.made.append(candidate)
        return Published((earlier[0] if earlier else len(self.made) - 1) + 2, self.failed)


class World:
    """All of it below *root*. `learner` makes one more process's worth of learner over the same files and stream."""

    def __init__(self, root: Path, **members: Any) -> None:
        said = learner_yaml(**members)
        self.document: LearnerDocument = read({name: each for name, each in said.items() if each is not None})
        self.folder = Folder(root / "learning")
        self.admin = FakeAdmin()
        self.publisher = FakePublisher()
        self.now = 1_000_000.0
        self.is_store_away = False
        self.acknowledging: Callable[[], None] = lambda: None
        self.told: list[Mapping[str, Any]] = []
        self.stream = Watched(self._answer, lambda: self.acknowledging())
        self._chance = random.Random(5)
        self._count = 0
        self.folder._make()

    def learner(self) -> Learner:
        def first() -> Any:
            return estimators.fresh(self.document)

        releases = Releases(self.document, COLUMNS, self.folder, self.publisher, self.admin, first)
        return Learner(
            self.document, COLUMNS, frame_of(self.document, COLUMNS), self.folder, self.stream, self.admin, releases,
            first, lambda: self.now, self.told.append,
        )  # fmt: skip

    def label(self, count: int, truth: Callable[[float, float], Any] | None = None, **members: Any) -> None:
        """Have *count* answers labelled by *truth*; the serving version's own rule is right without one."""
        for _ in range(count):
            x, y = self._chance.uniform(-1, 1), self._chance.uniform(-1, 1)
            served = str(int(x > 0))
            said = served if truth is None else truth(x, y)
            self._count += 1
            entry = {
                "id": f"answer-{self._count}", "version": str(self.admin.serves), "kind": "label",
                "said": [str(said)], "predicted": [served], "at": self._count,
                "inputs": {"input": {"datatype": "FP32", "shape": [1, 2], "data": [x, y]}},
            } | members  # fmt: skip
            texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in entry.items()}
            self.stream.add(texts, 1_000_000)

    async def learn(self, learner: Learner | None = None) -> Learner:
        """Let a learner take turns until the stream has nothing for it, and a second to look at the gateway again."""
        found = learner or self.learner()
        while await self.stream.left(found.state.head.group):
            await self.turn(found)
        await self.turn(found)
        return found

    async def turn(self, learner: Learner) -> bool:
        self.now += 1.0
        return await learner.turn()

    def _answer(self) -> None:
        if self.is_store_away:
            raise StoreUnavailable("the store does not answer")


class Watched(MemoryLabelledStream):
    """A stream that does not wait, and calls *acknowledging* before it forgets."""

    def __init__(self, answer: Callable[[], None], acknowledging: Callable[[], None]) -> None:
        super().__init__(answer)
        self._acknowledging = acknowledging

    async def read(self, group: str, consumer: str, count: int, wait_ms: int) -> list[Labelled]:
        await asyncio.sleep(0)
        return self._read(group, consumer, count)

    async def acknowledge(self, group: str, entries: Sequence[str]) -> None:
        self._acknowledging()
        await super().acknowledge(group, entries)

    async def left(self, group: str) -> int:
        """Return how many *group* was not handed, or has not acknowledged."""
        known = self._groups.get(group)
        new = sum(int(each.partition("-")[0]) > (known.last if known else 0) for each in self._entries)
        return new + (len(known.held) if known else 0)


def flipped(x: float, y: float) -> int:
    """The opposite of what the serving version says."""
    return int(x <= 0)


def turned(x: float, y: float) -> int:
    """Another concept: half of what the serving version says is wrong."""
    return int(y > 0)
