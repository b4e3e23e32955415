"""Copies of answered requests for versions that answer nobody: which requests, and where the copies go.

A route without shadows is a plain ``LiveRoute`` whose arms have no tap, and pays one look at an attribute. Under a
route with shadows a request that is to be copied goes through an arm with a tap, which lets the caller's answer pass
and only then offers the copy. Nothing here is awaited, and no fault of it reaches a caller.
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING

from gateway.core.shadowing import COPIED_RULES, copy_slot, shadows_of
from gateway.serving.copies import Copy, Line
from gateway.serving.live import LiveRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.routing import Routing, Values
    from gateway.core.shadowing import Shadow
    from gateway.core.watching import Mark
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor
    from gateway.ports.labels import PredictionMemory
    from gateway.ports.metrics import Metrics
    from gateway.serving.batching import Lane
    from gateway.serving.copies import OnPair
    from gateway.serving.jobs import Result
    from gateway.serving.live import Arm
    from gateway.serving.trials import Trial

log = logging.getLogger(__name__)


class Shadows:
    """All shadows of this worker: one line of copies for each loaded version that gets some."""

    def __init__(self, is_busy: Callable[[], bool], metrics: Metrics, *, on_pair: OnPair | None = None) -> None:
        """*is_busy* says whether a caller waits for a run; *on_pair* counts the pairs that are evidence."""
        self._is_busy = is_busy
        self._metrics = metrics
        self._on_pair = on_pair
        self._lines: dict[Lane, Line] = {}
        self.memory: PredictionMemory | None = None
        """Where a canary's predictions are remembered for labels that come later; None where they are not."""

    def route(
        self,
        routing: Routing,
        mark: Mark,
        lanes: Mapping[int, Lane],
        metrics: Metrics,
        trial: Trial | None = None,
    ) -> LiveRoute:
        """Return the live route: one that copies where somebody is to get copies. Parameters as for LiveRoute."""
        shadows = self.wanted(routing, trial)
        if not shadows:
            return LiveRoute(routing, mark, lanes, metrics, trial)
        return ShadowedRoute(routing, mark, lanes, metrics, trial, shadows=shadows, worker=self)

    def wanted(self, routing: Routing, trial: Trial | None) -> Sequence[Shadow]:
        """Return who is to get copies under a route that is about to be served."""
        self._prune()
        return shadows_of(routing.document, trial.rollout if trial is not None else None)

    def offer(self, made: Copy, lane: Lane | None) -> None:
        """Have *made* run by the version of *lane*, or dropped where it cannot be: None is not ready here."""
        version = made.shadow.version
        if lane is None or lane.is_closed:
            self._metrics.version(made.route.model, str(version)).copy_dropped("unavailable")
        elif not lane.version.signature.takes_all_of(made.read_by.signature):
            lane.cells.copy_dropped("inputs")
        else:
            line = self._lines.get(lane)
            if line is None:
                line = self._lines[lane] = Line(lane, lane.cells, self._is_busy, self._on_pair, self._remember)
            line.offer(made)

    def _remember(self, made: Copy, outputs: Sequence[Tensor]) -> None:
        """Remember what a canary predicted beside what was served, so that a label judges both."""
        route, canary = made.route, made.shadow.version
        lane = route.lanes.get(canary)
        if self.memory is not None and route.rollout is not None and lane is not None:
            signature = lane.version.signature
            self.memory.copied(made.name, route.model, canary, signature, outputs, route.revision, route.rollout.id)

    def _prune(self) -> None:
        for lane, line in list(self._lines.items()):
            if line.is_over:
                del self._lines[lane]
                line.close()


class Tap:
    """Copies what passes through one arm to the same shadows."""

    __slots__ = ("_read_by", "_route", "_shadows", "_worker")

    def __init__(self, route: LiveRoute, read_by: LoadedVersion, shadows: Sequence[Shadow], worker: Shadows) -> None:
        """*read_by* is the version whose signature the requests are read by."""
        self._route = route
        self._read_by = read_by
        self._shadows = shadows
        self._worker = worker

    def behind(
        self, done: Callable[[Arm, Result], None], feeds: tuple[Tensor, ...], rows: int, name: str = ""
    ) -> Callable[[Arm, Result], None]:
        """Return *done*, followed by the copying of the request whose tensors these are; *name* is its answer's id."""

        def answered(arm: Arm, result: Result) -> None:
            done(arm, result)
            if not isinstance(result, Exception):
                self._copy(feeds, rows, name, arm.lane.version, result)

        return answered

    def _copy(
        self, feeds: tuple[Tensor, ...], rows: int, name: str, answered: LoadedVersion, answer: Sequence[Tensor]
    ) -> None:
        """Offer a copy to each shadow but the one that answered."""
        try:
            for shadow in self._shadows:
                if shadow.version != answered.version:
                    made = Copy(
                        self._route, shadow, feeds, rows,
                        read_by=self._read_by, answered=answered, answer=answer, name=name,
                    )  # fmt: skip
                    self._worker.offer(made, self._route.lanes.get(shadow.version))
        except Exception:  # the outermost door of a callback: the callers behind this one must get their answers
            log.exception("a request of %s could not be copied", self._route.model)


class ShadowedRoute(LiveRoute):
    """A route some of whose requests are copied."""

    def __init__(
        self,
        routing: Routing,
        mark: Mark,
        lanes: Mapping[int, Lane],
        metrics: Metrics,
        trial: Trial | None,
        *,
        shadows: Sequence[Shadow],
        worker: Shadows,
    ) -> None:
        """*shadows*: who gets copies."""
        super().__init__(routing, mark, lanes, metrics, trial)
        self._shadows = shadows
        self._worker = worker
        self._most = max((shadow.slots for shadow in shadows), default=0)
        self._tapped: dict[tuple[Arm, tuple[Shadow, ...]], Arm] = {}

    def decide(self, values: Values, draw: int, point: int | None = None) -> Arm:
        """Return the arm that answers, with a tap where the request is to be copied."""
        arm = super().decide(values, draw, point)
        if arm.rule not in COPIED_RULES or not self._most:
            return arm
        slot = copy_slot(self.routing, values, draw)
        if slot >= self._most:
            return arm
        shadows = tuple(shadow for shadow in self._shadows if slot < shadow.slots)
        tapped = self._tapped.get((arm, shadows))
        if tapped is None:
            tapped = copy.copy(arm)
            tapped.tap = Tap(self, arm.lane.version, shadows, self._worker)
            self._tapped[arm, shadows] = tapped
        return tapped
