"""Which of the requests that a route decided are recorded, and what of them is left to whoever writes.

A route that records nothing is the route that it would be without this module. Under one that does, a request that is
drawn goes through an arm with a tap, which lets the caller's answer pass and only then leaves references. Requests
that name their version were decided by nobody and are not recorded.
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING

from gateway.ports.observing import Answered
from gateway.serving.shadow import ShadowedRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.recording import Record
    from gateway.core.routing import Routing, Values
    from gateway.core.shadowing import Shadow
    from gateway.core.watching import Mark
    from gateway.ports.engine import Tensor
    from gateway.ports.metrics import Metrics
    from gateway.ports.observing import Recorder
    from gateway.serving.batching import Lane
    from gateway.serving.jobs import Result
    from gateway.serving.live import Arm, LiveRoute
    from gateway.serving.shadow import Shadows
    from gateway.serving.trials import Trial

log = logging.getLogger(__name__)


class Recordings:
    """Makes the live routes of this worker: recorded ones where their documents say so."""

    def __init__(self, shadows: Shadows, recorder: Recorder) -> None:
        """*shadows* makes the others; *recorder* takes what is recorded."""
        self._shadows = shadows
        self._recorder = recorder

    def route(
        self,
        routing: Routing,
        mark: Mark,
        lanes: Mapping[int, Lane],
        metrics: Metrics,
        trial: Trial | None = None,
    ) -> LiveRoute:
        """Return the live route. Parameters as for LiveRoute."""
        record = routing.document.record
        if record is None or not record.percent:
            return self._shadows.route(routing, mark, lanes, metrics, trial)
        return RecordedRoute(
            routing, mark, lanes, metrics, trial,
            shadows=self._shadows.wanted(routing, trial), worker=self._shadows, record=record, recorder=self._recorder,
        )  # fmt: skip


class RecordingTap:
    """Leaves what passes through one arm to the recorder, behind the tap that the arm had before."""

    __slots__ = ("_before", "_read_by", "_record", "_recorder")

    def __init__(self, read_by: Arm, record: Record, recorder: Recorder) -> None:
        """*read_by* is the arm by whose version's signature the requests are read."""
        self._before = read_by.tap
        self._read_by = read_by.lane.version.signature
        self._record = record
        self._recorder = recorder

    def behind(
        self, done: Callable[[Arm, Result], None], feeds: tuple[Tensor, ...], rows: int, name: str = ""
    ) -> Callable[[Arm, Result], None]:
        """Return *done*, followed by the recording of the request whose tensors these are; *name*: its answer's id."""
        through = done if self._before is None else self._before.behind(done, feeds, rows, name)

        def answered(arm: Arm, result: Result) -> None:
            through(arm, result)
            if not isinstance(result, Exception):
                self._leave(arm, feeds, result, name)

        return answered

    def _leave(self, arm: Arm, feeds: tuple[Tensor, ...], outputs: Sequence[Tensor], name: str) -> None:
        version = arm.lane.version
        try:
            self._recorder.offer(Answered(
                self._record, version.model, version.version, arm.rule, arm.revision, name,
                asked=self._read_by, feeds=feeds, answered=version.signature, outputs=outputs, cells=arm.lane.cells,
            ))  # fmt: skip
        except Exception:  # the outermost door of a callback: the callers behind this one must get their answers
            log.exception("a request of %s could not be recorded", version.model)


class RecordedRoute(ShadowedRoute):
    """A route some of whose requests are recorded, whoever gets copies of them."""

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
        record: Record,
        recorder: Recorder,
    ) -> None:
        """*shadows* may be none."""
        super().__init__(routing, mark, lanes, metrics, trial, shadows=shadows, worker=worker)
        self._record = record
        self._recorder = recorder
        self._recorded: dict[Arm, Arm] = {}

    def decide(self, values: Values, draw: int, point: int | None = None) -> Arm:
        """Return the arm that answers, with a tap where the request is to be recorded."""
        arm = super().decide(values, draw, point)
        if not self._record.takes(draw):
            return arm
        tapped = self._recorded.get(arm)
        if tapped is None:
            tapped = self._recorded[arm] = copy.copy(arm)
            tapped.tap = RecordingTap(arm, self._record, self._recorder)
        return tapped
