"""Samples and references in this process: for tests, and the plainest statement of it."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from gateway.ports.store import SAMPLES_AT_ONCE, SAMPLES_KEPT
from gateway.store.memory_evidence import MemoryEvidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MemoryDrift(MemoryEvidence):
    """Implements ``ports.DriftStore`` for one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._samples: dict[str, deque[tuple[int, bytes]]] = {}
        self._references: dict[tuple[str, int, str], bytes] = {}
        self._sampled = 0

    async def sampled(self, model: str, payload: bytes) -> None:
        """Append *payload* to the samples of *model*."""
        self._answer()
        self._sampled += 1
        self._samples.setdefault(model, deque(maxlen=SAMPLES_KEPT)).append((self._sampled, payload))

    async def samples(self, after: Mapping[str, str]) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return the samples of each model after the named one; models without any are left out."""
        self._answer()
        found = {}
        for model, last in after.items():
            newer = (each for each in self._samples.get(model, ()) if each[0] > int(last or 0))
            if taken := [(str(name), payload) for name, payload in islice(newer, SAMPLES_AT_ONCE)]:
                found[model] = taken
        return found

    async def keep_reference(self, model: str, version: int, digest: str, payload: bytes) -> bytes:
        """Keep *payload*, unless it is empty or another is kept, and return what is kept."""
        self._answer()
        key = (model, version, digest)
        if payload:
            self._references.setdefault(key, payload)
        return self._references.get(key, b"")
