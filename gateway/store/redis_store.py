"""Routes in Redis, or in anything that speaks its protocol.

It translates and decides nothing. Every change is one script, and every call keeps the promises of
``calls.py``. It is never on the path of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from gateway.core.errors import CorruptRoute, RevisionConflict
from gateway.ports.notifications import OUTBOX_ENTRIES
from gateway.ports.routes import RouteHead, StoredRoute
from gateway.store.address import Address
from gateway.store.calls import Calls, run_script
from gateway.store.evidence_records import check_fence, refusal
from gateway.store.guard import is_wrong_type
from gateway.store.keys import (
    CHANGES,
    EVIDENCE_SECONDS,
    HISTORY_LIMIT,
    PAYLOAD_BYTES,
    audit_key,
    evidence_key,
    outbox_key,
    rollout_keys,
    route_key,
)
from gateway.store.links import Linked, Newest
from gateway.store.nudges import Subscriber
from gateway.store.records import (
    HEAD_FIELDS,
    ROUTE_FIELDS,
    check_entry_id,
    check_incarnation,
    check_order,
    check_size,
    corrupt_head,
    digest_of,
    entry_of,
    head_of,
    new_incarnation,
    route_of,
    too_large,
)
from gateway.store.redis_drift import RedisDrift
from gateway.store.redis_fleet import RedisFleet
from gateway.store.redis_links import RedisLinks
from gateway.store.redis_notifications import RedisNotifications
from gateway.store.scripts import ORDER, WRITE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from gateway.core.notification import Notification
    from gateway.ports.routes import AuditEntry, Fence


WRITTEN_BEFORE: Final = 3
"""So many words has the answer to a change that landed when it was asked for before, and its reply was lost."""


class RedisRouteStore(RedisNotifications, RedisLinks, RedisFleet, RedisDrift):
    """Implements ``ports.Store``. Another connection carries the nudges."""

    def __init__(self, url: str, *, timeout_seconds: float = 0.4) -> None:
        """Name the store at *url*, one of the forms of ``address.FORMS``. Connects at the first call.

        *timeout_seconds* bounds each wait on the socket. Raises InvalidSettings for a URL that is none.
        """
        address = Address.parse(url, timeout_seconds)
        super().__init__(Calls(address))
        self._subscriber = Subscriber(address, CHANGES)
        self._newest: Newest = {}

    async def heads(self, models: Sequence[str]) -> Mapping[str, RouteHead]:
        """Return the heads of those of *models* that have one, in one round trip.

        A model whose key holds garbage has the revision CORRUPT_REVISION and an empty digest, so that a
        watcher can count it; the others are not held back by it. For no models it only asks whether the
        store answers.
        """
        if not models:
            await self.ping()
            return {}
        replies = await self._calls.read_each([route_key(model) for model in models], "HMGET", *HEAD_FIELDS)
        async with self._calls.bounded():
            heads = ((model, _head(reply)) for model, reply in zip(models, replies, strict=True))
            return {model: head for model, head in heads if head is not None}

    async def read(self, model: str) -> StoredRoute | None:
        """Return the whole route, None where there is none. Raises CorruptRoute for anything that is no route.

        The size is asked first: a document too large to be a route is refused without carrying it here.
        """
        key = route_key(model)
        async with self._calls.bounded() as ask:
            try:
                size = int(await ask("HSTRLEN", key, "document"))
                if size > PAYLOAD_BYTES:
                    raise too_large(model, size)
                fields = await ask("HMGET", key, *ROUTE_FIELDS)
            except ResponseError as exc:
                if is_wrong_type(exc):
                    raise CorruptRoute(model, "wrong_type", "the key holds no hash") from exc
                raise
        return route_of(model, fields)

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
        """Write *payload* with its audit entry, and what is *told*, if the revision is still *expected* (0: none).

        *fence* opens the new revision for the evidence of its rollout. Whatever the rollout that the route was in had
        counted expires EVIDENCE_SECONDS after a write that takes the route out of it; only that write asks twice,
        and one that others came before in the history, to link its entry to theirs.

        *expected* is what ``heads`` shows, so CORRUPT_REVISION replaces garbage by a route at revision 1, with a
        fresh incarnation. A reply that is lost and asked for again is still one write with one entry.

        Raises RevisionConflict when somebody was faster, CorruptRoute when the key of the history or of the
        evidence holds something else, InvalidDocument for a payload that is too large or a fence that cannot be read
        back, StoreUnavailable when the store does not answer. After StoreUnavailable the write may have landed.
        """
        check_size(payload)
        check_incarnation(incarnation)
        check_fence(fence)
        digest = digest_of(payload)
        args = [expected, max(expected, 0) + 1, new_incarnation(), incarnation or "", digest, payload]
        args += [fence.rollout, fence.slots] if fence else ["", ""]
        opened = [evidence_key(model, fence.rollout)] if fence else []
        words = [OUTBOX_ENTRIES, len(told), *(each.encoded() for each in told)]
        reply = await self._write(model, expected, opened, args, entry, words)
        return StoredRoute(reply[2].decode(), int(reply[1]), digest, payload)

    async def _write(
        self, model: str, expected: int, opened: list[str], args: list[Any], entry: AuditEntry, told: list[Any]
    ) -> list[Any]:
        """Run WRITE until its entry is linked to the newest, within one deadline.

        It is run again with the keys of the rollout that ends where it asks for them.
        """
        ending, keys = "", [route_key(model), audit_key(model), outbox_key(model), *opened]
        linked = Linked(self._newest, model, entry)
        async with self._calls.bounded() as ask:
            while True:
                ended = rollout_keys(model, ending) if ending else ()
                words = [*args, ending, EVIDENCE_SECONDS, *linked.words(told)]
                reply = await run_script(ask, WRITE, [*keys, *ended], words)
                if reply[0] == b"undeclared":
                    ending = reply[1].decode()
                elif not linked.is_behind(reply):
                    break
        accepted = _accepted(model, expected, reply)
        if len(accepted) > WRITTEN_BEFORE:
            linked.is_written(accepted[1], accepted[3])
        return accepted

    async def order(self, model: str, version: int, verb: str, entry: AuditEntry) -> None:
        """Record that *version* is to be loaded or unloaded; the revision of *entry* becomes that of the route, or 0.

        Raises CorruptRoute when one of the model's keys holds something of another kind.
        """
        check_order(version, verb)
        async with self._calls.bounded() as ask:
            keys = [route_key(model), audit_key(model)]
            linked = Linked(self._newest, model, entry, {b"version": str(version).encode()})
            while linked.is_behind(reply := await run_script(ask, ORDER, keys, [version, verb, *linked.words()])):
                pass
        accepted = _accepted(model, None, reply)
        if len(accepted) > WRITTEN_BEFORE:
            linked.is_written(accepted[1], accepted[3])

    async def history(self, model: str, *, limit: int, before: str = "") -> Sequence[AuditEntry]:
        """Return at most *limit* audit entries, and at most HISTORY_LIMIT, newest first, without garbage.

        *before* is the id of an entry; those older than it are meant.
        """
        if before:
            check_entry_id(before)
        if limit < 1:
            return []
        count, last = min(limit, HISTORY_LIMIT), f"({before}" if before else "+"
        async with self._calls.bounded() as ask:
            try:
                rows = await ask("XREVRANGE", audit_key(model), last, "-", "COUNT", count)
            except ResponseError as exc:
                if is_wrong_type(exc):
                    raise CorruptRoute(model, "audit", "the key of its history holds no stream") from exc
                raise
        entries = (entry_of(row_id, fields) for row_id, fields in rows)
        return [entry for entry in entries if entry is not None]

    def nudges(self) -> AsyncIterator[None]:
        """Yield once for every (re)subscription and once for every burst of changes.

        Unlike the port's word it never raises StoreUnavailable: it connects again by itself, and says so in
        the log once per outage. It ends by cancellation, or within about a second after ``close``.
        """
        return self._subscriber.nudges()

    async def ping(self) -> None:
        """Return if the store answers."""
        async with self._calls.bounded() as ask:
            await ask("PING")

    async def close(self) -> None:
        """Give back all connections."""
        self._subscriber.close()
        await self._calls.close()


def _accepted(model: str, expected: int | None, reply: list[Any]) -> list[Any]:
    """Return the *reply* of a change that was made. Raises what any other outcome stands for."""
    match reply[0]:
        case b"conflict":
            raise RevisionConflict(model, expected, int(reply[1]))
        case b"corrupt":
            raise refusal(model, reply)
    return reply


def _head(reply: Any) -> RouteHead | None:
    """Return what one key's reply says. Raises it when it is the server's refusal."""
    if isinstance(reply, ResponseError):
        if is_wrong_type(reply):
            return corrupt_head()
        raise reply
    return head_of(reply)
