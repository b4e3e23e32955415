"""What is told to people: messages that wait, who takes them, and links that act for whoever holds them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.notification import Notification


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one target in the outbox of one model.

    *waiting*: how many; *oldest_seconds*: for how long the first of them, 0 where none waits. *is_due*: the first may
    be claimed now.
    """

    waiting: int
    oldest_seconds: float
    is_due: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """One notification that a courier holds for a while. *token* names this very claim.

    id: of the notification, the same at every attempt and for every target. entry: its place in the outbox. addressee:
    the one target that it is for, empty for all. at_ms: when it happened, by the store's clock, since the epoch;
    waited_seconds: since it was put into the outbox. attempts: those that failed. lost: how many before it fell out of
    a full outbox, untold.
    """

    token: str
    entry: str
    number: int
    id: str
    payload: bytes
    addressee: str
    at_ms: int
    waited_seconds: float
    attempts: int
    lost: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A notification that a courier gave up, with the *reason*. *key* is what ``again`` takes."""

    key: str
    target: str
    id: str
    payload: bytes
    at_ms: int
    reason: str


class NotificationStore(Protocol):
    """What waits to be told: one outbox per model, and for each target how far it was told.

    Every target reads an outbox from its beginning to its end, one notification at a time. One object implements this
    and RouteStore, for a write of a route fills the outbox. Every call answers within a second or raises
    StoreUnavailable. What is no outbox under a key of ours is put aside: it must not keep a canary in the traffic.
    """

    async def tell(self, notification: Notification) -> None:
        """Put *notification* into the outbox of its model, without a write of the route."""
        ...

    async def backlogs(self, wanted: Mapping[str, Sequence[str]]) -> Mapping[tuple[str, str], Backlog]:
        """Return what waits, per model and target, in one round trip; *wanted*: model → targets that are told of it.

        A target that is seen with a model for the first time is told what happened to it in the last
        NEW_TARGET_SECONDS, and from then on.
        """
        ...

    async def claim(self, model: str, target: str, *, seconds: float) -> Claimed | None:
        """Take the next notification of *model* for *target*, for so many *seconds*; None where none may be taken."""
        ...

    async def settle(
        self, model: str, target: str, claimed: Claimed, *, again_seconds: float | None = None, given_up: str = ""
    ) -> bool:
        """End a claim: it was delivered, is to be tried again in *again_seconds*, or is *given_up* for that reason.

        Returns False, having changed nothing, where the claim had run out and another courier took it.
        """
        ...

    async def undelivered(self, model: str) -> Sequence[Undelivered]:
        """Return what was given up and not tried again, oldest first: at most UNDELIVERED_ENTRIES."""
        ...

    async def again(self, model: str, key: str) -> bool:
        """Put what was given up back into the outbox, for its target only; False where there is no such *key*."""
        ...


LINK_SECONDS: Final = 24 * 3600.0
"""How long a link of a notification may be used, and as long again it is known to be too old."""


@dataclass(frozen=True, slots=True)
class KeptLink:
    """What a link lets somebody do (``core.links.Offer``), and whether that is over."""

    payload: bytes
    is_late: bool
    is_used: bool


def digest_of_link(token: str) -> str:
    """Return what the store knows a link by: the SHA-256 of its *token*, hexadecimal."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class LinkStore(Protocol):
    """The links of notifications, by ``digest_of_link``. Every call answers within a second or raises
    StoreUnavailable."""

    async def keep_link(self, model: str, digest: str, payload: bytes) -> None:
        """Keep what a link of *model* lets somebody do, for LINK_SECONDS."""
        ...

    async def link(self, model: str, digest: str) -> KeptLink | None:
        """Return what is kept, None for what is not, or was forgotten."""
        ...

    async def take_link(self, model: str, digest: str) -> bool:
        """Mark a link as used. Returns False, having changed nothing, where it was: of two at once one gets it."""
        ...

    async def give_link_back(self, model: str, digest: str) -> None:
        """Take the mark away: nothing came of it."""
        ...


NEW_TARGET_SECONDS: Final = 60.0


OUTBOX_ENTRIES: Final = 2_000
"""The most that an outbox holds, told or not; the oldest fall out."""


UNDELIVERED_ENTRIES: Final = 1_000


NOTIFICATION_OUTCOMES: Final = ("delivered", "failed", "given_up", "lost")
"""Label values of ``gateway_notifications_total``: *failed* is one attempt, *lost* fell out of a full outbox."""


@dataclass(frozen=True, slots=True)
class TargetFigures:
    """How one target is served by this process. *oldest_seconds*: how long what waits longest has waited."""

    outcomes: Mapping[str, int]
    waiting: int
    oldest_seconds: float


class NotificationDesk(Protocol):
    """What is shown of notifications, and what an operator may do about them."""

    def figures(self) -> Mapping[str, TargetFigures]:
        """Return target → figures."""
        ...

    def describe(self) -> Sequence[Mapping[str, Any]]:
        """Return what may be shown of each target: never its secret, nor the path of its address."""
        ...

    async def given_up(self) -> Mapping[str, Sequence[Undelivered]]:
        """Return model → what was given up, models without any left out. Raises StoreUnavailable."""
        ...

    async def again(self, model: str, key: str) -> bool:
        """Put what was given up back into the outbox; False where it is not there. Raises StoreUnavailable."""
        ...
