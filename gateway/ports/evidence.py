"""What rollouts are judged by: counts kept in the store, the alarms of a monitoring, and the figures of a rollout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.alarms import Answer, Silence, Standing
    from gateway.core.phases import Phase
    from gateway.core.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Deltas:
    """What one worker counted since its last flush, for one rollout.

    *counts*: field of ``core.evidence.Counter`` → how many more. *sightings*: the failed runs of sticky routes, each
    its field and the 64-bit points of the keys in it; it counts if one of them was not seen failing before. So
    count the kinds of runs, ``assigned`` and ``wrong``. At most DELTA_FIELDS counts and sightings, DELTA_POINTS points.
    """

    counts: Mapping[str, int]
    sightings: Sequence[tuple[str, Sequence[int]]] = ()


class EvidenceStore(Protocol):
    """What a rollout has counted, over the fleet. Every call answers within a second or raises StoreUnavailable.

    One object implements this and RouteStore, for a route's fence decides what is counted.
    """

    async def flush(
        self, model: str, rollout: str, *, worker: str, seq: int, deltas: Deltas
    ) -> Mapping[str, str] | None:
        """Add *deltas* and return all totals (``core.evidence.read_evidence`` reads them); None where it is over.

        It is over when the route is not in *rollout* any more, or the store has lost a revision of it. A *seq* of
        *worker* that was taken before is not added again: after StoreUnavailable send the same seq with the same
        deltas. Raises InvalidDocument, with nothing sent, for deltas that could not be read back, and CorruptRoute,
        with nothing written, where the store holds garbage.
        """
        ...

    async def totals(self, model: str, rollout: str) -> Mapping[str, str]:
        """Return all totals of *rollout*, empty where there are none. Raises CorruptRoute for what is no text."""
        ...

    async def lease(self, model: str, holder: str) -> bool:
        """Take or renew the lease on the rollouts of *model* for LEASE_SECONDS; False while another holds it."""
        ...

    async def now(self) -> float:
        """Return the store's clock, seconds since the epoch."""
        ...


class Reverter(Protocol):
    """What a worker may change by itself: it may lower a canary, never raise one."""

    async def roll_back(self, model: str, rollout_id: str, version: int, reason: str, guard: str) -> bool:
        """Take the canary *version* of the rollout *rollout_id* to 0 and return True; False where that is over.

        *guard* is named in the history in front of the *reason*, and the canary's file is quarantined. Whoever is
        first among the fleet leaves the one entry. Raises StoreUnavailable, after which it may have landed, and
        CorruptRoute.
        """
        ...

    async def alarm(self, model: str, version: int, revision: int, worker: str) -> None:
        """Tell whoever is notified that *worker* alone finds *version* bad at *revision*. Raises StoreUnavailable."""
        ...


DELTA_FIELDS: Final = 4_096


DELTA_POINTS: Final = 40_000
"""What one flush may hold: the server works on so many points for about a tenth of a second. Send more in several."""


LEASE_SECONDS: Final = 3.0
"""How long a controller that died keeps its successor waiting."""


ROLLBACK_REASONS: Final = (
    "errors", "invalid", "latency", "labels", "outputs", "deaths", "breaker", "alarms", "golden", "limit",
    "insufficient_data",
    "other",
)  # fmt: skip
"""Why a canary was taken back: the guard that history names, and label values of ``gateway_rollbacks_total``."""


@dataclass(frozen=True, slots=True)
class RolloutGauges:
    """Where a model's last rollout stands.

    *verdicts* on each of its candidates: none where it has ended, or another process leads it.
    """

    phase: Phase
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)


class RolloutMetrics(Protocol):
    """What is shown of the rollouts of all models."""

    def gauges(self) -> Mapping[str, RolloutGauges]:
        """Return, per model that had a rollout, where the last one stands."""
        ...

    def rollbacks(self) -> Mapping[tuple[str, str], int]:
        """Return, per model and one of ROLLBACK_REASONS, how many canaries were seen to be taken back."""
        ...


class Monitoring(Protocol):
    """Somebody else's monitoring, which answers the queries of a plan's alarms."""

    async def ask(self, query: str) -> Answer | Silence:
        """Return what *query* evaluates to now, or why there is no answer: in bounded time and space, never raising."""
        ...


class AlarmMetrics(Protocol):
    """What is shown of the alarms of all rollouts that this process leads."""

    def standings(self) -> Mapping[str, Sequence[Standing]]:
        """Return, per model, where each alarm of its rollout stands."""
        ...
