"""Links of notifications, in Redis: what each lets somebody do, by the hash of its token, and whether it was used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from gateway.ports.notifications import LINK_SECONDS, KeptLink
from gateway.store.guard import is_wrong_type
from gateway.store.keys import link_key, used_link_key

if TYPE_CHECKING:
    from gateway.store.calls import Calls

MILLISECONDS = round(LINK_SECONDS * 1000)


class RedisLinks:
    """Implements ``ports.LinkStore``."""

    _calls: Calls

    async def keep_link(self, model: str, digest: str, payload: bytes) -> None:
        """Keep *payload* for LINK_SECONDS, and as long again to tell late from unknown."""
        async with self._calls.bounded() as ask:
            await ask("SET", link_key(model, digest), payload, "PX", 2 * MILLISECONDS)

    async def link(self, model: str, digest: str) -> KeptLink | None:
        """Return what is kept; what cannot be one of these is none."""
        key = link_key(model, digest)
        replies = await self._calls.ask_each([("GET", key), ("PTTL", key), ("EXISTS", used_link_key(model, digest))])
        async with self._calls.bounded():
            return _kept(*replies)

    async def take_link(self, model: str, digest: str) -> bool:
        """Mark it as used; False where it was."""
        async with self._calls.bounded() as ask:
            return bool(await ask("SET", used_link_key(model, digest), "1", "NX", "PX", 2 * MILLISECONDS))

    async def give_link_back(self, model: str, digest: str) -> None:
        """Take the mark away."""
        async with self._calls.bounded() as ask:
            await ask("DEL", used_link_key(model, digest))


def _kept(payload: Any, left: Any, used: Any) -> KeptLink | None:
    for reply in (payload, left, used):
        if isinstance(reply, ResponseError) and not is_wrong_type(reply):
            raise reply
    if not isinstance(payload, bytes):
        return None
    return KeptLink(payload, is_late=int(left) <= MILLISECONDS, is_used=bool(used))
