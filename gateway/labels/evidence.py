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
from gateway.ports.evidence import Deltas

if TYPE_CHECKING:
    from gateway.core.feedback import Prediction
    from gateway.ports.evidence import EvidenceStore

log = logging.getLogger(__name__)

SIGHTINGS_MOST: Final = 2_000
"""So many wrong answers of sticky routes wait for the store; what comes while it is away beyond that is left out."""

_APART: Final = 0x9E3779B97F4A7C15
"""An odd number of 64 bits, so that one key's points for several canaries are as far apart as those of keys."""


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
        if wrong and not self._once_per_key(model, prediction, prediction.version, "wrong", prediction.point):
            return
        counts, _ = self._news_of(model, prediction)
        labelled = str(Counter(prediction.revision, prediction.version, "labelled"))
        counts[labelled] = counts.get(labelled, 0) + 1

    def paired(self, model: str, served: Prediction, canary: int, wrong: bool, canary_wrong: bool | None) -> None:
        """Count a label of a request that the *canary* predicted too, where one alone of it and *served* was right.

        *wrong*: whether the served one was not. On a sticky route a key counts once as lost and once as won,
        for each canary: the store remembers points by kind and not by version, so each canary has points of its own.
        """
        if canary_wrong is not None and canary_wrong != wrong:
            point = None if served.point is None else (served.point + canary * _APART) % (1 << 64)
            self._once_per_key(model, served, canary, "pair_lost" if canary_wrong else "pair_won", point)

    def _once_per_key(self, model: str, prediction: Prediction, version: int, kind: str, point: int | None) -> bool:
        """Count one of *kind* for *version*, on a sticky route once per key; say whether there was room for it."""
        counts, sightings = self._news_of(model, prediction)
        field = str(Counter(prediction.revision, version, kind))
        if point is None:
            counts[field] = counts.get(field, 0) + 1
        elif len(sightings) < SIGHTINGS_MOST:
            sightings.append((field, (point,)))
        else:
            return False
        return True

    def _news_of(self, model: str, prediction: Prediction) -> tuple[dict[str, int], list[tuple[str, tuple[int, ...]]]]:
        """Return what is new of the rollout of *prediction*: counts, and sightings of keys."""
        return self._new.setdefault((model, prediction.rollout), ({}, []))

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
