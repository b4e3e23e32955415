"""What was served and what was said of it, in Redis. It keeps, compares and adds; it judges nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from gateway.core.cohorts import HOUR_SECONDS, HOURS_KEPT
from gateway.core.errors import CorruptRoute
from gateway.ports.labels import NO_COHORT, QUALITY_BUCKETS, Remembered
from gateway.store.calls import run_script
from gateway.store.feedback_scripts import LABEL, REMEMBER
from gateway.store.guard import is_wrong_type
from gateway.store.keys import (
    ASSIGNED_FIELDS,
    LABELLED_SECONDS,
    QUALITY_FIELDS,
    assigned_key,
    cohort_key,
    copied_key,
    labelled_key,
    quality_key,
    quality_keys_at,
    quality_keys_since,
    served_key,
)
from gateway.store.redis_evidence import RedisEvidence
from gateway.store.redis_labelled import RedisLabelledStream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.ports.labels import Served


class RedisFeedback(RedisEvidence):
    """Implements ``ports.FeedbackStore``."""

    async def remember(
        self,
        model: str,
        served: Sequence[Served],
        *,
        ttl_seconds: float,
        dropped: Mapping[tuple[int, str], int] | None = None,
    ) -> None:
        """Keep *served* under the ids that are free, for twice *ttl_seconds*. Raises CorruptRoute, StoreUnavailable."""
        milliseconds = round(ttl_seconds * 1000)
        keys = [quality_key(model), assigned_key(model)]
        words: list[Any] = [2 * milliseconds, ASSIGNED_FIELDS]
        for each in served:
            keys.append(copied_key(model, each.id) if each.is_copy else served_key(model, each.id))
            under = f"{each.assigned_under}|{each.version}" if each.assigned_under else ""
            words += [each.version, ""] if each.is_copy else ["served", each.version]
            words += [b"%d %b" % (milliseconds, each.payload), under]
            words.append(b"%d %b" % (each.stream, each.inputs) if each.inputs else "")
        for (version, counter), many in (dropped or {}).items():
            words += [f"{version}|{counter}", many]
        async with self._calls.bounded() as ask:
            _check(model, await run_script(ask, REMEMBER, keys, words), b"")

    async def recall(self, model: str, ids: Sequence[str]) -> Sequence[Remembered | None]:
        """Return what is remembered under each of *ids*; what cannot be one of these is none."""
        keys = [served_key(model, each) for each in ids]
        replies = await self._calls.ask_each(
            [words for key in keys for words in (("HGET", key, "served"), ("PTTL", key))]
        )
        async with self._calls.bounded():
            return [_remembered(held, left) for held, left in zip(replies[::2], replies[1::2], strict=True)]

    async def copies(self, model: str, served: str) -> Sequence[bytes]:
        """Return what shadows predicted for one request; a key of another kind holds none."""
        (held,) = await self._calls.ask_each([("HGETALL", copied_key(model, served))])
        async with self._calls.bounded():
            if isinstance(held, ResponseError) and not is_wrong_type(held):
                raise held
            return [each.partition(b" ")[2] for each in held.values()] if isinstance(held, dict) else []

    async def label(
        self,
        model: str,
        served: str,
        fact: str,
        text: str,
        counts: Mapping[str, float],
        cohort: tuple[int, Mapping[str, float]] = NO_COHORT,
        *,
        example: Mapping[str, str] | None = None,
    ) -> str:
        """Say a fact once and add what it counts. Raises CorruptRoute, StoreUnavailable: it may have landed."""
        hour, own = cohort
        lasting = (served_key(model, served), labelled_key(model), quality_key(model))
        keys = [*lasting, *quality_keys_at(model, time.time())]
        kept = [round(each) + 2 * width for width, each in QUALITY_BUCKETS]
        if own:
            keys.append(cohort_key(model, hour))
            kept.append((HOURS_KEPT + 1) * HOUR_SECONDS)
        words: list[Any] = [fact, text, QUALITY_FIELDS, len(own), LABELLED_SECONDS, 2 * len(example or {})]
        for pair in (example or {}).items():
            words += pair
        words += kept
        for field, count in (*own.items(), *counts.items()):
            words += [field, repr(count)]
        async with self._calls.bounded() as ask:
            reply = await run_script(ask, LABEL, keys, words)
        return _check(model, reply, b"counted", b"duplicate", b"conflict", b"unknown")

    def labelled(self, model: str) -> RedisLabelledStream:
        """Return the stream of labelled answers of *model*."""
        return RedisLabelledStream(self._calls, model)

    async def quality(self, model: str, *, seconds: float | None = None) -> Sequence[Mapping[str, str]]:
        """Return the hashes of all time, or of the last *seconds*. Raises CorruptRoute for what is no hash."""
        keys = [quality_key(model)] if seconds is None else quality_keys_since(model, seconds, time.time())
        replies = await self._calls.ask_each([("HGETALL", key) for key in keys])
        async with self._calls.bounded():
            return [_texts(model, reply) for reply in replies if reply]

    async def qualities(self, models: Sequence[str]) -> Mapping[str, Mapping[str, str] | CorruptRoute]:
        """Return the hash of all time of each of *models* that has one, in one round trip."""
        replies = await self._calls.read_each([quality_key(model) for model in models], "HGETALL")
        found: dict[str, Mapping[str, str] | CorruptRoute] = {}
        async with self._calls.bounded():
            for model, reply in zip(models, replies, strict=True):
                try:
                    words = _texts(model, reply)
                except CorruptRoute as exc:
                    found[model] = exc
                else:
                    found.update({model: words} if words else {})
        return found

    async def assigned(self, model: str) -> Mapping[str, str]:
        """Return what was counted by revision and version. Raises CorruptRoute for what is no hash."""
        (reply,) = await self._calls.ask_each([("HGETALL", assigned_key(model))])
        async with self._calls.bounded():
            return _texts(model, reply)

    async def cohorts(self, model: str, hours: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
        """Return what was counted of answers of each of *hours*. Raises CorruptRoute for what is no hash."""
        replies = await self._calls.ask_each([("HGETALL", cohort_key(model, hour)) for hour in hours])
        async with self._calls.bounded():
            return {hour: _texts(model, reply) for hour, reply in zip(hours, replies, strict=True) if reply}


def _remembered(held: Any, left: Any) -> Remembered | None:
    """Return what two replies say. Raises the server's refusal, but for a key of another kind."""
    for reply in (held, left):
        if isinstance(reply, ResponseError) and not is_wrong_type(reply):
            raise reply
    if not isinstance(held, bytes) or not isinstance(left, int):
        return None
    written, _, payload = held.partition(b" ")
    if not written.isdigit():
        return None
    ttl_seconds, left_seconds = int(written) / 1000, left / 1000
    return Remembered(payload, max(0.0, 2 * ttl_seconds - left_seconds), left_seconds <= ttl_seconds)


def _check(model: str, reply: bytes, *good: bytes) -> str:
    if reply not in good:
        raise CorruptRoute(model, "quality", f"a key of its quality holds a {reply.decode()}; delete that key")
    return reply.decode()


def _texts(model: str, reply: Any) -> Mapping[str, str]:
    if isinstance(reply, ResponseError):
        if is_wrong_type(reply):
            raise CorruptRoute(model, "quality", "a key of its quality holds no hash; delete that key") from reply
        raise reply
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {field.decode("utf-8", "replace"): value.decode("utf-8", "replace") for field, value in pairs}
