"""What is to be told, in Redis: outboxes, how far each target was told, and what was given up. It delivers nothing."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoScriptError, ResponseError

from gateway.ports.notifications import (
    NEW_TARGET_SECONDS,
    OUTBOX_ENTRIES,
    UNDELIVERED_ENTRIES,
    Backlog,
    Claimed,
    Undelivered,
)
from gateway.store.calls import run_script
from gateway.store.guard import is_wrong_type
from gateway.store.keys import deliveries_key, outbox_key, undelivered_key
from gateway.store.notification_scripts import AGAIN, BACKLOG, CLAIM, SETTLE, TELL
from gateway.store.redis_feedback import RedisFeedback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.notification import Notification

FRESH_MILLISECONDS: Final = round(NEW_TARGET_SECONDS * 1000)
ENTRY: Final = re.compile(r"[0-9]{1,16}-[0-9]{1,16}", re.ASCII)


class RedisNotifications(RedisFeedback):
    """Implements ``ports.NotificationStore``."""

    async def tell(self, notification: Notification) -> None:
        """Put *notification* into the outbox of its model, without a write of the route."""
        fields = [OUTBOX_ENTRIES, "id", f"{secrets.token_hex(16)}-1", "payload", notification.encoded()]
        async with self._calls.bounded() as ask:
            await run_script(ask, TELL, [outbox_key(notification.model)], fields)

    async def backlogs(self, wanted: Mapping[str, Sequence[str]]) -> Mapping[tuple[str, str], Backlog]:
        """Return what waits, per model and target; one round trip once the server knows the script."""
        if not wanted:
            return {}
        replies = await self._ask_backlogs(wanted, "EVALSHA", BACKLOG.sha)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            replies = await self._ask_backlogs(wanted, "EVAL", BACKLOG.text)
        found = {}
        async with self._calls.bounded():
            for (model, targets), reply in zip(wanted.items(), replies, strict=True):
                if isinstance(reply, ResponseError):
                    raise reply
                for target, (waiting, age, due) in zip(targets, reply, strict=True):
                    found[model, target] = Backlog(int(waiting), int(age) / 1000, bool(due))
        return found

    async def _ask_backlogs(self, wanted: Mapping[str, Sequence[str]], verb: str, script: str) -> list[Any]:
        return await self._calls.ask_each(
            [
                (verb, script, 2, outbox_key(model), deliveries_key(model), FRESH_MILLISECONDS, *targets)
                for model, targets in wanted.items()
            ]
        )

    async def claim(self, model: str, target: str, *, seconds: float) -> Claimed | None:
        """Take the next notification of *model* for *target*, for so many *seconds*; None where none may be taken."""
        token = secrets.token_hex(8)
        keys, words = [outbox_key(model), deliveries_key(model)], [target, token, round(seconds * 1000)]
        async with self._calls.bounded() as ask:
            reply = await run_script(ask, CLAIM, keys, [*words, FRESH_MILLISECONDS])
        if not reply:
            return None
        entry, number, name, payload, addressee, at_ms, waited_ms, attempts, lost = reply
        return Claimed(
            token, entry.decode(), int(number), _text(name), payload, _text(addressee), int(at_ms),
            int(waited_ms) / 1000, int(attempts), int(lost),
        )  # fmt: skip

    async def settle(
        self, model: str, target: str, claimed: Claimed, *, again_seconds: float | None = None, given_up: str = ""
    ) -> bool:
        """End a claim; False where another courier has taken it since."""
        again = "" if again_seconds is None else round(again_seconds * 1000)
        words = [target, claimed.token, claimed.entry, claimed.number, again, UNDELIVERED_ENTRIES]
        if given_up:
            words += ["id", claimed.id, "payload", claimed.payload, "at", claimed.at_ms, "reason", given_up]
        keys = [deliveries_key(model), undelivered_key(model)]
        async with self._calls.bounded() as ask:
            return bool(await run_script(ask, SETTLE, keys, words))

    async def undelivered(self, model: str) -> Sequence[Undelivered]:
        """Return what was given up and not tried again, oldest first."""
        async with self._calls.bounded() as ask:
            try:
                rows = await ask("XRANGE", undelivered_key(model), "-", "+", "COUNT", UNDELIVERED_ENTRIES)
            except ResponseError as exc:
                if is_wrong_type(exc):
                    return []
                raise
        return [_undelivered(key, fields) for key, fields in rows]

    async def again(self, model: str, key: str) -> bool:
        """Put what was given up back into the outbox, for its target only; False where there is no such *key*."""
        if ENTRY.fullmatch(key) is None:
            return False
        keys = [outbox_key(model), undelivered_key(model)]
        async with self._calls.bounded() as ask:
            return bool(await run_script(ask, AGAIN, keys, [OUTBOX_ENTRIES, key]))


def _undelivered(key: bytes, fields: Mapping[bytes, bytes]) -> Undelivered:
    at = fields.get(b"at", b"")
    return Undelivered(
        key.decode(), _text(fields.get(b"target", b"")), _text(fields.get(b"id", b"")), fields.get(b"payload", b""),
        int(at) if at.isdigit() else 0, _text(fields.get(b"reason", b"")),
    )  # fmt: skip


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
