"""What is to be told, in this process: for tests, and the plainest statement of it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.ports.notifications import (
    NEW_TARGET_SECONDS,
    OUTBOX_ENTRIES,
    UNDELIVERED_ENTRIES,
    Backlog,
    Claimed,
    Undelivered,
)
from gateway.store.memory_feedback import MemoryFeedback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.notification import Notification


@dataclass(slots=True)
class Waiting:
    """One notification in an outbox. *put_at*: seconds since the epoch."""

    number: int
    id: str
    payload: bytes
    put_at: float
    at_ms: int
    addressee: str = ""


@dataclass(slots=True)
class Place:
    """How far one target was told of one model. *number* None: it was never told anything."""

    begins: float
    number: int | None = None
    token: str = ""
    held_until: float = 0.0
    due: float = 0.0
    attempts: int = 0


class MemoryNotifications(MemoryFeedback):
    """Implements ``ports.NotificationStore`` for one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._outboxes: dict[str, list[Waiting]] = {}
        self._places: dict[tuple[str, str], Place] = {}
        self._given_up: dict[str, dict[str, Undelivered]] = {}
        self._keys = 0

    async def tell(self, notification: Notification) -> None:
        """Put *notification* into the outbox of its model, without a write of the route."""
        self._answer()
        self._put(notification.model, [notification])

    async def backlogs(self, wanted: Mapping[str, Sequence[str]]) -> Mapping[tuple[str, str], Backlog]:
        """Return what waits, per model and target."""
        self._answer()
        return {(model, name): self._backlog(model, name) for model, names in wanted.items() for name in names}

    async def claim(self, model: str, target: str, *, seconds: float) -> Claimed | None:
        """Take the next notification of *model* for *target*, for so many *seconds*; None where none may be taken."""
        self._answer()
        now, place, waiting = time.time(), self._place(model, target), self._waiting(model, target)
        if not waiting or place.held_until > now or place.due > now:
            return None
        first = waiting[0]
        lost = 0 if place.number is None else max(0, first.number - place.number - 1)
        place.token, place.held_until, place.number = secrets.token_hex(8), now + seconds, first.number - 1
        return Claimed(
            place.token, str(first.number), first.number, first.id, first.payload, first.addressee, first.at_ms,
            max(0.0, now - first.put_at), place.attempts, lost,
        )  # fmt: skip

    async def settle(
        self, model: str, target: str, claimed: Claimed, *, again_seconds: float | None = None, given_up: str = ""
    ) -> bool:
        """End a claim; False where another courier has taken it since."""
        self._answer()
        place = self._place(model, target)
        if place.token != claimed.token:
            return False
        place.token, place.held_until = "", 0.0
        if again_seconds is not None:
            place.attempts, place.due = place.attempts + 1, time.time() + again_seconds
            return True
        if given_up:
            self._give_up(model, target, claimed, given_up)
        place.number, place.attempts, place.due = claimed.number, 0, 0.0
        return True

    async def undelivered(self, model: str) -> Sequence[Undelivered]:
        """Return what was given up and not tried again, oldest first."""
        self._answer()
        return list(self._given_up.get(model, {}).values())

    async def again(self, model: str, key: str) -> bool:
        """Put what was given up back into the outbox, for its target only; False where there is no such *key*."""
        self._answer()
        found = self._given_up.get(model, {}).pop(key, None)
        if found is not None:
            self._append(model, found.id, found.payload, found.at_ms, found.target)
        return found is not None

    def _put(self, model: str, told: Sequence[Notification]) -> None:
        """Put what is *told* of one write into the outbox of *model*."""
        write = secrets.token_hex(16)
        for number, each in enumerate(told, 1):
            self._append(model, f"{write}-{number}", each.encoded(), time.time_ns() // 1_000_000)

    def _append(self, model: str, name: str, payload: bytes, at_ms: int, addressee: str = "") -> None:
        outbox = self._outboxes.setdefault(model, [])
        number = outbox[-1].number + 1 if outbox else 1
        outbox.append(Waiting(number, name, payload, time.time(), at_ms, addressee))
        del outbox[:-OUTBOX_ENTRIES]

    def _give_up(self, model: str, target: str, claimed: Claimed, reason: str) -> None:
        held, self._keys = self._given_up.setdefault(model, {}), self._keys + 1
        key = f"{self._keys}-0"
        held[key] = Undelivered(key, target, claimed.id, claimed.payload, claimed.at_ms, reason)
        for old in list(held)[:-UNDELIVERED_ENTRIES]:
            del held[old]

    def _backlog(self, model: str, target: str) -> Backlog:
        now, place, waiting = time.time(), self._place(model, target), self._waiting(model, target)
        if not waiting:
            return Backlog(0, 0.0, is_due=False)
        is_due = place.due <= now and place.held_until <= now
        return Backlog(len(waiting), max(0.0, now - waiting[0].put_at), is_due)

    def _place(self, model: str, target: str) -> Place:
        return self._places.setdefault((model, target), Place(time.time() - NEW_TARGET_SECONDS))

    def _waiting(self, model: str, target: str) -> list[Waiting]:
        place = self._place(model, target)
        return [
            each
            for each in self._outboxes.get(model, ())
            if (each.put_at > place.begins if place.number is None else each.number > place.number)
        ]
