"""The quality of every version, as ``/metrics`` shows it: read out of the store once a second, or seldomer."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from gateway.core.errors import CorruptRoute, StoreUnavailable
from gateway.core.quality import read_quality

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from gateway.core.quality import Quality
    from gateway.ports.labels import FeedbackStore

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 1.0

LOOKING_SHARE: Final = 0.05
"""Of a processor: what looking may take. With hundreds of models a look takes longer, and there are fewer."""


class QualityBoard:
    """Implements ``ports.QualityMetrics``; what was read last is shown while the store is away."""

    def __init__(self, store: FeedbackStore, models: Callable[[], Collection[str]]) -> None:
        self._store = store
        self._models = models
        self._seen: dict[str, Mapping[int, Quality]] = {}
        self._complaints: dict[str, str] = {}

    def qualities(self) -> Mapping[str, Mapping[int, Quality]]:
        """Return model → version → quality, of those of which something is known."""
        return dict(self._seen)

    async def run_forever(self) -> None:
        """Look for ever."""
        while True:
            began = time.thread_time()
            await self.look()
            await asyncio.sleep(max(EVERY_SECONDS, (time.thread_time() - began) / LOOKING_SHARE))

    async def look(self) -> None:
        """Read what the store counted of each model."""
        models = self._models()
        self._seen = {model: seen for model, seen in self._seen.items() if model in models}
        try:
            found = await self._store.qualities(tuple(models))
        except StoreUnavailable:
            return
        for model, words in found.items():
            if isinstance(words, CorruptRoute):
                self._complain(model, words)
            elif quality := read_quality([words]):
                self._seen[model] = quality

    def _complain(self, model: str, why: CorruptRoute) -> None:
        """Log what cannot be read, once until something else is wrong with it."""
        if self._complaints.get(model) != str(why):
            self._complaints[model] = str(why)
            log.error("the quality of %r cannot be read: %s", model, why)
