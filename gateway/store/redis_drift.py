"""Samples and references in Redis: a short stream per model, and a key per version. It compares nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from redis.exceptions import ResponseError

from gateway.ports.store import SAMPLES_AT_ONCE, SAMPLES_KEPT, SAMPLES_SECONDS
from gateway.store.guard import is_wrong_type
from gateway.store.keys import REFERENCE_SECONDS, reference_key, samples_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.store.calls import Calls

ENTRY: Final = re.compile(r"[0-9]{1,16}-[0-9]{1,16}", re.ASCII)


class RedisDrift:
    """Implements ``ports.DriftStore``."""

    _calls: Calls

    async def sampled(self, model: str, payload: bytes) -> None:
        """Append *payload* to the samples of *model*; what is no stream under its key takes none."""
        key = samples_key(model)
        replies = await self._calls.ask_each([
            ("XADD", key, "MAXLEN", "~", SAMPLES_KEPT, "*", "payload", payload),
            ("EXPIRE", key, round(SAMPLES_SECONDS)),
        ])  # fmt: skip
        async with self._calls.bounded():
            for reply in replies:
                if isinstance(reply, ResponseError) and not is_wrong_type(reply):
                    raise reply

    async def samples(self, after: Mapping[str, str]) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return the samples of each model after the named one, in one round trip; models without any are left out."""
        if not after:
            return {}
        starts = {model: f"({last}" if ENTRY.fullmatch(last) else "-" for model, last in after.items()}
        replies = await self._calls.ask_each(
            [("XRANGE", samples_key(model), start, "+", "COUNT", SAMPLES_AT_ONCE) for model, start in starts.items()]
        )
        found = {}
        async with self._calls.bounded():
            for model, reply in zip(starts, replies, strict=True):
                if isinstance(reply, ResponseError):
                    if not is_wrong_type(reply):
                        raise reply
                elif reply:
                    found[model] = [(name.decode(), fields.get(b"payload", b"")) for name, fields in reply]
        return found

    async def keep_reference(self, model: str, version: int, digest: str, payload: bytes) -> bytes:
        """Keep *payload*, unless it is empty or another is kept, and return what is kept."""
        key = reference_key(model, version, digest)
        async with self._calls.bounded() as ask:
            if payload:
                await ask("SET", key, payload, "NX", "EX", REFERENCE_SECONDS)
            else:
                await ask("EXPIRE", key, REFERENCE_SECONDS)
            try:
                return bytes(await ask("GET", key) or b"")
            except ResponseError as exc:
                if is_wrong_type(exc):
                    return b""
                raise
