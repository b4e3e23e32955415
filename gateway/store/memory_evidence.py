"""What rollouts counted, and the lease on them, in this process: for tests, and the plainest statement of both."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.core.errors import StoreUnavailable
from gateway.ports.evidence import LEASE_SECONDS
from gateway.store.evidence_records import (
    check_name,
    check_rollout,
    check_seq,
    corrupt_evidence,
    counters_of,
    totals_of,
)
from gateway.store.keys import EVIDENCE_SECONDS, SEEN_POINTS, evidence_key, lease_key, rollout_keys, seen_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.ports.evidence import Deltas
    from gateway.ports.routes import Fence


class MemoryEvidence:
    """Implements ``ports.EvidenceStore`` for one event loop, under the keys that Redis has."""

    def __init__(self) -> None:
        self._hashes: dict[str, dict[str, bytes]] = {}
        """The hash of each model's route."""
        self._evidence: dict[str, dict[bytes, bytes]] = {}
        self._seen: dict[str, set[int]] = {}
        self._ends: dict[str, float] = {}
        """Key → when it ends, on the clock of ``now``."""
        self._leases: dict[str, str] = {}
        self._is_away = False

    async def flush(
        self, model: str, rollout: str, *, worker: str, seq: int, deltas: Deltas
    ) -> Mapping[str, str] | None:
        """Add *deltas* once and return all totals; None where the route is not in *rollout* any more."""
        self._answer()
        check_rollout(rollout)
        check_name(worker)
        check_seq(seq)
        counters = counters_of(deltas)
        held = self._evidence.get(evidence_key(model, rollout))
        is_in_rollout = self._hashes.get(model, {}).get("rollout") == rollout.encode()
        if held is None or not is_in_rollout:
            return None
        if any(b"%d|slots" % counter.revision not in held for counter in counters):
            return None
        seq_field = f"seq|{worker}".encode()
        if seq > _number(model, held, seq_field):
            for counter in counters:
                _number(model, held, str(counter).encode())
            held[seq_field] = b"%d" % seq
            for name, count in deltas.counts.items():
                _add(model, held, name, count)
            for (name, points), counter in zip(deltas.sightings, counters[len(deltas.counts) :], strict=True):
                seen = self._seen.setdefault(seen_key(model, rollout, counter.kind), set())
                _add(model, held, name, int(_mark(seen, points)))
        return totals_of(model, (word for pair in held.items() for word in pair))

    async def totals(self, model: str, rollout: str) -> Mapping[str, str]:
        """Return all totals of *rollout*, empty where there are none. Raises CorruptRoute for what is no text."""
        self._answer()
        check_rollout(rollout)
        key = evidence_key(model, rollout)
        held = {} if self._has_ended(key) else self._evidence.get(key, {})
        return totals_of(model, (word for pair in held.items() for word in pair))

    async def lease(self, model: str, holder: str) -> bool:
        """Take or renew the lease on the rollouts of *model* for LEASE_SECONDS; False while another holds it."""
        self._answer()
        check_name(holder)
        key = lease_key(model)
        if self._leases.get(key, holder) != holder and not self._has_ended(key):
            return False
        self._leases[key], self._ends[key] = holder, time.time() + LEASE_SECONDS
        return True

    async def now(self) -> float:
        """Return the clock, seconds since the epoch."""
        self._answer()
        return time.time()

    def _answer(self) -> None:
        if self._is_away:
            raise StoreUnavailable("the store in memory is away; it comes back with start()")

    def _fence(self, model: str, revision: int, fence: Fence | None) -> None:
        """Put the route of *model* behind *fence*, or out of any, as part of the write that makes *revision*."""
        held = self._hashes[model]
        ended = held.pop("rollout", b"").decode("latin-1")
        if fence is not None:
            held["rollout"] = fence.rollout.encode()
            opened = self._evidence.setdefault(evidence_key(model, fence.rollout), {})
            field, slots = b"%d|slots" % revision, fence.slots.encode()
            if opened.get(field, slots) != slots:
                opened.clear()
            opened[field] = slots
        if ended and (fence is None or fence.rollout != ended):
            self._ends.update(dict.fromkeys(rollout_keys(model, ended), time.time() + EVIDENCE_SECONDS))

    def _has_ended(self, key: str) -> bool:
        return self._ends.get(key, float("inf")) <= time.time()


def _mark(seen: set[int], points: Iterable[int]) -> bool:
    """Add *points* to *seen* while there is room, and say whether one of them was new."""
    before = len(seen)
    for point in points:
        if len(seen) < SEEN_POINTS:
            seen.add(point)
    return len(seen) > before


def _add(model: str, held: dict[bytes, bytes], field: str, count: int) -> None:
    if count:
        held[field.encode()] = b"%d" % (_number(model, held, field.encode()) + count)


def _number(model: str, held: Mapping[bytes, bytes], field: bytes) -> int:
    """Return the number in *field*, 0 where there is none. Raises CorruptRoute for anything else."""
    text = held.get(field, b"0")
    if not text.isdigit() or len(text) > 17:
        raise corrupt_evidence(model, f"found field {field.decode()}")
    return int(text)
