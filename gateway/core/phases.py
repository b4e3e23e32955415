"""The life of a rollout as a table: which event leads from which phase to where.

A cell that is not there is refused and changes nothing. Some cells name no phase but a rule (``Goto``), because where
it leads depends on the plan or on where the rollout came from; ``rollout.py`` follows them.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Phase(StrEnum):
    """Where a rollout stands."""

    PENDING = "pending"
    """Written down; nothing was done yet."""
    PREFLIGHT = "preflight"
    """The canary is in the split at 0, so that every worker loads and warms it."""
    SHADOW = "shadow"
    """The canary gets copies and answers nobody."""
    STEP = "step"
    HOLD = "hold"
    """Stands still: something looks wrong, or the evidence does not suffice."""
    PAUSED = "paused"
    """Somebody, or a gate, stopped it. The guards go on watching."""
    BAKE = "bake"
    """The canary has nearly all; the baseline keeps a share to be compared with."""
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    """Another rollout took its place."""


class Event(StrEnum):
    """What happens to a rollout. *done*, *fail*, *hold*, *clear* and *overdue* come from the guards and the clock."""

    DONE = "done"
    FAIL = "fail"
    HOLD = "hold"
    CLEAR = "clear"
    OVERDUE = "overdue"
    PAUSE = "pause"
    """An operator's, a gate's, or somebody changed the weights by hand."""
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    SUPERSEDE = "supersede"
    RETRY = "retry"


class Goto(StrEnum):
    """A cell whose phase depends on more than the phase and the event."""

    FIRST = "shadow or step"
    NEXT = "next step or bake"
    ORIGIN = "origin"
    POLICY = "policy"
    """Stand still first; then what the plan's ``on_insufficient_data`` says."""
    BAKE_OR_END = "bake or succeeded"
    """A bake from a step, the end from a bake; not before the first step."""


LIVE: Final = (Phase.PREFLIGHT, Phase.SHADOW, Phase.STEP, Phase.HOLD, Phase.PAUSED, Phase.BAKE)
"""The phases under watch: a canary that fails in one of them is taken back."""

ENDED: Final = (Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED)

_STOP: Final = {Event.PAUSE: Phase.PAUSED, Event.ABORT: Phase.ABORTED, Event.SUPERSEDE: Phase.SUPERSEDED}
_WATCH: Final = _STOP | {Event.FAIL: Phase.ROLLED_BACK, Event.HOLD: Phase.HOLD}
_AGAIN: Final = {Event.RETRY: Phase.PENDING}

TABLE: Final[Mapping[Phase, Mapping[Event, Phase | Goto]]] = MappingProxyType({
    Phase.PENDING: _STOP | {Event.DONE: Phase.PREFLIGHT},
    Phase.PREFLIGHT: _WATCH | {Event.DONE: Goto.FIRST},
    Phase.SHADOW: _WATCH | {Event.DONE: Phase.STEP, Event.OVERDUE: Goto.POLICY},
    Phase.STEP: _WATCH | {Event.DONE: Goto.NEXT, Event.OVERDUE: Goto.POLICY, Event.PROMOTE: Phase.BAKE},
    Phase.HOLD: _STOP | {
        Event.FAIL: Phase.ROLLED_BACK, Event.CLEAR: Goto.ORIGIN, Event.OVERDUE: Goto.POLICY,
        Event.PROMOTE: Goto.BAKE_OR_END,
    },
    Phase.PAUSED: _WATCH | {
        Event.HOLD: Phase.PAUSED, Event.CLEAR: Phase.PAUSED, Event.RESUME: Goto.ORIGIN,
        Event.PROMOTE: Goto.BAKE_OR_END,
    },
    Phase.BAKE: _WATCH | {
        Event.DONE: Phase.SUCCEEDED, Event.OVERDUE: Goto.POLICY, Event.PROMOTE: Phase.SUCCEEDED,
    },
    Phase.ROLLED_BACK: _AGAIN,
    Phase.ABORTED: _AGAIN,
    Phase.SUCCEEDED: {},
    Phase.SUPERSEDED: {},
})  # fmt: skip
"""Phase → event → where it leads."""


class MoveRefused(GatewayError):
    """A rollout cannot do this from where it stands; nothing was changed."""

    def __init__(self, phase: Phase, event: Event, why: str = "") -> None:
        allowed = ", ".join(TABLE[phase]) or "nothing"
        super().__init__(f"a rollout that is {phase} cannot take {event!s}{why}; from here it takes {allowed}")
        self.phase = phase
        self.event = event
