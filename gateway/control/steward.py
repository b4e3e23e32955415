"""Gives a route to models that have none: from the route files, else all traffic to the highest version.

It only ever writes where there is nothing. A store that was emptied under a running gateway, or that
is older than the snapshot on disk, is left to the operator (`gateway routes restore`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.control.route_files import RouteFiles, list_files, read_directory
from gateway.core.document import parse
from gateway.core.errors import GatewayError, InvalidSettings, StoreUnavailable
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.control.operations import Operations
    from gateway.ports.routes import LastGood, RouteStore
    from gateway.ports.workers import Workers

log = logging.getLogger(__name__)

WHO: Final = "gateway"
NO_FILES: Final = RouteFiles({}, {}, {}, frozenset())

Stamp = tuple[tuple[str, int, int], ...]


class Steward:
    """Looks after models without a route; somebody calls ``tick`` a few times a second.

    *route_files_dir* None is a gateway without route files.
    """

    def __init__(
        self,
        operations: Operations,
        store: RouteStore,
        workers: Workers,
        route_files_dir: Path | None,
        last_good: LastGood,
    ) -> None:
        self._operations = operations
        self._store = store
        self._workers = workers
        self._directory = route_files_dir
        self._last_good = last_good
        self._settled: set[str] = set()
        """Models that had a route once: never seeded again, or a wiped store would get routes nobody asked for."""
        self._files = NO_FILES
        self._stamp: Stamp | None = None
        self._told: dict[str, str] = {}

    def is_settled(self) -> bool:
        """Say whether every model that can have a route has one, as far as files and workers told until now."""
        return not self._unsettled()

    def _unsettled(self) -> set[str]:
        return (self._files.documents.keys() | self._highest_ready().keys()) - self._settled

    async def tick(self) -> None:
        """Seed what has no route. Survives whatever store, files and workers do; the next tick tries again."""
        self._read_files()
        candidates = self._unsettled()
        if not candidates:
            return
        try:
            await self._settle(sorted(candidates))
        except StoreUnavailable as exc:
            self._tell("the store", f"routes are seeded when the store answers: {exc}")
            return
        self._told.pop("the store", None)

    async def _settle(self, candidates: list[str]) -> None:
        heads = await self._store.heads(candidates)
        routed = {model for model, head in heads.items() if head.revision != 0}
        self._settled |= routed | self._last_good.read().keys()
        for model in candidates:
            if model not in self._settled:
                await self._seed(model)

    async def _seed(self, model: str) -> None:
        try:
            if model in self._files.documents:
                reason = f"route file {self._files.sources[model].name}"
                await self._operations.seed(model, self._files.documents[model], who=WHO, reason=reason)
            elif model not in self._files.claimed:
                split = {"split": {str(self._highest_ready()[model]): 100}}
                await self._operations.seed(model, parse(split, model=model), who=WHO, reason="first seen")
            else:
                return
        except StoreUnavailable:
            raise
        except GatewayError as exc:
            self._tell(model, f"model {model!r} gets no route: {exc}")
            return
        self._settled.add(model)
        self._told.pop(model, None)

    def _highest_ready(self) -> dict[str, int]:
        """Return each model's highest version that some worker has READY, once no higher one is still loading.

        Its default route is decided once and for all, so it must not depend on which file loads faster.
        """
        ready: dict[str, int] = {}
        loading: dict[str, int] = {}
        states = {VersionState.READY: ready, VersionState.LOADING: loading}
        for report in self._workers.reports():
            for status in report.versions:
                highest = states.get(status.state)
                if highest is not None:
                    highest[status.model] = max(highest.get(status.model, 0), status.version)
        return {model: version for model, version in ready.items() if loading.get(model, 0) <= version}

    def _read_files(self) -> None:
        """Read the route files again when one of them changed. A broken one is told once and hides no other."""
        if self._directory is None:
            return
        try:
            stamp = _look(self._directory)
            if stamp == self._stamp:
                return
            self._files = read_directory(self._directory)
        except InvalidSettings as exc:
            self._tell(str(self._directory), str(exc))
            return
        self._stamp = stamp
        for path, error in self._files.errors.items():
            self._tell(str(path), f"a route file is left out: {error}")

    def _tell(self, about: str, message: str) -> None:
        if self._told.get(about) != message:
            self._told[about] = message
            log.error("%s", message)


def _look(directory: Path) -> Stamp:
    seen = []
    for path in list_files(directory):
        try:
            status = path.stat()
        except OSError:
            continue
        seen.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(seen)
