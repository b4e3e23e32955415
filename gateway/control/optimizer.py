"""Lets labels move the weights of the routes that say so: looks from time to time, and writes through the one door.

It keeps nothing that matters: each write is for the revision that was looked at, so whoever was faster wins, and the
next look begins anew. Only the process with a model's lease writes. What the labels ask for is judged in
``core.bandit``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.control.checks import MAX_REASON
from gateway.control.rollout_writes import WHO, is_under_way
from gateway.core.bandit import judge
from gateway.core.cohorts import hours_back, read_cohorts, strata_of
from gateway.core.errors import GatewayError, RevisionConflict, StoreUnavailable
from gateway.core.slots import SLOTS, seats

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.control.operations import Operations
    from gateway.control.route_reader import CurrentRoute
    from gateway.core.bandit import Judgement
    from gateway.core.document import RouteDocument
    from gateway.core.optimize import Optimize
    from gateway.ports.store import Store

log = logging.getLogger(__name__)

CAUSE: Final = "optimize: "
"""How the reason of a move begins in the history."""


class Optimizer:
    """Somebody calls ``tick`` every few seconds. *holder* names this process in leases, as the controller's does."""

    def __init__(
        self,
        operations: Operations,
        store: Store,
        holder: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._operations = operations
        self._store = store
        self._holder = holder
        self._clock = clock
        self._wall = wall
        self._due: dict[str, float] = {}
        self._troubles: dict[str, str] = {}

    async def tick(self) -> None:
        """Look at every route that is due, and move each at most once. Survives whatever store and labels do."""
        routes = await self._operations.routes(self._operations.models())
        if not routes.store_up:
            return
        found = {model: current for model, current in routes.routes.items() if optimize_of(current) is not None}
        self._due = {model: due for model, due in self._due.items() if model in found}
        self._troubles = {model: told for model, told in self._troubles.items() if model in found}
        for model, current in found.items():
            await self._try(model, current)

    async def _try(self, model: str, current: CurrentRoute) -> None:
        try:
            await self._look(model, current)
        except (StoreUnavailable, RevisionConflict):
            return  # the next look is of what there is then
        except GatewayError as exc:
            if self._troubles.get(model) != str(exc):
                self._troubles[model] = str(exc)
                log.warning("the weights of model %r do not follow its labels: %s", model, exc, extra={"model": model})
        else:
            self._troubles.pop(model, None)

    async def _look(self, model: str, current: CurrentRoute) -> None:
        if is_under_way(current.rollout):
            return  # only a store that somebody edited holds both; the controller has the lease
        if not await self._store.lease(model, self._holder):
            self._due.pop(model, None)
            return
        if self._clock() < self._due.get(model, 0.0):
            return
        optimize, document = optimize_of(current), current.document
        assert optimize is not None
        assert document is not None
        self._due[model] = self._clock() + optimize.every_seconds
        found = await judged(self._operations, document, optimize, current.revision, self._wall())
        if found.split is None:
            return
        reason = (CAUSE + found.reason)[:MAX_REASON]
        await self._operations.set_weights(model, found.split, expected=current.revision, who=WHO, reason=reason)
        log.info("labels moved the weights of model %r: %s", model, found.reason, extra={"model": model})


def optimize_of(current: CurrentRoute) -> Optimize | None:
    """Return how the weights of a route follow its labels, None where they do not."""
    return current.document.optimize if current.document is not None else None


async def judged(
    operations: Operations, document: RouteDocument, optimize: Optimize, revision: int, now: float
) -> Judgement:
    """Return what labels ask of *document*, at *revision*. now: seconds since the epoch. Raises StoreUnavailable."""
    cohorts = await operations.cohorts(document.model, hours_back(optimize.half_life_seconds, now))

    def judgement() -> Judgement:
        versions = optimize.arms(document.split)
        half_life = optimize.half_life_seconds
        strata = strata_of(read_cohorts(cohorts), versions, optimize.by, half_life_seconds=half_life, now=now)
        return judge(optimize, document.split, revision, strata)

    return await asyncio.to_thread(judgement)


async def standing(operations: Operations, model: str, now: float) -> dict[str, Any] | None:
    """Return how the weights of *model* follow its labels, as JSON values; None where they do not."""
    current = (await operations.routes([model])).of(model)
    optimize, document = optimize_of(current), current.document
    if optimize is None or document is None:
        return None
    found = await judged(operations, document, optimize, current.revision, now)
    due = seats(document.split)
    return {
        **optimize.as_dict(),
        "revision": current.revision,
        "moves": found.split is not None,
        "reason": found.reason,
        "versions": [
            {
                "version": str(version),
                "share": due[version] / SLOTS,
                "labels": round(arm.trials, 1),
                "rate": arm.rate,
                "chance_best": found.chances.get(version),
            }
            for version, arm in found.arms.items()
        ],
    }
