"""Walks every rollout that is under way through its plan: looks once a second, and is the only one that raises.

It keeps nothing that matters: where a rollout stands is in the store, and each act is made for one revision, so one
that is killed is followed by the next where it stopped, and two never act twice. While the store is away nothing is
written, and what it was away does not count for a step.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from gateway.control.rollout_status import assessed
from gateway.control.rollout_writes import WHO, is_under_way
from gateway.core.alarms import unsettled
from gateway.core.errors import GatewayError, RevisionConflict, StoreUnavailable
from gateway.core.steering import Rollback, Snapshot, Wait, next_action

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.control.operations import Operations
    from gateway.control.rollout_news import RolloutNews
    from gateway.control.rollout_status import Assessed
    from gateway.control.route_reader import CurrentRoute
    from gateway.core.drift import ColumnFinding
    from gateway.core.steering import Action
    from gateway.ports.store import Store

    Drift = Callable[[str], Mapping[int, Sequence[ColumnFinding]]]

log = logging.getLogger(__name__)

COUNTED_AWAY_SECONDS = 1.0
"""A shorter absence of the store is not worth a revision."""


class Controller:
    """Somebody calls ``tick`` once a second. *holder* names this process, and only this life of it, in leases."""

    def __init__(
        self,
        operations: Operations,
        store: Store,
        news: RolloutNews,
        holder: str,
        *,
        drift: Drift = lambda _model: {},
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*drift* returns, of a model, version → what is known of its columns."""
        self._drift = drift
        self._operations = operations
        self._store = store
        self._news = news
        self._holder = holder
        self._clock = clock
        self._answered_at = clock()
        self._is_away = False
        self._away: dict[str, float] = {}
        """How long the store was away for each model whose rollout was not yet told so, seconds."""

    async def tick(self) -> None:
        """Look at every rollout and take at most one step of each. Survives whatever store and evidence do."""
        routes = await self._operations.routes(self._operations.models())
        if not routes.store_up:
            self._lose(None)
            return
        live = {model: current for model, current in routes.routes.items() if is_under_way(current.rollout)}
        try:
            await self._operations.preflight.exchange(live)
        except StoreUnavailable as exc:
            self._lose(exc)
            return
        self._find(live)
        self._operations.rollouts.alarms.keep(live)
        self._news.see({model: current.rollout for model, current in routes.routes.items() if current.rollout})
        for model, current in live.items():
            try:
                await self._steer(model, current)
            except StoreUnavailable as exc:
                self._lose(exc)
                return
            except RevisionConflict:
                continue  # somebody was faster: what to do now is asked again in a second
            except GatewayError as exc:
                self._news.trouble(model, f"the rollout of model {model!r} cannot be judged and stands still: {exc}")

    async def _steer(self, model: str, current: CurrentRoute) -> None:
        rollout = current.rollout
        assert rollout is not None
        if not await self._store.lease(model, self._holder):
            self._away.pop(model, None)  # whoever leads knows whether the store was away or only this process
            self._news.forget(model)
            self._operations.rollouts.alarms.forget(model)
            return
        away = self._away.get(model, 0.0)
        if away >= COUNTED_AWAY_SECONDS:
            await self._operations.rollouts.absent(model, away, expected=current.revision, who=WHO)
            del self._away[model]
            return
        alarms = self._operations.rollouts.alarms.look(model, rollout)
        assessment = (await assessed(self._store, model, rollout)).with_alarms(alarms)
        if current.document is not None and current.document.drift is not None:
            assessment = assessment.with_drift(current.document.drift, self._drift(model))
        self._news.judged(model, assessment)
        action = self._next(model, current, assessment)
        after = rollout.after_evidence(assessment.evidence)
        if isinstance(action, Wait) and after is not rollout:
            await self._operations.rollouts.freeze(model, after, expected=current.revision, who=WHO)
            return
        await self._act(model, action)

    def _next(self, model: str, current: CurrentRoute, assessment: Assessed) -> Action:
        found = self._operations.preflight.readiness(model, current)
        snapshot = Snapshot(
            assessment.rollout,
            current.revision,
            found.is_ready,
            found.lacks,
            found.failed,
            unsettled(assessment.alarms),
        )
        return next_action(snapshot, assessment.verdict, assessment.now)

    async def _act(self, model: str, action: Action) -> None:
        if isinstance(action, Wait):
            self._news.waits(model, action)
            return
        guard = action.guard if isinstance(action, Rollback) else ""
        await self._operations.rollouts.apply(
            model, action.change, expected=action.revision, who=WHO, reason=action.reason, guard=guard
        )

    def _lose(self, why: StoreUnavailable | None) -> None:
        if not self._is_away:
            log.warning("the store does not answer, so every rollout stands still%s", f": {why}" if why else "")
        self._is_away = True

    def _find(self, live: Mapping[str, CurrentRoute]) -> None:
        """Take note that the store answers, and since when it had not."""
        now = self._clock()
        if self._is_away:
            for model in live:
                self._away[model] = self._away.get(model, 0.0) + now - self._answered_at
            log.info("the store answers again, rollouts go on after %.0f s", now - self._answered_at)
        self._is_away, self._answered_at = False, now
        self._away = {model: seconds for model, seconds in self._away.items() if model in live}
