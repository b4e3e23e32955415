"""The watcher: this worker's routes follow the store, and outlive it.

Level-triggered. A poll reads the heads of all routes twice a second and a document only when its
head changed; a publication makes the next poll happen at once and is not read. Whatever the store
says or fails to say, a valid route that is held serves on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Final

from gateway.core import routing, stored
from gateway.core.errors import CorruptRoute, StoreUnavailable
from gateway.core.phases import LIVE
from gateway.core.watching import Doubt, Mark, Step, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gateway.core.rollout import Kept, Rollout
    from gateway.core.routing import Routing
    from gateway.ports.routes import RouteHead, RouteStore, StoredRoute
    from gateway.serving.adoption import Adoption
    from gateway.serving.snapshot import Snapshot

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
JITTER: Final = 0.2


class Watcher:
    """Polls the store and hands valid routes on."""

    def __init__(
        self,
        store: RouteStore,
        adoption: Adoption,
        snapshot: Snapshot,
        models: Callable[[], Collection[str]],
        *,
        answered: Callable[[bool], None],
        refused: Callable[[str], None],
    ) -> None:
        """*answered* is told after every poll whether the store answered, *refused* the reason of each refusal."""
        self._store = store
        self._adoption = adoption
        self._snapshot = snapshot
        self._models = models
        self._answered = answered
        self._refused = refused
        self._nudged = asyncio.Event()
        self._doubts: dict[str, Doubt] = {}
        self._refusals: dict[str, Mark] = {}
        self._alarmed: set[tuple[str, Step]] = set()
        self.store_up = False

    async def poll_forever(self) -> None:
        """Poll every half second, and at once when nudged."""
        while True:
            await self.poll()
            pause = POLL_SECONDS * random.uniform(1 - JITTER, 1 + JITTER)
            try:
                await asyncio.wait_for(self._nudged.wait(), pause)
            except TimeoutError:
                continue

    async def nudge_forever(self) -> None:
        """Turn publications, and every new subscription, into an early poll."""
        async for _ in self._store.nudges():
            self._nudged.set()

    async def poll(self) -> None:
        """Read the heads of all routes once and follow them. Never raises for a store that fails."""
        self._nudged.clear()
        models = tuple(self._models())
        try:
            heads = await self._store.heads(models)
        except StoreUnavailable as exc:
            self._note(False, exc)
            return
        self._note(True, None)
        for model in models:
            try:
                await self._follow(model, heads.get(model))
            except StoreUnavailable as exc:
                self._note(False, exc)
                return

    def _note(self, up: bool, why: StoreUnavailable | None) -> None:
        if up != self.store_up:
            if up:
                log.info("the store answers")
            else:
                log.warning("the store does not answer, the last good routes serve on: %s", why)
        self.store_up = up
        self._answered(up)

    async def _follow(self, model: str, head: RouteHead | None) -> None:
        if head is not None:
            self._adoption.order(model, head.orders)
        seen = _mark(head)
        if seen is not None and self._refusals.get(model) == seen:
            return
        if seen is not None and seen.revision < 0:
            self._refuse(seen, CorruptRoute(model, "not_a_route"))
            return
        step, doubt = judge(self._adoption.held(model), seen, self._doubts.pop(model, None), time.monotonic())
        if doubt is not None:
            self._doubts[model] = doubt
        self._alarm(model, step)
        if seen is not None and step in {Step.ADOPT, Step.ADOPT_AND_ALARM}:
            await self._fetch(model, seen)

    async def _fetch(self, model: str, seen: Mark) -> None:
        """Read the route whose head was *seen* and hand it on; what is no route is refused until the head changes."""
        try:
            found = await self._store.read(model)
        except CorruptRoute as exc:
            self._refuse(seen, exc)
            return
        if found is None:
            return
        mark = Mark(found.incarnation, found.revision, found.digest)
        try:
            compiled = await asyncio.to_thread(compile_stored, model, found)
        except CorruptRoute as exc:
            self._refuse(mark, exc)
            return
        self._adoption.want(mark, *compiled)
        self._snapshot.remember(model, found)

    def _refuse(self, mark: Mark, why: CorruptRoute) -> None:
        """Count a refusal, and log it, once per state that was refused."""
        if self._refusals.get(why.model) == mark:
            return
        self._refusals[why.model] = mark
        self._refused(why.reason)
        log.error("%s; the last good route serves on", why)

    def _alarm(self, model: str, step: Step) -> None:
        """Say once what an operator must know: a store that was wiped, or whose history was rewritten."""
        if step is Step.KEEP_AND_ALARM and (model, step) not in self._alarmed:
            log.error("the store has lost route %r; it serves on here, `gateway routes restore` writes it back", model)
            self._refused("absent")
            self._alarmed.add((model, step))
        elif step is Step.ADOPT_AND_ALARM:
            log.error("the store's history of route %r was rewritten; following the store", model)
            self._refused("rewritten")
        if step is not Step.KEEP_AND_ALARM:
            self._alarmed.discard((model, Step.KEEP_AND_ALARM))


def compile_stored(model: str, found: StoredRoute) -> tuple[Routing, Rollout | None, Kept | None]:
    """Return the routing of a stored route, its rollout where one is under way, and what the last one replaced.

    The slow part (hashing 10,000 slots) belongs on a thread. Raises CorruptRoute.
    """
    held = stored.decode(model, found.payload, found.digest)
    rollout = held.rollout if held.rollout is not None and held.rollout.phase in LIVE else None
    kept = held.rollout.kept() if held.rollout is not None else None
    return routing.compile_route(held.document, held.seating), rollout, kept


def _mark(head: RouteHead | None) -> Mark | None:
    if head is None or (head.revision == 0 and not head.incarnation):
        return None
    return Mark(head.incarnation, head.revision, head.digest)
