"""Runs one request on the arm that was chosen, and on the baseline where that arm fails.

The caller of a failing canary gets the baseline's answer inside the same deadline: the canary may
use half of what is left, so that the other half is there to answer. Where the runtime refuses a value on both,
the input is at fault, and that is no evidence against the canary.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.core.errors import (
    DeadlineExceeded,
    InputRefused,
    InvalidRequest,
    ModelFailed,
    Overloaded,
    RejectedInput,
    VersionStuck,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports import Tensor, VersionCells
    from gateway.serving.batching import Job, Result
    from gateway.serving.live import Arm

CANARY_PART: Final = 0.5
"""The part of the remaining time that an arm with a fallback may use."""

Failure = ModelFailed | DeadlineExceeded | Overloaded | VersionStuck
FALLS_BACK: Final = (ModelFailed, DeadlineExceeded, Overloaded, VersionStuck)
"""What the baseline is asked after. Not after Quarantined: what crashed two workers may crash it too."""


class Attempt:
    """One request on its way through an arm. Starts when it is made."""

    __slots__ = ("_arm", "_deadline", "_done", "_failed", "_feeds", "_job", "_priority", "_rows")

    def __init__(
        self,
        arm: Arm,
        feeds: tuple[Tensor, ...],
        rows: int,
        deadline: float,
        done: Callable[[Arm, Result], None],
        priority: int = 0,
    ) -> None:
        """*done* is told once, on the loop, which arm ended it (the fallback after a failure), and the result.

        *deadline* is on the event loop's clock, seconds. The result is the outputs, or the error of the arm
        that was tried last: one of FALLS_BACK, InvalidRequest or Quarantined. *priority*: as in ``Lane.submit``.
        """
        self._arm = arm
        self._feeds = feeds
        self._rows = rows
        self._deadline = deadline
        self._done = done
        self._priority = priority
        self._failed: tuple[VersionCells, Failure] | None = None
        self._job: Job | None = None
        if arm.absent is not None:
            arm.absent.fell_back("unavailable")
        if arm.fallback is None:
            self._try(deadline)
        else:
            now = asyncio.get_running_loop().time()
            self._try(now + (deadline - now) * CANARY_PART)

    def cancel(self) -> None:
        """The caller is gone: nothing is told any more, and what still queues is not run."""
        if self._job is not None:
            self._job.cancel()

    def _try(self, deadline: float) -> None:
        try:
            self._job = self._arm.lane.submit(self._feeds, self._rows, deadline, self._settled, self._priority)
        except (Overloaded, VersionStuck, InvalidRequest) as refused:
            self._settled(refused)

    def _settled(self, result: Result) -> None:
        arm = self._arm
        if isinstance(result, FALLS_BACK) and arm.fallback is not None:
            self._failed = arm.lane.cells, result
            self._arm = arm.fallback
            self._try(self._deadline)
            return
        if isinstance(result, InputRefused) and arm.is_trusted:
            result = RejectedInput(arm.lane.version.model, arm.lane.version.version)
        if self._failed is not None:
            cells, failure = self._failed
            if not (isinstance(result, RejectedInput) and isinstance(failure, InputRefused)):
                cells.fell_back(reason_of(failure))
        self._done(arm, result)


def reason_of(failure: Failure) -> str:
    """Return the label under which a fallback is counted."""
    if isinstance(failure, ModelFailed):
        return "invalid" if failure.code == "nonfinite_output" else "error"
    return "overload" if isinstance(failure, Overloaded) else "timeout"
