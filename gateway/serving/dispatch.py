"""Runs one request on the arm that was chosen, and on the baseline where that arm fails.

The caller of a failing canary gets the baseline's answer inside the same deadline: the canary may
use half of what is left, so that the other half is there to answer. The second run takes a place in the
retry budget; where none is free the caller gets the canary's error. Where the runtime refuses a value on both,
the input is at fault, and that is no evidence against the canary. Requests of a rollout go through
``watched.py``, which counts them too.
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
from gateway.serving.retries import Rerun

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.engine import Tensor
    from gateway.ports.metrics import VersionCells
    from gateway.serving.jobs import Result, Ticket
    from gateway.serving.live import Arm
    from gateway.serving.retries import RetryBudget

CANARY_PART: Final = 0.5
"""The part of the remaining time that an arm with a fallback may use."""

Failure = ModelFailed | DeadlineExceeded | Overloaded | VersionStuck
FALLS_BACK: Final = (ModelFailed, DeadlineExceeded, Overloaded, VersionStuck)
"""What the baseline is asked after. Not after Quarantined: what crashed two workers may crash it too."""


class Attempt:
    """One request on its way through an arm. Starts when it is made."""

    __slots__ = ("_arm", "_deadline", "_done", "_feeds", "_first", "_job", "_priority", "_retries", "_rows")

    def __init__(
        self,
        arm: Arm,
        feeds: tuple[Tensor, ...],
        rows: int,
        deadline: float,
        done: Callable[[Arm, Result], None],
        retries: RetryBudget,
        priority: int = 0,
    ) -> None:
        """*done* is told once, on the loop, which arm ended it (the fallback after a failure), and the result.

        *feeds* are in the order of the arm's signature. *deadline* is on the event loop's clock, seconds. The result
        is the outputs, or the error of the arm that was tried last: one of FALLS_BACK, InvalidRequest or Quarantined.
        *priority*: as in ``Lane.submit``.
        """
        self._arm = arm
        self._feeds = feeds
        self._rows = rows
        self._deadline = deadline
        self._done = done
        self._retries = retries
        self._priority = priority
        self._first: tuple[VersionCells, Failure] | None = None
        """The failure in place of which another arm answers, and where that is counted."""
        self._job: Ticket | None = None
        self._begin()

    def cancel(self) -> None:
        """The caller is gone: nothing is told any more, and what still queues is not run."""
        if self._job is not None:
            self._job.cancel()

    @property
    def failure(self) -> Failure | None:
        """The failure in place of which another arm answers; None where there was none."""
        return None if self._first is None else self._first[1]

    def _begin(self) -> None:
        arm = self._arm
        if arm.absent is not None:
            arm.absent.fell_back("unavailable")
        deadline = self._deadline
        if arm.fallback is not None:
            now = asyncio.get_running_loop().time()
            deadline = now + (deadline - now) * CANARY_PART
        try:
            self._job = arm.lane.submit(self._feeds, self._rows, deadline, self._settled, self._priority)
        except (Overloaded, VersionStuck, InvalidRequest) as refused:
            self._settled(refused)

    def _settled(self, result: Result) -> None:
        self._job = None  # it knows us
        if not isinstance(result, Exception):
            self._done(self._arm, result)  # the first run went well: nothing to weigh
            return
        behind = self._arm.fallback
        if behind is not None and isinstance(result, FALLS_BACK):
            self._fall_back(behind, result)
        else:
            self._finish(result)

    def _fall_back(self, behind: Arm, failure: Failure) -> None:
        """Let *behind* answer, where the budget has room and it takes what this version took."""
        if not self._retries.has_room() or not behind.can_stand_in(self._feeds):
            self._finish(failure)
            return
        self._first = self._arm.lane.cells, failure
        self._run_again(behind)

    def _run_again(self, arm: Arm) -> None:
        self._arm = arm
        feeds = arm.reordered(self._feeds)
        self._job = Rerun(self._retries, arm.lane, feeds, self._rows, self._deadline, self._ended)

    def _ended(self, result: Result, was_run: bool) -> None:  # noqa: ARG002 - whether it was run is for evidence
        self._finish(result)

    def _finish(self, result: Result) -> None:
        """Say what became of the request, and count the fallback that answered it."""
        arm, self._job = self._arm, None
        if isinstance(result, Exception):
            result = blamed(arm, result)
        if self._first is not None:
            cells, failure = self._first
            if not (isinstance(result, RejectedInput) and isinstance(failure, InputRefused)):
                cells.fell_back(reason_of(failure))
        self._done(arm, result)


def blamed(arm: Arm, failure: Exception) -> Exception:
    """Return what *failure* of *arm*'s run is to the caller: where the runtime refuses a value to it, their input."""
    if isinstance(failure, InputRefused) and arm.is_trusted:
        return RejectedInput(arm.lane.version.model, arm.lane.version.version)
    return failure


def reason_of(failure: Failure) -> str:
    """Return the label under which a fallback is counted."""
    if isinstance(failure, ModelFailed):
        return "invalid" if failure.code == "nonfinite_output" else "error"
    return "overload" if isinstance(failure, Overloaded) else "timeout"
