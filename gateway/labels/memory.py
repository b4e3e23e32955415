"""What this worker served, on its way to the store: taken in a bounded queue, written in batches beside the requests.

A request leaves references and goes on. A tenth of a second later they are read, and what is kept of them is text.
How many are taken is bounded by a rate, for each one costs the store memory as long as labels may come; more are
counted and let go. While the store is away the queue fills up, and then the same happens.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.errors import CorruptRoute
from gateway.core.feedback import SPLIT, Prediction
from gateway.labels.reading import said_by
from gateway.ports import REMEMBERED_AT_ONCE, Served

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.signature import Signature
    from gateway.ports import FeedbackStore, Tensor

log = logging.getLogger(__name__)

BURST: Final = 5_000
"""So many predictions are held here, and so many are taken at once after a rest."""

READ_AT_ONCE: Final = 20
"""So many are read before requests have their turn: about a millisecond."""

ID_CHARACTERS: Final = 256
PAYLOAD_BYTES: Final = 4_096


class _Answer(NamedTuple):
    """What a request leaves."""

    id: str
    model: str
    version: int
    signature: Signature
    outputs: Sequence[Tensor]
    rule: str
    revision: int
    rollout: str
    point: int | None
    is_copy: bool = False


class WorkerMemory:
    """Implements ``ports.PredictionMemory``."""

    def __init__(self, store: FeedbackStore, *, ttl_seconds: float, per_second: int) -> None:
        """*per_second*: how many predictions are taken, beyond a burst."""
        self.room = BURST
        self._store = store
        self._ttl_seconds = ttl_seconds
        self._per_second = per_second
        self._left: deque[_Answer] = deque()
        self._ready: dict[str, list[Served]] = {}
        self.skipped: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._credit = 0.0
        self._writing = asyncio.Lock()

    def served(
        self,
        name: str,
        model: str,
        version: int,
        signature: Signature,
        outputs: Sequence[Tensor],
        rule: str,
        revision: int,
        rollout: str,
        point: int | None,
    ) -> None:
        """Take one prediction."""
        self.room -= 1
        self._left.append(_Answer(name, model, version, signature, outputs, rule, revision, rollout, point))

    def copied(
        self,
        name: str,
        model: str,
        version: int,
        signature: Signature,
        outputs: Sequence[Tensor],
        revision: int,
        rollout: str,
    ) -> None:
        """Take a shadow's prediction, where there is room; one that is left out makes no pair."""
        if self.room > 0:
            self.room -= 1
            self._left.append(
                _Answer(name, model, version, signature, outputs, "shadow", revision, rollout, None, is_copy=True)
            )

    def make_room(self, seconds: float) -> None:
        """Take more, as *seconds* have passed since the last call."""
        held = len(self._left) + sum(map(len, self._ready.values()))
        self._credit += self._per_second * seconds
        more = int(self._credit)
        self._credit -= more
        self.room = min(BURST - held, self.room + more)

    async def flush(self) -> None:
        """Read what requests left, and write what can be. Raises StoreUnavailable, with nothing lost."""
        while self._left:
            for _ in range(min(READ_AT_ONCE, len(self._left))):
                self._read(self._left.popleft())
            await asyncio.sleep(0)  # whoever sent a request meanwhile comes first
        async with self._writing:
            for model in {*self._ready, *(model for model, _ in self.skipped)}:
                await self._write(model)

    def _read(self, answer: _Answer) -> None:
        served = _kept(answer)
        if served is not None:
            self._ready.setdefault(answer.model, []).append(served)
        elif not answer.is_copy:
            self.skipped[answer.model, answer.version] += 1

    async def _write(self, model: str) -> None:
        ready = self._ready.get(model, [])
        while (dropped := self._take_skipped(model)) or ready:
            batch = ready[:REMEMBERED_AT_ONCE]
            try:
                await self._store.remember(model, batch, ttl_seconds=self._ttl_seconds, dropped=dropped)
            except CorruptRoute as exc:
                log.error("predictions of %r are not remembered: %s", model, exc)
            except BaseException:
                for (version, _), many in dropped.items():
                    self.skipped[model, version] += many
                raise
            del ready[: len(batch)]

    def _take_skipped(self, model: str) -> dict[tuple[int, str], int]:
        """Return version and counter → predictions of *model* that were skipped since the last call."""
        versions = [version for name, version in self.skipped if name == model]
        return {(version, "dropped"): self.skipped.pop((model, version)) for version in versions}


def _kept(answer: _Answer) -> Served | None:
    """Return what is remembered of *answer*; None where that would be too much."""
    said = said_by(answer.signature, answer.outputs)
    if said is None or len(answer.id) > ID_CHARACTERS:
        return None
    payload = Prediction(
        answer.version, answer.revision, answer.rule, *said, rollout=answer.rollout, point=answer.point
    ).encoded()
    if len(payload) > PAYLOAD_BYTES:
        return None
    return Served(answer.id, answer.version, payload, answer.is_copy, answer.revision if answer.rule == SPLIT else 0)
