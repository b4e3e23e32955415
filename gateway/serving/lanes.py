"""The lanes of this worker: one per loaded version, made when it is first needed, closed when it has drained."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

from gateway.core.errors import Starting, UnknownModel, UnknownVersion, VersionUnavailable
from gateway.core.limits import DEFAULT
from gateway.serving.batching import Lane
from gateway.serving.caching import CachingLane
from gateway.serving.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.models.catalog import Catalog
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import RunLog
    from gateway.serving.drift import RequestSample
    from gateway.serving.watchdog import Watchdog


class Lanes:
    """Hands out the lane of a ready version."""

    def __init__(
        self,
        catalog: Catalog,
        watchdog: Watchdog,
        runs: RunLog,
        *,
        max_queue: int,
        output_bytes: int = DEFAULT.output_bytes,
    ) -> None:
        """*max_queue* and *output_bytes*: as in ``Lane``."""
        self._catalog = catalog
        self._watchdog = watchdog
        self._runs = runs
        self._max_queue = max_queue
        self._output_bytes = output_bytes
        self._lanes: dict[LoadedVersion, Lane] = {}
        self.outbox = Outbox()
        """Holds the answers of a batch of any lane until all of them are made."""
        catalog.subscribe(lambda _: self._prune())

    def ready(self, model: str, version: int) -> Lane | None:
        """Return the lane of a version, None when it is not READY."""
        loaded = self._catalog.ready(model, version)
        if loaded is None:
            return None
        lane = self._lanes.get(loaded)
        if lane is None:
            kind = CachingLane if loaded.metadata.serving.cache_bytes else Lane
            lane = self._lanes[loaded] = kind(
                loaded, self._watchdog, self._runs, max_queue=self._max_queue, output_bytes=self._output_bytes,
                outbox=self.outbox,
            )  # fmt: skip
        return lane

    def are_waited_for(self) -> bool:
        """Say whether a request queues for any version."""
        return any(lane.is_waited_for for lane in self._lanes.values())

    def queue_limits(self) -> Mapping[str, Mapping[int, int]]:
        """Return, per model and version with a latency target, how many requests may wait now."""
        found: dict[str, dict[int, int]] = {}
        for lane in self._lanes.values():
            if (limit := lane.queue_limit) is not None:
                found.setdefault(lane.version.model, {})[lane.version.version] = limit
        return found

    def samples(self) -> Iterable[RequestSample]:
        """Return what each lane sampled of its requests."""
        return [lane.sample for lane in self._lanes.values()]

    def named(self, model: str, version: int) -> Lane:
        """Return the lane of a version that is named to learn of it.

        Raises UnknownModel, UnknownVersion, VersionUnavailable with the version's state, or Starting.
        """
        lane = self.ready(model, version)
        if lane is not None:
            return lane
        status = self._catalog.status(model, version)
        if status is not None:
            raise VersionUnavailable(model, version, status.state.value, status.reason)
        self._check_known(model)
        raise UnknownVersion(model, str(version))

    def asked(self, model: str, version: int) -> Lane:
        """Return the lane of a version that a caller wants an answer of; one that rests is loaded for the next request.

        Raises as ``named``.
        """
        lane = self.ready(model, version)
        if lane is None:
            self._catalog.wake(model, version)
            return self.named(model, version)
        lane.version.last_asked = time.monotonic()
        return lane

    def without_route(self, model: str) -> NoReturn:
        """Say why *model* has no route here: UnknownModel, VersionUnavailable for its highest version, or Starting."""
        self._check_known(model)
        versions = self._catalog.statuses(model)
        last = max(versions, key=lambda status: status.version)
        raise VersionUnavailable(model, last.version, last.state.value, last.reason)

    def _check_known(self, model: str) -> None:
        if model not in self._catalog.models():
            raise UnknownModel(model) if self._catalog.has_looked else Starting()

    def _prune(self) -> None:
        for loaded, lane in list(self._lanes.items()):
            if self._catalog.ready(loaded.model, loaded.version) is not loaded and not loaded.in_flight:
                del self._lanes[loaded]
                lane.close()
