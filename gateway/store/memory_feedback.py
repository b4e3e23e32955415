"""What was served and what was said of it, in this process: for tests, and the plainest statement of both."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from gateway.ports.labels import NO_COHORT, Remembered
from gateway.store.keys import (
    ASSIGNED_FIELDS,
    QUALITY_FIELDS,
    assigned_key,
    cohort_key,
    copied_key,
    quality_key,
    quality_keys_at,
    quality_keys_since,
    served_key,
)
from gateway.store.memory_evidence import MemoryEvidence
from gateway.store.memory_labelled import MemoryLabelledStream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.errors import CorruptRoute
    from gateway.ports.labels import Served

CELL = re.compile(r"([0-9]+)\|cell\|")


class MemoryFeedback(MemoryEvidence):
    """Implements ``ports.FeedbackStore`` for one event loop, under the keys that Redis has."""

    def __init__(self) -> None:
        super().__init__()
        self._served: dict[str, dict[str, bytes]] = {}
        self._written: dict[str, tuple[float, float]] = {}
        """Key → when it was written, and for how long it takes labels."""
        self._inputs: dict[str, Served] = {}
        """Key → the answer whose inputs are kept under it."""
        self._quality: dict[str, dict[str, float]] = {}
        self._assigned: dict[str, dict[str, int]] = {}
        self._labelled: dict[str, MemoryLabelledStream] = {}

    def labelled(self, model: str) -> MemoryLabelledStream:
        """Return the stream of labelled answers of *model*."""
        return self._labelled.setdefault(model, MemoryLabelledStream(self._answer))

    async def remember(
        self,
        model: str,
        served: Sequence[Served],
        *,
        ttl_seconds: float,
        dropped: Mapping[tuple[int, str], int] | None = None,
    ) -> None:
        """Keep *served* under the ids that are free, for twice *ttl_seconds*."""
        self._answer()
        for each in served:
            key = copied_key(model, each.id) if each.is_copy else served_key(model, each.id)
            field = str(each.version) if each.is_copy else "served"
            held = self._served[key] if self._age(key) is not None else {}
            if field in held:
                continue
            self._served[key], self._written[key] = {**held, field: each.payload}, (time.time(), ttl_seconds)
            if each.inputs:
                self._inputs[key] = each
            if not each.is_copy:
                self._count(quality_key(model), f"{each.version}|remembered", 1)
            if each.assigned_under:
                self._assign(assigned_key(model), f"{each.assigned_under}|{each.version}")
        for (version, counter), many in (dropped or {}).items():
            self._count(quality_key(model), f"{version}|{counter}", many)

    async def recall(self, model: str, ids: Sequence[str]) -> Sequence[Remembered | None]:
        """Return what is remembered under each of *ids*."""
        self._answer()
        return [self._remembered(served_key(model, each)) for each in ids]

    async def copies(self, model: str, served: str) -> Sequence[bytes]:
        """Return what shadows predicted for one request."""
        self._answer()
        key = copied_key(model, served)
        return [] if self._age(key) is None else list(self._served[key].values())

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
        """Say a fact once and add what it counts."""
        self._answer()
        key = served_key(model, served)
        if self._age(key) is None:
            return "unknown"
        held = self._served[key]
        if fact in held:
            return "duplicate" if held[fact] == text.encode() else "conflict"
        held[fact] = text.encode()
        if example and (kept := self._inputs.get(key)):
            at = str(time.time_ns() // 1_000_000)
            self.labelled(model).add({**example, "at": at, "inputs": kept.inputs.decode()}, kept.stream)
        for hash_key in (quality_key(model), *quality_keys_at(model, time.time())):
            for field, count in counts.items():
                self._count(hash_key, field, count)
        hour, own = cohort
        for field, count in own.items():
            self._count_cohort(cohort_key(model, hour), field, count)
        return "counted"

    async def quality(self, model: str, *, seconds: float | None = None) -> Sequence[Mapping[str, str]]:
        """Return the hashes of all time, or of the last *seconds*."""
        self._answer()
        keys = [quality_key(model)] if seconds is None else quality_keys_since(model, seconds, time.time())
        found = (self._quality.get(key) for key in keys)
        return [{field: repr(count) for field, count in held.items()} for held in found if held]

    async def qualities(self, models: Sequence[str]) -> Mapping[str, Mapping[str, str] | CorruptRoute]:
        """Return the hash of all time of each of *models* that has one."""
        found = {model: await self.quality(model) for model in models}
        return {model: hashes[0] for model, hashes in found.items() if hashes}

    async def assigned(self, model: str) -> Mapping[str, str]:
        """Return what was counted by revision and version."""
        self._answer()
        return {field: str(count) for field, count in self._assigned.get(assigned_key(model), {}).items()}

    async def cohorts(self, model: str, hours: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
        """Return what was counted of answers of each of *hours*."""
        self._answer()
        found = {hour: self._quality.get(cohort_key(model, hour), {}) for hour in hours}
        return {hour: {field: repr(count) for field, count in held.items()} for hour, held in found.items() if held}

    def _age(self, key: str) -> float | None:
        """Return how long *key* has been held, None where it is not, or no longer."""
        if key not in self._written:
            return None
        written, ttl_seconds = self._written[key]
        age = time.time() - written
        return age if age < 2 * ttl_seconds else None

    def _remembered(self, key: str) -> Remembered | None:
        age = self._age(key)
        return None if age is None else Remembered(self._served[key]["served"], age, age >= self._written[key][1])

    def _assign(self, key: str, field: str) -> None:
        held = self._assigned.setdefault(key, {})
        if field in held or len(held) < ASSIGNED_FIELDS:
            held[field] = held.get(field, 0) + 1

    def _count_cohort(self, key: str, field: str, count: float) -> None:
        held = self._quality.setdefault(key, {})
        if field in held or len(held) < QUALITY_FIELDS:
            held[field] = held.get(field, 0) + count

    def _count(self, key: str, field: str, count: float) -> None:
        held = self._quality.setdefault(key, {})
        if (cell := CELL.match(field)) and field not in held and len(held) >= QUALITY_FIELDS:
            field = f"{cell[1]}|uncelled"
        held[field] = held.get(field, 0) + count
