"""What rollouts counted, and the lease on them, in Redis. It adds and compares; it judges nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from gateway.ports.evidence import LEASE_SECONDS
from gateway.store.calls import run_script
from gateway.store.evidence_records import (
    check_name,
    check_rollout,
    check_seq,
    corrupt_evidence,
    counters_of,
    refusal,
    totals_of,
)
from gateway.store.evidence_scripts import FLUSH, LEASE
from gateway.store.guard import is_wrong_type
from gateway.store.keys import SEEN_POINTS, evidence_key, lease_key, route_key, seen_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.evidence import Counter
    from gateway.ports.evidence import Deltas
    from gateway.store.calls import Calls

LEASE_MILLISECONDS: Final = round(LEASE_SECONDS * 1000)


class RedisEvidence:
    """Implements ``ports.EvidenceStore``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def flush(
        self, model: str, rollout: str, *, worker: str, seq: int, deltas: Deltas
    ) -> Mapping[str, str] | None:
        """Add *deltas* once and return all totals; None where the route is not in *rollout* any more.

        None, too, where the store has lost a revision that *deltas* count for. Raises InvalidDocument, with nothing
        sent, for deltas that could not be read back, CorruptRoute, with nothing written, where one of the keys holds
        something else, StoreUnavailable when the store does not answer: then send the same again.
        """
        check_rollout(rollout)
        check_name(worker)
        check_seq(seq)
        counters = counters_of(deltas)
        seen = sorted({counter.kind for counter in counters[len(deltas.counts) :]})
        keys = [route_key(model), evidence_key(model, rollout), *(seen_key(model, rollout, kind) for kind in seen)]
        args = [rollout, f"seq|{worker}", seq, SEEN_POINTS, *_words(deltas, counters, seen)]
        async with self._calls.bounded() as ask:
            reply = await run_script(ask, FLUSH, keys, args)
        if reply[0] == b"corrupt":
            raise refusal(model, reply)
        return totals_of(model, reply[1]) if reply[0] == b"totals" else None

    async def totals(self, model: str, rollout: str) -> Mapping[str, str]:
        """Return all totals of *rollout*, empty where there are none. Raises CorruptRoute for what is no text."""
        check_rollout(rollout)
        async with self._calls.bounded() as ask:
            try:
                held: Mapping[bytes, bytes] = await ask("HGETALL", evidence_key(model, rollout))
            except ResponseError as exc:
                if is_wrong_type(exc):
                    raise corrupt_evidence(model, "the key holds no hash") from exc
                raise
        return totals_of(model, (word for pair in held.items() for word in pair))

    async def lease(self, model: str, holder: str) -> bool:
        """Take or renew the lease on the rollouts of *model* for LEASE_SECONDS; False while another holds it."""
        check_name(holder)
        async with self._calls.bounded() as ask:
            return bool(await run_script(ask, LEASE, [lease_key(model)], [holder, LEASE_MILLISECONDS]))

    async def now(self) -> float:
        """Return the store's clock, seconds since the epoch."""
        async with self._calls.bounded() as ask:
            seconds, microseconds = await ask("TIME")
        return int(seconds) + int(microseconds) / 1e6


def _words(deltas: Deltas, counters: Sequence[Counter], seen: Sequence[str]) -> list[Any]:
    """Return the lists of FLUSH, each after its length; the keys of the kinds *seen* follow the first two."""
    revisions = sorted({counter.revision for counter in counters})
    counts = [(name, count) for name, count in deltas.counts.items() if count]
    words: list[Any] = [len(revisions), *revisions, len(counts), *(word for pair in counts for word in pair)]
    words.append(len(deltas.sightings))
    for (name, points), counter in zip(deltas.sightings, counters[len(deltas.counts) :], strict=True):
        words += [name, 3 + seen.index(counter.kind), len(points), *points]
    return words
