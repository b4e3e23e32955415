"""A learner in a process of its own that kills itself at a place, as ``kill -9`` would.

``python -m tests.learning.dying_learner URL DIRECTORY MODEL PLACE NUMBER``: PLACE is ``acknowledge`` or ``save``,
before the NUMBERth of which it dies; number 0 lives, and learns all there is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.learning import estimators
from gateway.learning.assembling import frame_of
from gateway.learning.document import read
from gateway.learning.folder import Folder
from gateway.learning.learner import Learner
from gateway.learning.releasing import Releases
from gateway.store.redis_store import RedisRouteStore
from tests.learning.world import COLUMNS, FakeAdmin, FakePublisher, learner_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.labelled import Labelled
    from gateway.learning.state import State
    from gateway.ports.labels import LabelledStream


class Death:
    """Comes before the *number*th time that something is done."""

    def __init__(self, number: int) -> None:
        self._left = number

    def pass_by(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingStream:
    """The stream of a store, for one that may die before it acknowledges."""

    def __init__(self, stream: LabelledStream, death: Death) -> None:
        self._stream = stream
        self._death = death
        self.is_empty = False

    async def read(self, group: str, consumer: str, count: int, wait_ms: int) -> list[Labelled]:
        found = await self._stream.read(group, consumer, count, 0)
        self.is_empty = not found
        return found

    async def acknowledge(self, group: str, entries: Sequence[str]) -> None:
        self._death.pass_by()
        await self._stream.acknowledge(group, entries)

    async def pending(self, group: str) -> int:
        return await self._stream.pending(group)

    async def length(self) -> int:
        return await self._stream.length()


class DyingFolder(Folder):
    """A directory, for one that may die before its state is written."""

    def __init__(self, root: Path, death: Death) -> None:
        super().__init__(root)
        self._death = death

    def save(self, found: State) -> None:
        self._death.pass_by()
        super().save(found)


async def main(url: str, directory: str, model: str, place: str = "save", number: str = "0") -> dict[str, Any]:
    """Learn until nothing is left and return what is known then, or die."""
    deaths = {each: Death(int(number) if each == place else 0) for each in ("acknowledge", "save")}
    store = RedisRouteStore(url)
    document = read(learner_yaml(model=model, mini_batch=16))
    folder, admin = DyingFolder(Path(directory), deaths["save"]), FakeAdmin()
    stream = DyingStream(store.labelled(model), deaths["acknowledge"])

    def first() -> Any:
        return estimators.fresh(document)

    with folder.taken():
        releases = Releases(document, COLUMNS, folder, FakePublisher(), admin, first)
        learner = Learner(
            document, COLUMNS, frame_of(document, COLUMNS), folder, stream, admin, releases, first, lambda: 1.0,
            lambda _: None,
        )  # fmt: skip
        while not stream.is_empty:
            await learner.turn()
    scaler = learner.state.pipeline.steps[0][1]
    head = learner.state.head
    found = {
        "answers": head.answers, "rows": head.rows, "held_out": head.held_out, "seen": int(scaler.n_samples_seen_),
        "pending": await stream.pending(head.group), "mean": scaler.mean_.tolist(),
    }  # fmt: skip
    await store.close()
    return found


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
