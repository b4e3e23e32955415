"""What is told of single requests: to witnesses, which take a sample, and to the log, which takes every failure.

Nothing here runs for a request that went well while nobody listens.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.core import outcomes
from gateway.core.errors import GatewayError
from gateway.core.sampling import Pace
from gateway.ports.observing import SeenRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.serving.batching import Lane
    from gateway.serving.jobs import Job
    from gateway.serving.live import Arm

log = logging.getLogger(__name__)

FAILURES: Final = frozenset({outcomes.MODEL_ERROR, outcomes.TIMEOUT, outcomes.GATEWAY_ERROR})
"""Outcomes that are nobody's wish and not the caller's fault; an overload is counted, or the log would add to it."""

LINES_PER_SECOND: Final = 50.0
"""Lines about failures in one worker: a line costs some 10 µs, and a version that fails does so thousands of times."""

FALLBACK_FROM: Final = b"x-gateway-fallback-from"


class FailureLog:
    """Logs each failure once, with its cause, up to LINES_PER_SECOND; then says how many it left out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pace = Pace(LINES_PER_SECOND)
        self._left_out = 0

    def say(self, error: Exception, described: Mapping[str, str | int]) -> None:
        """Log the *error* that ended a request; one that is not the gateway's own with where it came from."""
        if not self._pace.takes(self._clock()):
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        extra = {**described, **({"failures_left_out": left_out} if left_out else {})}
        if isinstance(error, GatewayError):
            log.warning("%s", error, extra={**extra, "error": type(error).__name__})
        else:
            log.error("a request failed in the gateway", exc_info=error, extra=extra)


def fallback_from(arm: Arm) -> int | None:
    """Return the version in whose place *arm* answers, None where it is its own."""
    return next((int(value) for name, value in arm.headers if name == FALLBACK_FROM), None)


def run_of(lane: Lane) -> SeenRun | None:
    """Return the run whose results *lane* is telling now; None where what is told came of no run."""
    job: Job | None = lane.told
    if job is None:
        return None
    rows, seconds = lane.last_run or (None, None)
    return SeenRun(job.arrived, job.began, seconds, rows)
