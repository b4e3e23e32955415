"""Routes in Redis, or in anything that speaks its protocol.

It translates and decides nothing. Three promises shape it. Every call ends within
``2 × timeout_seconds + 0.1`` seconds, also when the server is frozen or the network swallows
packets. Every change is one script. No exception of the client library leaves this package, and no
message holds a password. It is never on the path of a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import NoScriptError, ResponseError

from gateway.core.errors import CorruptRoute, RevisionConflict
from gateway.ports import RouteHead, StoredRoute
from gateway.store.address import Address
from gateway.store.cancellation import heeded
from gateway.store.guard import STORE_ERRORS, is_wrong_type, unavailable
from gateway.store.keys import AUDIT_ENTRIES, CHANGES, HISTORY_LIMIT, PAYLOAD_BYTES, audit_key, route_key
from gateway.store.nudges import Subscriber
from gateway.store.records import (
    HEAD_FIELDS,
    ROUTE_FIELDS,
    audit_fields,
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
from gateway.store.scripts import ORDER, WRITE, Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from gateway.ports import AuditEntry

    Ask = Callable[..., Awaitable[Any]]

CONNECTIONS: Final = 32
"""Calls beyond this many wait for one of the others to end, as long as the socket timeout."""


class RedisRouteStore:
    """Implements ``ports.RouteStore``. One client serves the commands, another connection the nudges."""

    def __init__(self, url: str, *, timeout_seconds: float = 0.4) -> None:
        """Name the store at *url*: ``redis://``, ``rediss://`` or ``unix://PATH``. Connects at the first call.

        *timeout_seconds* bounds each wait on the socket; there is one retry, because the first command
        after a restart of the server meets a dead socket. Raises InvalidSettings for a URL that is none.
        """
        address = Address.parse(url, timeout_seconds)
        self._place = address.place
        self._deadline_seconds = 2 * timeout_seconds + 0.1
        self._client = Redis.from_pool(
            BlockingConnectionPool(max_connections=CONNECTIONS, timeout=timeout_seconds, **address.options(retries=1))
        )
        self._ask: Ask = self._client.execute_command
        self._subscriber = Subscriber(address, CHANGES)

    async def heads(self, models: Sequence[str]) -> Mapping[str, RouteHead]:
        """Return the heads of those of *models* that have one, in one round trip.

        A model whose key holds garbage has the revision CORRUPT_REVISION and an empty digest, so that a
        watcher can count it; the others are not held back by it. For no models it only asks whether the
        store answers.
        """
        if not models:
            await self.ping()
            return {}
        async with self._bounded():
            pipeline = self._client.pipeline(transaction=False)
            for model in models:
                pipeline.execute_command("HMGET", route_key(model), *HEAD_FIELDS)
            replies = await pipeline.execute(raise_on_error=False)
            heads = ((model, _head(reply)) for model, reply in zip(models, replies, strict=True))
            return {model: head for model, head in heads if head is not None}

    async def read(self, model: str) -> StoredRoute | None:
        """Return the whole route, None where there is none. Raises CorruptRoute for anything that is no route.

        The size is asked first: a document too large to be a route is refused without carrying it here.
        """
        key = route_key(model)
        async with self._bounded() as ask:
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
        self, model: str, payload: bytes, entry: AuditEntry, *, expected: int, incarnation: str | None = None
    ) -> StoredRoute:
        """Write *payload* with its audit entry if the stored revision is still *expected* (0: there must be no route).

        *expected* is what ``heads`` shows, so CORRUPT_REVISION replaces garbage by a route at revision 1, with a
        fresh incarnation. A reply that is lost and asked for again is still one write with one entry.

        Raises RevisionConflict when somebody was faster, CorruptRoute when the history's key holds no
        history, InvalidDocument for a payload that is too large, StoreUnavailable when the store does not
        answer. After StoreUnavailable the write may have landed.
        """
        check_size(payload)
        check_incarnation(incarnation)
        digest = digest_of(payload)
        revision = max(expected, 0) + 1
        reply = await self._change(
            WRITE,
            model,
            expected,
            [expected, revision, new_incarnation(), incarnation or "", digest, payload],
            audit_fields(entry),
        )
        return StoredRoute(reply[2].decode(), int(reply[1]), digest, payload)

    async def order(self, model: str, version: int, verb: str, entry: AuditEntry) -> None:
        """Record that *version* is to be loaded or unloaded; the revision of *entry* becomes that of the route, or 0.

        Raises CorruptRoute when one of the model's keys holds something of another kind.
        """
        check_order(version, verb)
        await self._change(ORDER, model, None, [version, verb], audit_fields(entry))

    async def history(self, model: str, *, limit: int) -> Sequence[AuditEntry]:
        """Return at most *limit* audit entries, and at most HISTORY_LIMIT, newest first, without garbage."""
        if limit < 1:
            return []
        count = min(limit, HISTORY_LIMIT)
        async with self._bounded() as ask:
            try:
                rows = await ask("XREVRANGE", audit_key(model), "+", "-", "COUNT", count)
            except ResponseError as exc:
                if is_wrong_type(exc):
                    raise CorruptRoute(model, "audit", "the key of its history holds no stream") from exc
                raise
        entries = (entry_of(int(row_id.partition(b"-")[0]), fields) for row_id, fields in rows)
        return [entry for entry in entries if entry is not None]

    def nudges(self) -> AsyncIterator[None]:
        """Yield once for every (re)subscription and once for every burst of changes.

        Unlike the port's word it never raises StoreUnavailable: it connects again by itself, and says so in
        the log once per outage. It ends by cancellation, or within about a second after ``close``.
        """
        return self._subscriber.nudges()

    async def ping(self) -> None:
        """Return if the store answers."""
        async with self._bounded() as ask:
            await ask("PING")

    async def close(self) -> None:
        """Give back all connections."""
        self._subscriber.close()
        with contextlib.suppress(*STORE_ERRORS):
            await self._client.aclose()

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[Ask]:
        """Lend the client's door for as long as a call may take, and translate what goes wrong."""
        try:
            with heeded():
                async with asyncio.timeout(self._deadline_seconds):
                    yield self._ask
        except STORE_ERRORS as exc:
            raise unavailable(self._place, exc) from exc

    async def _change(
        self, script: Script, model: str, expected: int | None, args: list[Any], audit: Mapping[str, bytes]
    ) -> list[Any]:
        """Run *script* on the keys of *model* and return its reply. Raises what its outcome stands for."""
        pairs = [part for pair in audit.items() for part in pair]
        call = [
            2,
            route_key(model),
            audit_key(model),
            *args,
            secrets.token_hex(16),
            AUDIT_ENTRIES,
            CHANGES,
            model,
            *pairs,
        ]
        async with self._bounded() as ask:
            try:
                reply: list[Any] = await ask("EVALSHA", script.sha, *call)
            except NoScriptError:
                reply = await ask("EVAL", script.text, *call)
        match reply[0]:
            case b"conflict":
                raise RevisionConflict(model, expected, int(reply[1]))
            case b"corrupt":
                raise CorruptRoute(model, reply[1].decode(), f"the key holds a {reply[2].decode()}")
        return reply


def _head(reply: Any) -> RouteHead | None:
    """Return what one reply of the pipeline says. Raises it when it is the server's refusal."""
    if isinstance(reply, ResponseError):
        if is_wrong_type(reply):
            return corrupt_head()
        raise reply
    return head_of(reply)
