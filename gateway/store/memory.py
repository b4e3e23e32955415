"""Routes in this process: for tests, and the plainest statement of what a store does.

It keeps the same fields as Redis does and reads them with the same eyes, so it can hold garbage
as well. It can be away: see ``stop``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.core.errors import RevisionConflict
from gateway.ports.routes import AuditEntry, RouteHead, StoredRoute
from gateway.store.evidence_records import check_fence
from gateway.store.keys import AUDIT_ENTRIES, HISTORY_LIMIT
from gateway.store.memory_drift import MemoryDrift
from gateway.store.memory_fleet import MemoryFleet
from gateway.store.memory_links import MemoryLinks
from gateway.store.memory_notifications import MemoryNotifications
from gateway.store.records import (
    HEAD_FIELDS,
    ROUTE_FIELDS,
    audit_fields,
    check_entry_id,
    check_incarnation,
    check_order,
    check_size,
    digest_of,
    entry_of,
    head_of,
    new_incarnation,
    orders_of,
    previous_of,
    route_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from gateway.core.notification import Notification
    from gateway.ports.routes import Fence


class MemoryRouteStore(MemoryNotifications, MemoryLinks, MemoryFleet, MemoryDrift):
    """Implements ``ports.Store``. It can be away: ``stop`` and ``start``."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, deque[AuditEntry]] = {}
        self._subscribers: set[asyncio.Event] = set()
        self._is_closed = False

    def stop(self) -> None:
        """Go away: every call raises StoreUnavailable until ``start``, and nobody is nudged."""
        self._is_away = True

    def start(self) -> None:
        """Come back with everything that was kept; every subscriber is nudged, as after a resubscription."""
        self._is_away = False
        self._nudge()

    async def heads(self, models: Sequence[str]) -> Mapping[str, RouteHead]:
        """Return the heads of those of *models* that have one; garbage has the revision CORRUPT_REVISION."""
        self._answer()
        heads = ((model, self._head(model)) for model in models)
        return {model: head for model, head in heads if head is not None}

    async def read(self, model: str) -> StoredRoute | None:
        """Return the whole route, None where there is none. Raises CorruptRoute for fields that are no route."""
        self._answer()
        held = self._hashes.get(model, {})
        return route_of(model, [held.get(name) for name in ROUTE_FIELDS])

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
        """Write *payload* with its audit entry, and what is *told*, if the revision is still *expected* (0: none)."""
        self._answer()
        check_size(payload)
        check_incarnation(incarnation)
        check_fence(fence)
        head = self._head(model)
        actual = head.revision if head else 0
        if actual != expected:
            raise RevisionConflict(model, expected, actual)
        kept = head.incarnation if head else ""
        route = StoredRoute(incarnation or kept or new_incarnation(), max(expected, 0) + 1, digest_of(payload), payload)
        self._hashes.setdefault(model, {}).update(
            incarnation=route.incarnation.encode(),
            revision=str(route.revision).encode(),
            digest=route.digest.encode(),
            document=route.payload,
        )
        self._fence(model, route.revision, fence)
        self._put(model, told)
        self._record(model, entry, route.revision)
        return route

    async def order(self, model: str, version: int, verb: str, entry: AuditEntry) -> None:
        """Record that *version* is to be loaded or unloaded; *entry* takes the revision of the route, or 0."""
        self._answer()
        check_order(version, verb)
        held = self._hashes.setdefault(model, {})
        orders = {**orders_of(held.get("orders")), version: verb}
        held["orders"] = json.dumps(orders).encode()
        head = self._head(model)
        self._record(model, entry, max(head.revision, 0) if head else 0, {b"version": str(version).encode()})

    async def history(self, model: str, *, limit: int, before: str = "") -> Sequence[AuditEntry]:
        """Return at most *limit* audit entries, and at most HISTORY_LIMIT, newest first, older than *before*."""
        self._answer()
        if before:
            check_entry_id(before)
        kept: Iterable[AuditEntry] = self._entries.get(model, ())
        if before:
            kept = (entry for entry in kept if _position(entry.id) < _position(before))
        return list(islice(kept, max(0, min(limit, HISTORY_LIMIT))))

    async def nudges(self) -> AsyncIterator[None]:
        """Yield once at the start, after every ``start`` and for every burst of changes; ends after ``close``."""
        changed = asyncio.Event()
        if not self._is_away:
            changed.set()
        self._subscribers.add(changed)
        try:
            while True:
                await changed.wait()
                changed.clear()
                if self._is_closed:
                    return
                yield
        finally:
            self._subscribers.discard(changed)

    async def ping(self) -> None:
        """Return if the store answers."""
        self._answer()

    async def close(self) -> None:
        """End all nudges."""
        self._is_closed = True
        self._nudge()

    def _head(self, model: str) -> RouteHead | None:
        held = self._hashes.get(model, {})
        return head_of([held.get(name) for name in HEAD_FIELDS])

    def _record(
        self, model: str, entry: AuditEntry, revision: int, own: Mapping[bytes, bytes] = MappingProxyType({})
    ) -> None:
        """Keep *entry*, linked to the newest, as a reader of a real store would find it: what went through JSON."""
        entries = self._entries.setdefault(model, deque(maxlen=AUDIT_ENTRIES))
        newest = entries[0] if entries else None
        linked = replace(entry, previous=previous_of(newest))
        fields = {name.encode(): value for name, value in audit_fields(linked).items()}
        kept = entry_of(_id_after(newest), {**fields, **own, b"revision": str(revision).encode()})
        assert kept is not None
        entries.appendleft(kept)
        self._nudge()

    def _nudge(self) -> None:
        for changed in self._subscribers:
            changed.set()


def _position(entry_id: str) -> tuple[int, int]:
    """Return what entries are in the order of."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


def _id_after(newest: AuditEntry | None) -> bytes:
    """Return the id of the entry after *newest*, made as a stream makes them: a later one is higher."""
    now = time.time_ns() // 1_000_000
    at_ms, number = _position(newest.id) if newest else (0, -1)
    return b"%d-0" % now if now > at_ms else b"%d-%d" % (at_ms, number + 1)
