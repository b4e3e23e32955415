"""All versions that one worker knows, and which of them are loaded.

Everything runs on the event loop, but for scans and loads, which have a thread each. The catalog
never unloads what a route names, what is merely absent from the disk, or what was changed there:
a store that is away must not take a version away. The last-ready protection is not here but in
the operations.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.core.errors import InvalidModel, InvalidSettings
from gateway.core.providers import CPU
from gateway.core.versions import VersionState, VersionStatus
from gateway.models.budget import AGAIN_SECONDS, Budget
from gateway.models.entry import ABSENT, INCOMPLETE, Entry
from gateway.models.loader import Loader, NoRoom
from gateway.models.wishes import Wishes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from gateway.models.loaded import LoadedVersion
    from gateway.models.repository import Repository, Scan
    from gateway.models.signing import Trusted
    from gateway.models.turns import Turns
    from gateway.ports.engine import Engine, Verifier
    from gateway.ports.metrics import Metrics

logger = logging.getLogger(__name__)

DRAIN_POLL_SECONDS: Final = 0.02
"""How often a drain looks at the count of requests; they count without telling, since they are many."""


WAKES: Final = "it is loaded when it is asked for by its number"

UNBOUNDED: Final = Budget()

ROOM_SECONDS: Final = 5.0
"""How long a version waits for those that make room for it to be gone."""


class Catalog:
    """The versions of one worker. Call `want` before the first `refresh`, so that nothing unwanted is loaded."""

    def __init__(
        self,
        repository: Repository,
        engine: Engine,
        metrics: Metrics,
        blobs_dir: Path,
        *,
        load: Literal["all", "routed"] = "all",
        threads: int = 1,
        most_threads: int | None = None,
        providers: Sequence[str] = (CPU,),
        clock: Callable[[], float] = time.monotonic,
        verifier: Verifier | None = None,
        budget: Budget = UNBOUNDED,
        trusted: Trusted | None = None,
        turns: Turns | None = None,
    ) -> None:
        """*most_threads*, *verifier*, *trusted* and *turns*: as in ``Loader``. *budget*: what versions may
        take of memory.
        """
        self.has_looked = False
        """Whether the repository was scanned once: before that, a model that is not known may yet be found."""
        self.repository_error = ""
        """Why the last scan failed; empty where it did not."""
        self._repository = repository
        self._metrics = metrics
        self._loader = Loader(
            engine,
            blobs_dir,
            threads=threads,
            most_threads=most_threads,
            providers=providers,
            verifier=verifier,
            trusted=trusted,
            turns=turns,
        )
        self._turns = turns
        self._budget = budget
        self._wishes = Wishes(loads_all=load == "all")
        self._clock = clock
        self._entries: dict[str, dict[int, Entry]] = {}
        self._ready: dict[tuple[str, int], LoadedVersion] = {}
        self._subscribers: list[Callable[[VersionStatus], object]] = []
        self._scan_thread = ThreadPoolExecutor(1, "repository")
        self._load_thread = ThreadPoolExecutor(1, "loader")
        self._scan_lock = asyncio.Lock()
        self._loading: asyncio.Task[None] | None = None
        self._draining: dict[Entry, asyncio.Task[None]] = {}
        self._is_closed = False
        self._load_thread.submit(self._loader.tidy)

    # What it knows

    def ready(self, model: str, version: int) -> LoadedVersion | None:
        """Return a version that can answer now."""
        return self._ready.get((model, version))

    def status(self, model: str, version: int) -> VersionStatus | None:
        """Return what is known of one version, None for an unknown one."""
        entry = self._entries.get(model, {}).get(version)
        return entry.status() if entry else None

    def statuses(self, model: str | None = None) -> list[VersionStatus]:
        """Return what is known of every version, or of those of *model*, by name and number."""
        entries = self._all() if model is None else self._entries.get(model, {}).values()
        return [entry.status() for entry in sorted(entries, key=lambda each: (each.model, each.version))]

    def models(self) -> list[str]:
        """Return the names of all models that have a version here."""
        return sorted(self._entries)

    def is_loading(self) -> bool:
        """Say whether a version is being loaded, or waits for its turn."""
        return self._loading is not None

    def subscribe(self, callback: Callable[[VersionStatus], object]) -> None:
        """Have *callback* called on the event loop, soon after every change of a version's state."""
        self._subscribers.append(callback)

    # What is asked of it

    def want(self, routed: Mapping[str, AbstractSet[int]], orders: Mapping[str, Mapping[int, str]]) -> None:
        """Take note of what routes name and what operators last ordered, and begin what follows from it.

        A version that a route names is loaded and stays loaded, whatever the order. A load order that
        was not there before also tries a FAILED version again.
        """
        before = self._wishes
        self._wishes = Wishes(
            before.loads_all,
            {model: frozenset(versions) for model, versions in routed.items()},
            {model: dict(verbs) for model, verbs in orders.items()},
        )
        changed = before.differing(self._wishes)
        for entry in self._of(changed):
            if self._wishes.order(entry) == "load" and before.order(entry) != "load":
                entry.retry_at = self._clock()
                entry.wake()
            if entry.loaded is not None and before.is_routed(entry):
                entry.loaded.last_asked = self._clock()
        self._reconcile(changed)

    def retry(self, model: str, version: int) -> None:
        """Try a FAILED version again now, as a repeated load order asks."""
        entry = self._entries.get(model, {}).get(version)
        if entry is not None:
            entry.retry_at = self._clock()
            entry.wake()
            self._reconcile()

    def wake(self, model: str, version: int) -> None:
        """Begin to load a version that rests, since somebody asked for it; any other stays as it is."""
        entry = self._entries.get(model, {}).get(version)
        if entry is not None and entry.resting and self._clock() >= entry.wake_at:
            entry.wake()
            entry.is_asked = True
            self._reconcile()

    async def refresh(self) -> None:
        """Look what is on the disk and begin to load what is new and wanted. Never raises; see `repository_error`."""
        async with self._scan_lock:
            try:
                scan = await asyncio.get_running_loop().run_in_executor(self._scan_thread, self._repository.scan)
            except InvalidSettings as exc:
                if not self.repository_error:
                    logger.warning("loaded versions serve on: %s", exc)
                self.repository_error = str(exc)
                return
        self.repository_error = ""
        for note in scan.notes:
            logger.warning("model repository: %s", note)
        self._adopt(scan)
        self.has_looked = True
        for entry in self._budget.idle(self._all(), self._wishes, self._clock()):
            entry.rest(f"resting: nobody asked for it in {self._budget.idle_seconds:g} s; {WAKES}")
        self._reconcile()

    async def settle(self) -> None:
        """Return when nothing is loading or draining any more."""
        while tasks := self._tasks():
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop loading and forget all sessions. A load under way ends in its thread, unheard."""
        self._is_closed = True
        if self._turns is not None:
            self._turns.close()
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ready.clear()
        self._entries.clear()
        for thread in (self._scan_thread, self._load_thread):
            thread.shutdown(wait=False, cancel_futures=True)

    # What it decides

    def _all(self) -> Iterator[Entry]:
        for versions in self._entries.values():
            yield from versions.values()

    def _of(self, models: Iterable[str]) -> Iterator[Entry]:
        for model in models:
            yield from self._entries.get(model, {}).values()

    def _is_replaced_first(self, entry: Entry) -> bool:
        """Say whether a routed version of the model is still to come: new ones load before old ones go."""
        return any(
            other.state not in {VersionState.READY, VersionState.FAILED} and self._wishes.is_routed(other)
            for other in self._entries[entry.model].values()
        )

    def _next(self) -> Entry | None:
        """Return the version to load next: routed ones first, then by name."""
        waiting = [entry for entry in self._all() if entry.is_next_in_line()]
        return min(waiting, key=lambda each: (not self._wishes.is_routed(each), each.model, each.version), default=None)

    # What it does

    def _adopt(self, scan: Scan) -> None:
        """Take over what a scan found. What it did not find is forgotten, unless it is in memory."""
        for model, found in scan.versions.items():
            versions = self._entries.setdefault(model, {})
            for version, files in found.items():
                versions.setdefault(version, Entry(model, version)).files = files
        for entry in list(self._all()):
            if entry.version not in scan.versions.get(entry.model, {}):
                entry.files = None
                self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        """Drop a version that is neither on the disk nor in memory."""
        if entry.files is not None or entry.loaded is not None or entry.is_loading:
            return
        versions = self._entries.get(entry.model, {})
        if versions.pop(entry.version, None):
            self._move(entry, VersionState.UNAVAILABLE, ABSENT)
        if not versions:
            self._entries.pop(entry.model, None)

    def _reconcile(self, models: Iterable[str] | None = None) -> None:
        """Move every version, or those of *models*, towards what is wanted."""
        if self._is_closed:
            return
        moved = list(self._all() if models is None else self._of(models))
        for entry in moved:
            self._step(entry)
        if self._loading is None and any(entry.is_next_in_line() for entry in moved):
            self._loading = asyncio.get_running_loop().create_task(self._load_waiting(), name="load versions")

    def _step(self, entry: Entry) -> None:
        """Begin what one version needs, if anything."""
        if self._wishes.is_routed(entry):
            entry.wake()
        wanted = self._wishes.is_wanted(entry) and not entry.resting
        if entry.is_loading:
            return
        match entry.state:
            case VersionState.UNAVAILABLE | VersionState.LOADING if wanted:
                is_complete = entry.files is None or entry.files.settled
                self._move(entry, VersionState.LOADING, "" if is_complete else INCOMPLETE)
            case VersionState.UNAVAILABLE | VersionState.LOADING:
                self._move(entry, VersionState.UNAVAILABLE, self._why_unwanted(entry))
            case VersionState.FAILED if wanted and entry.may_retry(self._clock()):
                entry.retry_at = None
                self._move(entry, VersionState.LOADING)
            case VersionState.FAILED if not wanted and self._wishes.order(entry) == "unload":
                self._move(entry, VersionState.UNAVAILABLE, self._wishes.why_unwanted(entry))
            case VersionState.READY if not wanted and (entry.resting or not self._is_replaced_first(entry)):
                self._move(entry, VersionState.UNLOADING, self._why_unwanted(entry))
                if entry not in self._draining:
                    unload = self._unload(entry)
                    self._draining[entry] = asyncio.get_running_loop().create_task(unload, name="unload a version")
            case VersionState.UNLOADING if wanted and entry.loaded is not None:
                self._move(entry, VersionState.READY)

    def _move(self, entry: Entry, state: VersionState, reason: str = "") -> None:
        """Change a state, keep the table of ready versions in step, and tell whoever subscribed."""
        if (entry.state, entry.reason) == (state, reason):
            return
        entry.state = state
        entry.reason = reason
        key = (entry.model, entry.version)
        if state is VersionState.READY and entry.loaded is not None:
            self._ready[key] = entry.loaded
        else:
            self._ready.pop(key, None)
        for callback in self._subscribers:  # soon, so that a callback that raises harms nobody here
            asyncio.get_running_loop().call_soon(callback, entry.status())

    def _tasks(self) -> set[asyncio.Task[None]]:
        return {*self._draining.values(), *([self._loading] if self._loading else [])}

    async def _load_waiting(self) -> None:
        """Load one version after the other until none waits."""
        try:
            while (entry := self._next()) is not None:
                await self._load(entry)
                self._reconcile((entry.model,))
        finally:
            self._loading = None

    async def _load(self, entry: Entry) -> None:
        files = entry.files
        assert files is not None
        entry.is_loading = True
        try:
            free = self._budget.free_bytes(self._all())
            outcome = await self._on_load_thread(lambda: self._loader.load(files, pinned=entry.digest, free_bytes=free))
        finally:
            entry.is_loading = False
        if isinstance(outcome, NoRoom):
            await self._make_room(entry, outcome.needed_bytes)
            return
        entry.tried = files.stamp
        if isinstance(outcome, InvalidModel):
            entry.plan_retry(outcome.code, self._clock())
            self._move(entry, VersionState.FAILED, f"{outcome.code}: {outcome.reason}")
            self._forget(entry)
        else:
            entry.admit(outcome, self._metrics.version(entry.model, str(entry.version)), self._clock())
            self._move(entry, VersionState.READY)

    async def _make_room(self, entry: Entry, needed_bytes: int) -> None:
        """Let versions that nobody needs now rest, so that *entry* fits when it is tried next; or refuse it."""
        resting = self._budget.making_room(self._all(), self._wishes, entry, needed_bytes, self._clock())
        if resting is None:
            self._refuse(entry, needed_bytes)
            return
        for each in resting:
            each.rest(f"resting: it made room for {entry.model}/{entry.version}; {WAKES}")
        self._reconcile()
        if going := [self._draining[each] for each in resting if each in self._draining]:
            await asyncio.wait(going, timeout=ROOM_SECONDS)

    def _refuse(self, entry: Entry, needed_bytes: int) -> None:
        """Say that there is no room for a version: it rests if it may, else it is FAILED and tried again."""
        reason, now = self._budget.refusal(self._all(), needed_bytes), self._clock()
        if self._budget.may_rest(self._wishes, entry, needed_bytes):
            entry.rest(f"resting: {reason}; {WAKES}", until=now + AGAIN_SECONDS)
            return
        entry.tried = entry.files.stamp if entry.files is not None else None
        entry.plan_retry("no_memory", now)
        self._move(entry, VersionState.FAILED, f"no_memory: {reason}; unload a version, or raise it")
        self._forget(entry)

    def _why_unwanted(self, entry: Entry) -> str:
        """Return the reason that is shown for a version that is not to be in memory."""
        return entry.resting if self._wishes.is_wanted(entry) else self._wishes.why_unwanted(entry)

    async def _unload(self, entry: Entry) -> None:
        """Let what is in flight finish, then destroy the version, unless it is wanted again meanwhile."""
        try:
            if await self._is_drained(entry):
                await self._destroy(entry)
        finally:
            self._draining.pop(entry, None)
        self._reconcile()

    async def _is_drained(self, entry: Entry) -> bool:
        """Wait until nothing is in flight and return True, or False as soon as the version is READY again."""
        while True:
            await asyncio.sleep(DRAIN_POLL_SECONDS)  # at least once: subscribers take it out of their tables meanwhile
            if entry.state is not VersionState.UNLOADING or entry.loaded is None:
                return False
            if entry.loaded.in_flight <= 0:
                return True

    async def _destroy(self, entry: Entry) -> None:
        assert entry.loaded is not None
        last = [entry.loaded.retire()]
        entry.loaded = None
        await self._on_load_thread(lambda: self._loader.destroy(last))
        self._metrics.retire(entry.model, str(entry.version))
        self._move(entry, VersionState.UNAVAILABLE, self._why_unwanted(entry))
        self._forget(entry)

    async def _on_load_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._load_thread, work)
