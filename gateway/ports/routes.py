"""How routes are stored: what is read of one, what a change leaves behind, and the copy for when no store answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from gateway.core.notification import Notification


@dataclass(frozen=True, slots=True)
class RouteHead:
    """What a poll reads of a route: enough to see that it changed.

    *incarnation* is drawn when the route is created or restored, *revision* rises by one at every
    write, *digest* is the SHA-256 (hexadecimal) of the stored bytes. *orders* maps a version to
    ``"load"`` or ``"unload"``, what an operator last asked for. A model that has orders and no
    route has an empty incarnation and revision 0. ``versions.WHOLE_MODEL`` with ``"unload"`` takes
    the model and all its versions out of service, until the same is ordered to load.
    """

    incarnation: str
    revision: int
    digest: str
    orders: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """A route as the store holds it; *payload* is what ``core.stored`` reads and writes."""

    incarnation: str
    revision: int
    digest: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to a model, and why. *before* and *after* are bare route documents, or None where there was none.

    *action* is ``route``, ``rollout``, ``load`` or ``unload``; *at_ms* is the store's clock, milliseconds since the
    epoch. *address* is where *who* spoke from, empty for the gateway itself; *version* what an order names, ``all`` for
    the whole model, else empty. *id* and *previous*, the digest of the entry before (``core.audit``), are the store's
    to set; *previous* is empty in entries from before there was a chain.
    """

    revision: int
    who: str
    reason: str
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    at_ms: int = 0
    address: str = ""
    version: str = ""
    id: str = ""
    previous: str = ""


@dataclass(frozen=True, slots=True)
class Fence:
    """Which rollout a written route belongs to; its evidence is counted under the revision that the write makes.

    *slots*: who has how many in that revision, as ``core.evidence.written_slots`` writes it.
    """

    rollout: str
    slots: str


class RouteStore(Protocol):
    """Routes, their revisions and their history. Every call answers within a second or raises StoreUnavailable."""

    async def heads(self, models: Sequence[str]) -> Mapping[str, RouteHead]:
        """Return the heads of those of *models* that have one, in one round trip."""
        ...

    async def read(self, model: str) -> StoredRoute | None:
        """Return the whole route, None where there is none. Raises CorruptRoute for fields that are no route."""
        ...

    async def write(
        self,
        model: str,
        payload: bytes,
        entry: AuditEntry,
        *,
        expected: int,
        incarnation: str | None = None,
        fence: Fence | None = None,
        told: Sequence[Notification] = (),
    ) -> StoredRoute:
        """Write *payload* with its audit entry if the stored revision is still *expected* (0: there must be no route).

        What is *told* of it waits for its couriers from the same moment on: both are written, or neither.

        *fence* opens the new revision for the evidence of a rollout; without one no evidence is taken for the route
        any more. The revision of *entry* is replaced by the new one. A new route takes *incarnation* or a fresh
        random one, a later write keeps what is stored unless *incarnation* is given (a restore).
        Raises RevisionConflict when somebody was faster; after StoreUnavailable the write may have landed.
        """
        ...

    async def order(self, model: str, version: int, verb: str, entry: AuditEntry) -> None:
        """Record that *version* is to be loaded or unloaded (*verb*: ``load`` or ``unload``), with its audit entry.

        *version* may be ``versions.WHOLE_MODEL``. Raises ValueError for what is no order.
        """
        ...

    async def history(self, model: str, *, limit: int, before: str = "") -> Sequence[AuditEntry]:
        """Return at most *limit* audit entries, newest first; of those older than the entry with the id *before*."""
        ...

    def nudges(self) -> AsyncIterator[None]:
        """Yield once for every (re)subscription and for every burst of changes; reconnects by itself, ends never."""
        ...

    async def ping(self) -> None:
        """Return if the store answers."""
        ...

    async def close(self) -> None:
        """Give back all connections."""
        ...


class LastGood(Protocol):
    """The routes that this replica served last, kept on its disk."""

    def read(self) -> Mapping[str, StoredRoute]:
        """Return every route of the snapshot, or of the one before where that is damaged; empty without either."""
        ...
