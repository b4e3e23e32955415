"""What a link in a notification lets its reader do: approve, or roll back, the rollout as it stood when that was told.

An offer holds for one rollout in one phase and step, so a link that opens the gate of one step never opens the next.
Nothing here knows tokens, addresses or pages.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.notification import Kind
from gateway.core.phases import Event, Phase
from gateway.core.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.notification import Notification
    from gateway.core.rollout import Rollout


class Act(StrEnum):
    """What a link does. The values are what receivers call it."""

    APPROVE = "approve"
    """Open the gate that it waits at; of a rollout that is held: promote it all the same."""
    ROLL_BACK = "roll_back"
    """Give it up: back to the split from before."""


MEMBERS: Final = ("model", "rollout", "candidates", "phase", "step", "act", "target")


@dataclass(frozen=True, slots=True)
class Offer:
    """*act* on the *rollout* (its id) of *model* while it is in *phase* (``hold`` or ``paused``) and *step*, from 0.

    candidates: as text, for people. target: to whom it was sent.
    """

    model: str
    rollout: str
    candidates: str
    phase: str
    step: int
    act: Act
    target: str

    def encoded(self) -> bytes:
        """Return the text that ``read_offer`` reads."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @property
    def event(self) -> Event:
        """Return the move that is offered. Promoting out of a hold needs force."""
        if self.act is Act.ROLL_BACK:
            return Event.ABORT
        return Event.RESUME if self.phase == Phase.PAUSED else Event.PROMOTE

    @property
    def words(self) -> str:
        """Return what happens, as an order."""
        what = f"the rollout of version {self.candidates} of model {self.model!r}"
        if self.event is Event.ABORT:
            return f"Roll back: give up {what} and return to the split from before it"
        if self.event is Event.RESUME:
            return f"Approve: let {what} go on to what follows step {self.step + 1}"
        return f"Approve: promote {what} although it is held, past the steps that are left, to its last watch"

    def why_stale(self, rollout: Rollout | None) -> str:
        """Return why what is offered is over, empty where *rollout*, the model's last one, stands as it did."""
        if rollout is None or rollout.id != self.rollout:
            return "another rollout took its place"
        is_gone = rollout.phase == Phase.PAUSED and not rollout.gate
        if is_gone or (rollout.phase, rollout.step) != (self.phase, self.step):
            where = f"at step {rollout.step + 1} ({rollout.phase})" if rollout.goal is Phase.STEP else rollout.phase
            return f"the rollout has moved on: it is {where}"
        return ""


def offers_of(notification: Notification, target: str) -> Sequence[Offer]:
    """Return what *target* may do about *notification*: nothing, unless it is that a rollout is held or waits.

    Where one of several candidates has to be chosen, no link can approve.
    """
    rollout = notification.rollout
    if rollout is None or not _waits(notification.kind, gate=rollout.get("gate") is True):
        return ()
    candidates, step = rollout.get("candidates"), rollout.get("step")
    listed = [str(each) for each in candidates] if isinstance(candidates, list) else []
    return [
        Offer(
            notification.model, str(rollout.get("id")), ", ".join(listed), str(rollout.get("phase")),
            step - 1 if isinstance(step, int) else 0, act, target,
        )
        for act in Act
        if act is Act.ROLL_BACK or len(listed) == 1
    ]  # fmt: skip


def read_offer(payload: bytes) -> Offer:
    """Return what ``Offer.encoded`` wrote. Raises InvalidDocument: a store may hold anything."""
    data = members_of(strict_json(payload), MEMBERS, needed=MEMBERS, what="offer")
    for name in MEMBERS:
        wanted = int if name == "step" else str
        if type(data[name]) is not wanted:
            raise InvalidDocument(name, f"{shown(data[name])} is none")
    with at("act"):
        check_choice(data["act"], tuple(Act))
    return Offer(**{**data, "act": Act(data["act"])})


def _waits(kind: Kind, *, gate: bool) -> bool:
    return kind is Kind.HELD or (kind is Kind.PAUSED and gate)
