"""Loading and unloading on behalf of callers of the inference ports: who may, through the one door, until it is done.

Runs in a data worker and still touches none: an order goes into the store as from every other door, and what
became of it is read from the workers' reports. A model is withdrawn only where it is named without a version.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gateway.control.auth import Role, check_origin
from gateway.control.checks import weighted
from gateway.core.errors import (
    Forbidden,
    LoadFailed,
    StoreUnavailable,
    UnknownModel,
    UnknownVersion,
    VersionUnavailable,
)
from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

    from gateway.control.auth import Door, Principal
    from gateway.control.fleet import FleetVersion
    from gateway.control.operations import Operations
    from gateway.ports.workers import Caller, Workers

log = logging.getLogger(__name__)

LOAD_SECONDS: Final = 600.0
"""How long a load is waited for; large models take minutes."""
UNLOAD_SECONDS: Final = 60.0
"""How long an unload waits for the requests that are under way."""
LOOK_AGAIN_SECONDS: Final = 0.05
STALE_SECONDS: Final = 3.0
"""How long a FAILED from before the order may still be reported: workers look at the repository every two seconds."""

HELD: Final = frozenset({VersionState.READY, VersionState.LOADING, VersionState.UNLOADING})
"""The states in which a worker has a version in memory, or soon will."""


class InferenceOrders:
    """Implements ``ports.RepositoryControl``."""

    def __init__(
        self,
        operations: Operations,
        workers: Workers,
        door: Door,
        rescan: Callable[[], Awaitable[None]],
        *,
        load_seconds: float = LOAD_SECONDS,
        unload_seconds: float = UNLOAD_SECONDS,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        """*rescan* looks at the repository now; the other workers do so by themselves."""
        self._operations = operations
        self._workers = workers
        self._door = door
        self._rescan = rescan
        self._load_seconds = load_seconds
        self._unload_seconds = unload_seconds
        self._stale_seconds = stale_seconds

    def admit(self, caller: Caller, model: str) -> str:
        """Let in operators whose models hold *model*, and nobody whom a page of another site sent."""
        principal = self._door.identify(caller.address, caller.headers)
        check_origin(caller.headers)
        principal.check(Role.OPERATOR)
        principal.check_model(model)
        return principal.actor

    async def load(self, model: str, version: int | None, *, who: str) -> None:
        await self._rescan()
        versions = await self._served_versions(model) if version is None else [version]
        failed_before = {v for v in versions if self._is_failed(self._seen(model, v))}
        with _store_asked():
            for each in versions:
                await self._operations.load(model, each, who=who, reason=f"inference port: load version {each}")
        for each in versions:
            await self._until_loaded(model, each, was_failed=each in failed_before)

    async def unload(self, model: str, version: int | None, *, who: str) -> None:
        what = "the whole model" if version is None else f"version {version}"
        reason = f"inference port: unload {what}"
        with _store_asked():
            if version is None:
                await self._operations.withdraw(model, who=who, reason=reason)
            else:
                await self._operations.unload(model, version, who=who, reason=reason)
        await self._until_unloaded(model, version)

    async def _served_versions(self, model: str) -> Collection[int]:
        """Return what the route of *model* names and is there or needed, without a route the highest version."""
        fleet = self._operations.versions(model)
        if not fleet:
            raise UnknownModel(model)
        route = (await self._operations.routes([model])).of(model).document
        if route is None:
            return [max(fleet)]
        needed = {route.baseline, *(version for _, version in weighted(route))}
        return sorted(needed | (route.versions() & fleet.keys()))

    async def _until_loaded(self, model: str, version: int, *, was_failed: bool) -> None:
        """Return when every worker has *version* READY. Raises LoadFailed for a failure that is not an earlier one's.

        *was_failed*: it was FAILED before the order, and may be reported so until the workers have heard.
        """
        passed = _stopwatch()
        while (now := self._seen(model, version)).state is not VersionState.READY:
            was_failed = was_failed and self._is_failed(now)
            if self._is_failed(now) and (not was_failed or passed() > self._stale_seconds):
                raise LoadFailed(model, version, now.reason)
            if passed() > self._load_seconds:
                raise self._too_slow(model, version, now.state, self._load_seconds)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _until_unloaded(self, model: str, version: int | None) -> None:
        """Return when no worker holds *version*, or any version, any more."""
        passed = _stopwatch()
        while held := self._held(model, version):
            if passed() > self._unload_seconds:
                raise self._too_slow(model, max(held), VersionState.UNLOADING, self._unload_seconds)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def _held(self, model: str, version: int | None) -> set[int]:
        """Return the versions of *model*, or the one, that a worker has in memory or is loading."""
        said = (status for report in self._workers.reports() for status in report.versions if status.model == model)
        return {each.version for each in said if each.state in HELD and version in {None, each.version}}

    def _seen(self, model: str, version: int) -> FleetVersion:
        seen = self._operations.versions(model).get(version)
        if seen is None:
            raise UnknownVersion(model, str(version))
        return seen

    @staticmethod
    def _is_failed(seen: FleetVersion) -> bool:
        return seen.state is VersionState.FAILED

    @staticmethod
    def _too_slow(model: str, version: int, state: VersionState, limit: float) -> VersionUnavailable:
        why = f"not done after {limit:g} s; the order stands, and the repository index says how it goes on"
        return VersionUnavailable(model, version, state, why)


class ClosedDoor:
    """Implements ``auth.Door`` where the gateway was started without --repository-control."""

    def identify(self, address: str | None, headers: Mapping[str, str]) -> Principal:  # noqa: ARG002 - the port's
        raise Forbidden(
            "loading and unloading through the inference ports is off; start the gateway with --repository-control, "
            "or use `gateway versions load|unload` and the admin API"
        )


@contextmanager
def _store_asked() -> Iterator[None]:
    """Tell of a store that is away without its own words, which name hosts that callers have no business with."""
    try:
        yield
    except StoreUnavailable as exc:
        log.warning("an order through the inference ports was not taken: %s", exc)
        raise StoreUnavailable(
            "the store does not answer, so the order was not confirmed; look at the index and give it again"
        ) from exc


def _stopwatch() -> Callable[[], float]:
    """Return a function that says how many seconds have passed."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    return lambda: loop.time() - began
