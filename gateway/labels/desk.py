"""Takes what callers say of answers, counts it once, and says what became of it.

The answer may have been given by another worker, which writes what it served within a tenth of a second: an id that is
not there is looked for again, twice, before it is called unknown. Where the store did not take all of that a moment
ago, nobody can know, and the caller is told to send it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway.core.cohorts import cohort_fields, hour_of
from gateway.core.errors import (
    FeedbackOverloaded,
    InvalidDocument,
    InvalidRequest,
    LabelConflict,
    LabelTooLate,
    StoreUnavailable,
    UnknownPrediction,
)
from gateway.core.feedback import fields_of, is_wrong, read_prediction
from gateway.core.labelled import example_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.core.errors import GatewayError
    from gateway.core.feedback import Fact, Prediction
    from gateway.labels.evidence import LabelEvidence
    from gateway.labels.memory import WorkerMemory
    from gateway.ports.labels import FeedbackStore, Remembered

SECOND_LOOK_SECONDS: Final = 0.25
"""Longer than another worker needs to write what it served."""

THIRD_LOOK_LATER: Final = 4
"""So many times as long is waited for a third look: a write that a busy machine holds up ends by its timeout, and
the next one comes a moment later."""
PATIENT: Final = 16
"""So many bodies wait for that at once; with more, ids that nobody served could keep labels from being read."""
BEHIND_SECONDS: Final = 5.0
"""After a write that failed, how long other workers may have something to write that was served before."""

AT_WORK: Final = 4
"""Bodies that are at the store at once: an eighth of its connections, so that a flood leaves the others to routes, and
requests come between any two steps of few."""
LOOKED_UP_AT_ONCE: Final = 50
"""Ids of one round trip: about 2 ms, in which no request is served."""
TURN_SECONDS: Final = 0.5
"""A body that waits longer for its turn is refused."""


class FeedbackDesk:
    """Implements ``ports.Feedback``."""

    def __init__(
        self,
        store: FeedbackStore,
        memory: WorkerMemory,
        evidence: LabelEvidence,
        *,
        second_look_seconds: float = SECOND_LOOK_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._memory = memory
        self._evidence = evidence
        self._second_look_seconds = second_look_seconds
        self._places = asyncio.Semaphore(AT_WORK)
        self._patient = 0
        self._clock = clock

    async def take(self, model: str, facts: Sequence[Fact]) -> Sequence[str | GatewayError]:
        """Return for each fact ``counted``, ``duplicate``, or why it is not counted.

        Raises StoreUnavailable, also for an id that nobody can call unknown yet, and FeedbackOverloaded where too many
        others wait. Some may be counted then; sent again they are duplicates.
        """
        found = await self._recall(model, facts)
        async with self._turn(model):
            return [await self._count(model, fact, held) for fact, held in zip(facts, found, strict=True)]

    @asynccontextmanager
    async def _turn(self, model: str) -> AsyncIterator[None]:
        """Wait for one of AT_WORK places at the store. Raises FeedbackOverloaded."""
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise FeedbackOverloaded(model) from None
        try:
            yield
        finally:
            self._places.release()

    async def _recall(self, model: str, facts: Sequence[Fact]) -> Sequence[Remembered | None]:
        ids = list(dict.fromkeys(fact.id for fact in facts))
        held = await self._look_up(model, ids)
        await self._look_again(model, held, self._second_look_seconds)
        if None in held.values() and self._memory.has_failed_lately(BEHIND_SECONDS):
            raise StoreUnavailable(
                f"the store did not take all answers in the last {BEHIND_SECONDS:g} s, so that an id which is not "
                "in it may be there soon; send it again"
            )
        if None in held.values() and self._patient < PATIENT:
            self._patient += 1
            try:
                await self._look_again(model, held, self._second_look_seconds * THIRD_LOOK_LATER)
            finally:
                self._patient -= 1
        return [held[fact.id] for fact in facts]

    async def _look_again(self, model: str, held: dict[str, Remembered | None], after_seconds: float) -> None:
        """Add to *held* what was not there and is now."""
        missing = [name for name, each in held.items() if each is None]
        if missing:
            await self._memory.flush()
            await asyncio.sleep(after_seconds)
            held |= await self._look_up(model, missing)

    async def _look_up(self, model: str, ids: Sequence[str]) -> dict[str, Remembered | None]:
        """Return id → what is remembered under it; so few at once that requests come in between."""
        held: dict[str, Remembered | None] = {}
        async with self._turn(model):
            for start in range(0, len(ids), LOOKED_UP_AT_ONCE):
                some = ids[start : start + LOOKED_UP_AT_ONCE]
                held |= zip(some, await self._store.recall(model, some), strict=True)
        return held

    async def _count(self, model: str, fact: Fact, held: Remembered | None) -> str | GatewayError:
        if held is None:
            return UnknownPrediction(model, fact.id)
        if held.is_late:
            return LabelTooLate(model, fact.id)
        try:
            prediction = read_prediction(held.payload)
            fields = fields_of(prediction, fact, held.age_seconds)
        except InvalidDocument as exc:
            return InvalidRequest(str(exc), "invalid_feedback")
        wrong = is_wrong(prediction, fact)
        copies = await self._copies_of(model, fact, prediction) if wrong is not None else []
        cohort = hour_of(self._clock() - held.age_seconds), cohort_fields(prediction, fields)
        came = await self._store.label(
            model, fact.id, fact.kind, fact.text, fields, cohort, example=example_of(prediction, fact)
        )
        if came == "unknown":
            return UnknownPrediction(model, fact.id)
        if came == "conflict":
            return LabelConflict(model, fact.id, fact.kind)
        if came == "counted" and wrong is not None:
            self._evidence.labelled(model, prediction, wrong=wrong)
            for copy in copies:
                self._evidence.paired(model, prediction, copy.version, wrong, is_wrong(copy, fact))
        return came

    async def _copies_of(self, model: str, fact: Fact, prediction: Prediction) -> Sequence[Prediction]:
        """Return what each canary of the rollout of *prediction* that got a copy predicted for the same request.

        Looked for before the label is counted: what fails here can be sent again.
        """
        if not prediction.rollout:
            return []
        found = []
        for payload in await self._store.copies(model, fact.id):
            with contextlib.suppress(InvalidDocument):
                found.append(read_prediction(payload))
        return [copy for copy in found if copy.rollout == prediction.rollout]
