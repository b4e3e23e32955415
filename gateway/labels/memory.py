"""What this worker served, on its way to the store: taken in a bounded queue, written in batches beside the requests.

A request leaves references and goes on. A tenth of a second later they are read, and what is kept of them is text.
How many are taken is bounded by a rate, for each one costs the store memory as long as labels may come; more are
counted and let go. While the store is away the queue fills up, and then the same happens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.errors import CorruptRoute, StoreUnavailable
from gateway.core.feedback import SPLIT, Prediction
from gateway.core.quality import DROPS
from gateway.labels.reading import said_by
from gateway.labels.waiting_inputs import WaitingInputs
from gateway.ports.labels import REMEMBERED_AT_ONCE, Served

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.signature import Signature
    from gateway.ports.engine import Tensor
    from gateway.ports.labels import AskedInputs, FeedbackStore, InputWriter

log = logging.getLogger(__name__)

BURST: Final = 5_000
"""So many predictions are held here, and so many are taken at once after a rest."""

READ_AT_ONCE: Final = 20
"""So many are read before requests have their turn: about a millisecond."""

ID_CHARACTERS: Final = 256
PAYLOAD_BYTES: Final = 4_096
INPUTS_AT_ONCE_BYTES: Final = 1 << 20
"""Of one write: the store answers nobody else meanwhile."""


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
    asked: AskedInputs | None = None
    is_copy: bool = False


class WorkerMemory:
    """Implements ``ports.PredictionMemory``."""

    def __init__(self, store: FeedbackStore, writer: InputWriter, *, ttl_seconds: float, per_second: int) -> None:
        """*per_second*: how many predictions are taken, beyond a burst. *writer*: of inputs that are kept."""
        self.room = BURST
        self._store = store
        self._ttl_seconds = ttl_seconds
        self._per_second = per_second
        self._left: deque[_Answer] = deque()
        self._ready: dict[str, list[Served]] = {}
        self.skipped: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._dropped: defaultdict[tuple[str, int, str], int] = defaultdict(int)
        self._inputs = WaitingInputs(writer)
        self._credit = 0.0
        self._writing = asyncio.Lock()
        self._failed_at = -inf

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
        asked: AskedInputs | None,
    ) -> None:
        """Take one prediction."""
        self.room -= 1
        if asked is not None and (reason := self._inputs.take(asked)):
            self._dropped[model, version, DROPS[reason]] += 1
            asked = None
        self._left.append(_Answer(name, model, version, signature, outputs, rule, revision, rollout, point, asked))

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
        async with self._writing:
            while self._left:
                await self._read([self._left.popleft() for _ in range(min(READ_AT_ONCE, len(self._left)))])
                await asyncio.sleep(0)  # whoever sent a request meanwhile comes first
            try:
                for model in {*self._ready, *(key[0] for key in self.skipped), *(key[0] for key in self._dropped)}:
                    await self._write(model)
            except StoreUnavailable:
                self._failed_at = time.monotonic()
                raise

    def has_failed_lately(self, seconds: float) -> bool:
        """Say whether something could not be written in the last *seconds*; other workers may be behind too then."""
        return time.monotonic() - self._failed_at < seconds

    async def _read(self, answers: Sequence[_Answer]) -> None:
        try:
            texts = await self._inputs.read([answer.asked for answer in answers])
        except asyncio.CancelledError:  # whoever waited for this left; the next round reads them
            self._left.extendleft(reversed(answers))
            raise
        for answer, text in zip(answers, texts, strict=True):
            if isinstance(text, str):
                self._dropped[answer.model, answer.version, DROPS[text]] += 1
            served = _kept(answer, text if isinstance(text, bytes) else b"")
            if served is not None:
                self._ready.setdefault(answer.model, []).append(served)
                continue
            if isinstance(text, bytes):
                self._inputs.gone(text)
            if not answer.is_copy:
                self._dropped[answer.model, answer.version, DROPS["large"]] += 1

    async def _write(self, model: str) -> None:
        """Write what is ready of *model*, and what was dropped up to now: what is dropped meanwhile waits for the next
        call, or a write for each request that comes during another would go on for as long as requests come.
        """
        ready, dropped = self._ready.get(model, []), self._take_dropped(model)
        while dropped or ready:
            batch = _batch(ready)
            try:
                await self._store.remember(model, batch, ttl_seconds=self._ttl_seconds, dropped=dropped)
            except CorruptRoute as exc:
                log.error("predictions of %r are not remembered: %s", model, exc)
            except BaseException:
                for (version, counter), many in dropped.items():
                    self._dropped[model, version, counter] += many
                raise
            for each in batch:
                self._inputs.gone(each.inputs)
            del ready[: len(batch)]
            dropped = {}

    def _take_dropped(self, model: str) -> dict[tuple[int, str], int]:
        """Return version and counter → what of *model* was not remembered, since the last call."""
        for name, version in [key for key in self.skipped if key[0] == model]:
            self._dropped[model, version, DROPS["full"]] += self.skipped.pop((name, version))
        mine = [(version, counter) for name, version, counter in self._dropped if name == model]
        return {each: self._dropped.pop((model, *each)) for each in mine}


def _batch(ready: Sequence[Served]) -> Sequence[Served]:
    """Return the first of *ready* that are written at once: so many, and of their inputs so many bytes."""
    size = 0
    for index, each in enumerate(ready[:REMEMBERED_AT_ONCE]):
        size += len(each.inputs)
        if size > INPUTS_AT_ONCE_BYTES:
            return ready[: max(1, index)]
    return ready[:REMEMBERED_AT_ONCE]


def _kept(answer: _Answer, inputs: bytes) -> Served | None:
    """Return what is remembered of *answer*, beside the text of its *inputs*; None where that would be too much."""
    said = said_by(answer.signature, answer.outputs)
    if said is None or len(answer.id) > ID_CHARACTERS:
        return None
    payload = Prediction(
        answer.version, answer.revision, answer.rule, *said, rollout=answer.rollout, point=answer.point
    ).encoded()
    if len(payload) > PAYLOAD_BYTES:
        return None
    under = answer.revision if answer.rule == SPLIT else 0
    stream = answer.asked.keeping.stream if answer.asked is not None else 0
    return Served(answer.id, answer.version, payload, answer.is_copy, under, inputs, stream)
