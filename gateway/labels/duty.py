"""The task of a worker that brings what it served, and what labels said, to the store."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Final

from gateway.core.errors import StoreUnavailable

if TYPE_CHECKING:
    from gateway.labels.evidence import LabelEvidence
    from gateway.labels.memory import WorkerMemory

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 0.1

DOUBLINGS: Final = 3
"""So often the pause grows while rounds fail one after another. The first retry comes as soon as any round, for a label
may be waiting for it; the longest pause is still shorter than the desk waits before it calls an id unknown."""

JITTER: Final = 0.2
"""Of a pause after a failure, so that a fleet does not come back as one."""

LAST_SECONDS: Final = 2.0
"""How long a worker that ends tries to bring the rest to a store that does not answer: five times its timeout."""


def pause_seconds(failures: int) -> float:
    """Return how long to wait before the next round, after so many *failures* in a row."""
    if not failures:
        return EVERY_SECONDS
    return EVERY_SECONDS * (1 << min(failures - 1, DOUBLINGS)) * random.uniform(1 - JITTER, 1 + JITTER)


class LabelDuty:
    """Goes round for ever; what fails is tried again in the next round, which comes later the more have failed."""

    def __init__(self, memory: WorkerMemory, evidence: LabelEvidence) -> None:
        self._memory = memory
        self._evidence = evidence

    async def run_forever(self) -> None:
        """Go round for ever."""
        last, failures = time.monotonic(), 0
        while True:
            await asyncio.sleep(pause_seconds(failures))
            now = time.monotonic()
            self._memory.make_room(now - last)
            last = now
            failures = 0 if await self.go_round() else failures + 1

    async def go_round(self) -> bool:
        """Bring all of it to the store once, and say whether that answered."""
        try:
            await self._memory.flush()
            await self._evidence.flush()
        except StoreUnavailable as exc:
            log.debug("predictions and labels are kept until the store answers: %s", exc)
            return False
        return True

    async def finish(self) -> None:
        """Bring all of it to the store before the worker ends; call it when nobody else goes round.

        Tried again for LAST_SECONDS, for the label of an answer that is lost here is refused as unknown, for good.
        """
        until = time.monotonic() + LAST_SECONDS
        while not await self.go_round():
            if time.monotonic() >= until:
                log.warning("the store does not answer: labels of the last answers of this worker will be unknown")
                return
            await asyncio.sleep(EVERY_SECONDS)
