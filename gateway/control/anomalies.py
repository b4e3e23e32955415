"""Looks at every version's latency, errors and traffic of the last seconds, and tells what is out of the ordinary.

Of the workers of this replica, from memory that they share; what was before a start is not known after it, so nothing
is told in the first minutes. What is ordinary says ``core.anomalies``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.control.rollout_writes import WHO
from gateway.core.anomalies import WINDOW_SECONDS, VersionWatch
from gateway.core.errors import StoreUnavailable
from gateway.core.notification import Kind, noticed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.control.operations import Operations
    from gateway.core.anomalies import Anomaly
    from gateway.ports.metrics import Windows
    from gateway.ports.store import Store

log = logging.getLogger(__name__)


class AnomalyBoard:
    """Somebody calls ``tick`` at least every WINDOW_SECONDS; a call that comes early does nothing."""

    def __init__(
        self,
        operations: Operations,
        store: Store,
        windows: Windows,
        holder: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*holder* names this process in leases, as the controller does."""
        self._operations = operations
        self._store = store
        self._windows = windows
        self._holder = holder
        self._clock = clock
        self._looked_at: float | None = None
        self._watches: dict[tuple[str, int], VersionWatch] = {}
        self._told: dict[tuple[str, int], set[str]] = {}
        self._found: dict[str, dict[int, Sequence[Anomaly]]] = {}
        """Replaced whole at each look: a scrape reads it in a thread of its own."""

    def anomalies(self) -> Mapping[str, Mapping[int, Sequence[Anomaly]]]:
        """Return model → version → what is out of the ordinary now, of every version that is watched."""
        return self._found

    async def tick(self) -> None:
        """Take the window that ended, where one did."""
        now, before = self._clock(), self._looked_at
        if before is not None and now - before < WINDOW_SECONDS:
            return
        windows = await asyncio.to_thread(self._windows.take)
        self._looked_at = now
        if before is None:
            return
        named = {(model, int(version)): window for (model, version), window in windows.items() if version.isdigit()}
        self._watches = {key: self._watches.get(key) or VersionWatch() for key in named}
        for key, window in named.items():
            self._watches[key].look(window.requests, window.failures, window.p95_seconds, now - before)
        found: dict[str, dict[int, Sequence[Anomaly]]] = {}
        for (model, version), watch in sorted(self._watches.items()):
            found.setdefault(model, {})[version] = watch.anomalies(f"{model}/{version}")
        self._found = found
        await self._tell()

    async def _tell(self) -> None:
        for model, versions in self._found.items():
            for version, found in versions.items():
                known = self._told.get((model, version), set())
                self._told[model, version] = {each.series for each in found}
                for each in found:
                    if each.series not in known:
                        await self._tell_of(model, version, each)

    async def _tell_of(self, model: str, version: int, anomaly: Anomaly) -> None:
        log.warning("out of the ordinary: %s", anomaly.text, extra={"model": model})
        try:
            if await self._store.lease(model, self._holder):
                revision = (await self._operations.routes([model])).of(model).revision
                await self._store.tell(
                    noticed(Kind.UNUSUAL, model, revision, actor=WHO, reason=anomaly.text, version=version)
                )
        except StoreUnavailable as exc:
            log.debug("nobody is told of it while the store is away: %s", exc)
