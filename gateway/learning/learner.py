"""The learner: reads, tests, learns, writes that down, and only then tells the stream that it is done with it.

A process that is killed anywhere finds itself as it was when its state was last written: what was read and not
acknowledged comes again, and what of it is in the state is acknowledged and not learned. Decides nothing itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import CorruptRoute, StoreUnavailable
from gateway.core.learning import interval
from gateway.learning import estimators, folder
from gateway.learning.admin import GatewayAway
from gateway.learning.errors import CannotLearn, Diverged
from gateway.learning.rows import none_of
from gateway.learning.state import Head, State, new_group
from gateway.learning.teaching import absorb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.learning.admin import Admin, Seen
    from gateway.learning.centres import ServedCentres
    from gateway.learning.document import LearnerDocument
    from gateway.learning.folder import Folder
    from gateway.learning.releasing import Releases
    from gateway.learning.rows import Columns
    from gateway.ports.labels import LabelledStream

CONSUMER: Final = "learner"
"""There is one per group: the directory's lock sees to it."""

WAIT_MS: Final = 500
PAUSE_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 1.0
"""How often the gateway is asked what serves, and where that counts what drifts."""


class Learner:
    """One learner over one directory, whose lock the caller holds. *first* returns a pipeline to begin with.

    *tell* is called with the status whenever another decision was made, or something is in the way. *served*: among
    clusters, the version that serves, to compare with.
    """

    def __init__(
        self, document: LearnerDocument, columns: Columns, frame: str, where: Folder, stream: LabelledStream,
        admin: Admin, releases: Releases, first: Callable[[], Any], clock: Callable[[], float],
        tell: Callable[[Mapping[str, Any]], None], served: ServedCentres | None = None,
    ) -> None:  # fmt: skip
        self._document = document
        self._columns = columns
        self._folder = where
        self._stream = stream
        self._admin = admin
        self._releases = releases
        self._clock = clock
        self._tell = tell
        self._served = served
        self._told: tuple[object, ...] = ()
        self._seen: Seen | None = None
        self._looked = float("-inf")
        self._trouble = ""
        self.state = where.load() or self._fresh(frame, first)
        if self.state.head.frame != frame:
            raise CannotLearn(
                f"what was learned in {where.root} is of another learner, other classes or other inputs "
                f"({self.state.head.frame}, and now {frame}); keep the document as it was, or move the directory away"
            )

    def _fresh(self, frame: str, first: Callable[[], Any]) -> State:
        nothing = none_of(self._columns, is_text=bool(self._document.classes))
        head = Head(self._document.model, frame, new_group(), looked_at=self._clock())
        head.serving = self._admin.look().serving
        head.origin = head.base = head.serving if self._document.start else 0
        return State(head, first(), nothing, nothing)

    async def run(self, stop: asyncio.Event) -> None:
        """Learn until *stop* is set. What was begun is ended: a conversion takes some seconds."""
        while not stop.is_set():
            if not await self.turn():
                await _pause(stop, PAUSE_SECONDS)
        self._say(running=False)

    async def turn(self) -> bool:
        """Do what there is to do once; return False where it would be best to wait a little before the next."""
        if self._folder.has(folder.RESET):
            self._reset()
        if self._folder.has(folder.PAUSED):
            self._say(paused=True)
            return False
        self._trouble = ""
        await self._look()
        if self._served is not None and not self._trouble:
            self._trouble = self._served.why_not(self.state.head.serving)
        is_well = await self._read()
        if self._seen is not None:
            await self._releases.consider(self.state, self._seen, self._clock())
        self._say()
        return is_well

    async def _look(self) -> None:
        """Ask the gateway what serves, once a second; while it is away nothing is published."""
        if self._clock() - self._looked < LOOK_SECONDS:
            return
        try:
            self._seen = await asyncio.to_thread(self._admin.look)
            self._looked = self._clock()
            await self._releases.follow(self.state, self._seen, self._clock())
            if self._document.schedule.on_drift:
                serving = self.state.head.serving
                self._releases.hear(self.state, await asyncio.to_thread(self._admin.drifted, serving))
        except GatewayAway as exc:
            self._seen, self._trouble = None, str(exc)

    async def _read(self) -> bool:
        """Learn what the stream has, at most one step; return False where the stream does not answer."""
        group = self.state.head.group
        try:
            answers = await self._stream.read(group, CONSUMER, self._document.mini_batch, WAIT_MS)
        except (StoreUnavailable, CorruptRoute) as exc:
            self._trouble = str(exc)
            return False
        if not answers:
            return True
        try:
            new = absorb(self.state, answers, self._document, self._columns, self._served)
        except Diverged as exc:
            self._releases.recover(self.state, exc)
            new = len(answers)
        if new:
            self._folder.save(self.state)
        try:
            await self._stream.acknowledge(group, [each.entry for each in answers])
        except (StoreUnavailable, CorruptRoute) as exc:  # they come again, and are known
            self._trouble = str(exc)
            return False
        return True

    def _reset(self) -> None:
        """Begin again from the serving version, as an operator asked; what was read stays read."""
        self._releases.begin_again(self.state)
        self.state.head.failures, self.state.head.wait_until = 0, 0.0
        self.state.head.words = "an operator had learning begin again"
        self._folder.save(self.state)
        self._folder.withdraw(folder.RESET)

    def _say(self, *, paused: bool = False, running: bool = True) -> None:
        """Leave for operators what is known now."""
        head = self.state.head
        found = interval(head.comparison, self._document.gate.alpha)
        status = {
            "model": head.model, "running": running, "paused": paused, "serving": str(head.serving),
            "answers": head.answers, "rows": head.rows, "held_out": head.held_out,
            "not_learned": head.not_learned, "learned_to": head.learned_to, "changes": head.changes,
            "drifts": head.drifts, "is_drifting": head.is_drifting,
            "compared": {
                "rows": head.comparison.rows, "difference": head.comparison.difference,
                "low": found.low, "high": found.high,
            },
            "is_fitted": estimators.is_fitted(self.state.pipeline),
            "rollout": str(head.published) if head.published else None, "attempts": head.attempts,
            "failures": head.failures, "wait_seconds": max(0.0, round(head.wait_until - self._clock(), 1)),
            "decision": head.words, "trouble": self._trouble,
        }  # fmt: skip
        self._folder.say(status)
        news = (running, paused, head.words, self._trouble)
        if news != self._told:
            self._told = news
            self._tell(status)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
