"""Tells the rollouts what labels said of their two versions, under the revision that served each request.

A label is counted in the quality first, and that is where it is exact. A worker that ends between that and the next
flush takes a few events of evidence with it: the judgement waits a little longer, and is none the worse.
"""

from __future__ import annotations

import logging
from itertools import count
from typing import TYPE_CHECKING, Final

from gateway.core.errors import CorruptRoute, InvalidDocument
from gateway.core.evidence import Counter
from gateway.ports import Deltas

if TYPE_CHECKING:
    from gateway.core.feedback import Prediction
    from gateway.ports import EvidenceStore

log = logging.getLogger(__name__)

SIGHTINGS_MOST: Final = 2_000
"""So many wrong answers of sticky routes wait for the store; what comes while it is away beyond that is left out."""


class LabelEvidence:
    """What labels said and the store does not know yet."""

    def __init__(self, store: EvidenceStore, worker: str) -> None:
        """*worker* names this incarnation, as nobody else is named."""
        self._store = store
        self._worker = worker
        self._numbers = count(1)
        self._new: dict[tuple[str, str], tuple[dict[str, int], list[tuple[str, tuple[int, ...]]]]] = {}
        self._sending: tuple[str, str, int, Deltas] | None = None

    def labelled(self, model: str, prediction: Prediction, *, wrong: bool) -> None:
        """Count one label of *prediction*, where it is evidence. On a sticky route a wrong one counts once per key."""
        if not prediction.rollout:
            return
        counts, sightings = self._new.setdefault((model, prediction.rollout), ({}, []))
        labelled = str(Counter(prediction.revision, prediction.version, "labelled"))
        field = str(Counter(prediction.revision, prediction.version, "wrong"))
        if wrong and prediction.point is not None:
            if len(sightings) >= SIGHTINGS_MOST:
                return
            sightings.append((field, (prediction.point,)))
        elif wrong:
            counts[field] = counts.get(field, 0) + 1
        counts[labelled] = counts.get(labelled, 0) + 1

    async def flush(self) -> None:
        """Send all of it. Raises StoreUnavailable; the next call sends the same again, under the same number."""
        while self._sending or self._new:
            if self._sending is None:
                (model, rollout), (counts, sightings) = self._new.popitem()
                self._sending = model, rollout, next(self._numbers), Deltas(counts, sightings)
            model, rollout, number, deltas = self._sending
            try:
                await self._store.flush(model, rollout, worker=self._worker, seq=number, deltas=deltas)
            except (CorruptRoute, InvalidDocument) as exc:
                log.error("labels of %r are no evidence for its rollout: %s", model, exc)
            self._sending = None
