"""What the middle of the house needs of its edges. Protocols and the values they exchange, nothing else.

``core`` decides, ``serving`` and ``models`` act through these, and ``store``, ``engine`` and
``telemetry`` implement them. One contract suite under ``tests/contracts/`` runs over every
implementation of a port.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gateway.core.signature import Signature
    from gateway.core.versions import VersionStatus

    Tensor = NDArray[Any]


@dataclass(frozen=True, slots=True)
class RouteHead:
    """What a poll reads of a route: enough to see that it changed.

    *incarnation* is drawn when the route is created or restored, *revision* rises by one at every
    write, *digest* is the SHA-256 (hexadecimal) of the stored bytes. *orders* maps a version to
    ``"load"`` or ``"unload"``, what an operator last asked for. A model that has orders and no
    route has an empty incarnation and revision 0.
    """

    incarnation: str
    revision: int
    digest: str
    orders: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """A route as the store holds it; *payload* is what ``core.stored`` reads and writes."""

    incarnation: str
    revision: int
    digest: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to a model, and why. *before* and *after* are bare route documents, or None where there was none.

    *action* is ``route``, ``load`` or ``unload``; *at_ms* is the store's clock, milliseconds since the epoch.
    """

    revision: int
    who: str
    reason: str
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Fence:
    """Which rollout a written route belongs to; its evidence is counted under the revision that the write makes.

    *slots*: who has how many in that revision, as ``core.evidence.written_slots`` writes it.
    """

    rollout: str
    slots: str


class RouteStore(Protocol):
    """Routes, their revisions and their history. Every call answers within a second or raises StoreUnavailable."""

    async def heads(self, models: Sequence[str]) -> Mapping[str, RouteHead]:
        """Return the heads of those of *models* that have one, in one round trip."""
        ...

    async def read(self, model: str) -> StoredRoute | None:
        """Return the whole route, None where there is none. Raises CorruptRoute for fields that are no route."""
        ...

    async def write(
        self,
        model: str,
        payload: bytes,
        entry: AuditEntry,
        *,
        expected: int,
        incarnation: str | None = None,
        fence: Fence | None = None,
    ) -> StoredRoute:
        """Write *payload* with its audit entry if the stored revision is still *expected* (0: there must be no route).

        *fence* opens the new revision for the evidence of a rollout; without one no evidence is taken for the route
        any more. The revision of *entry* is replaced by the new one. A new route takes *incarnation* or a fresh
        random one, a later write keeps what is stored unless *incarnation* is given (a restore).
        Raises RevisionConflict when somebody was faster; after StoreUnavailable the write may have landed.
        """
        ...

    async def order(self, model: str, version: int, verb: str, entry: AuditEntry) -> None:
        """Record that *version* is to be loaded or unloaded (*verb*: ``load`` or ``unload``), with its audit entry."""
        ...

    async def history(self, model: str, *, limit: int) -> Sequence[AuditEntry]:
        """Return at most *limit* audit entries, newest first."""
        ...

    def nudges(self) -> AsyncIterator[None]:
        """Yield once for every (re)subscription and for every burst of changes; reconnects by itself, ends never."""
        ...

    async def ping(self) -> None:
        """Return if the store answers."""
        ...

    async def close(self) -> None:
        """Give back all connections."""
        ...


@dataclass(frozen=True, slots=True)
class Deltas:
    """What one worker counted since its last flush, for one rollout.

    *counts*: field of ``core.evidence.Counter`` → how many more. *sightings*: the failed runs of sticky routes, each
    its field and the 64-bit points of the keys in it; it counts if one of them was not seen failing before.
    """

    counts: Mapping[str, int]
    sightings: Sequence[tuple[str, Sequence[int]]] = ()


class EvidenceStore(Protocol):
    """What a rollout has counted, over the fleet. Every call answers within a second or raises StoreUnavailable."""

    async def flush(
        self, model: str, rollout: str, *, worker: str, seq: int, deltas: Deltas
    ) -> Mapping[str, str] | None:
        """Add *deltas* and return all totals (``core.evidence.read_evidence`` reads them); None where it is over.

        It is over when the route is not in *rollout* any more. A *seq* of *worker* that was taken before is not added
        again: after StoreUnavailable send the same seq with the same deltas.
        """
        ...

    async def totals(self, model: str, rollout: str) -> Mapping[str, str]:
        """Return all totals of *rollout*, empty where there are none."""
        ...

    async def lease(self, model: str, holder: str) -> bool:
        """Take or renew the lease on the rollouts of *model* for LEASE_SECONDS; False while another holds it."""
        ...

    async def now(self) -> float:
        """Return the store's clock, seconds since the epoch."""
        ...


LEASE_SECONDS: Final = 3.0
"""How long a controller that died keeps its successor waiting."""


class Session(Protocol):
    """One version in the inference runtime. Threads may call ``run`` at the same time."""

    @property
    def signature(self) -> Signature: ...

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        """Return all outputs in the signature's order.

        *feeds* holds every input under its name: native-endian, C-contiguous, of the signature's
        datatype, BYTES as arrays of ``str`` objects. Raises ModelFailed with the runtime's words logged.
        """
        ...


class Engine(Protocol):
    """The inference runtime."""

    def load(self, path: Path, *, model: str, version: int, threads: int) -> Session:
        """Build a session from the file at *path*; blocks, and may take seconds.

        *threads* is the number of threads that one run may use. Raises InvalidModel.
        """
        ...


class VersionCells(Protocol):
    """The counters of one version in one worker. Called on the request path: no look-ups, no allocation, no failure."""

    def answered(self, outcome: int, seconds: float) -> None:
        """Count one finished request, with its time from the last byte of the head to the answer."""
        ...

    def ran(self, rows: int, seconds: float) -> None:
        """Count one run of the engine over *rows* rows."""
        ...

    def waited(self, seconds: float) -> None:
        """Count the time that one request waited for its run."""
        ...

    def fell_back(self, reason: str) -> None:
        """Count one answer that the baseline gave in place of this version."""
        ...

    def copied(self, outcome: str, seconds: float) -> None:
        """Count one copy that this version ran as a shadow, how it ended and what the run took."""
        ...

    def copy_dropped(self, reason: str) -> None:
        """Count one copy that this version was to get and did not run."""
        ...

    def compared(self, agrees: bool, mean: float | None, most: float | None) -> None:
        """Count one answer of this version to a copy that was compared with the caller's.

        *mean* and *most* are of the absolute differences of their numbers, finite; None where there were none.
        """
        ...


class Metrics(Protocol):
    """The counters of one worker."""

    def version(self, model: str, version: str) -> VersionCells:
        """Return the cells of a version, the same at every call; called when it is loaded, never per request."""
        ...

    def retire(self, model: str, version: str) -> None:
        """The version is gone from this worker: its series is scraped once more and then ends."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one data worker says of itself.

    *not_ready* maps a culprit (``fraud/3``, ``store``) to a reason; empty is ready.

    *revisions* holds, per model, the revision of the route that the worker serves; 0 is a route that no store gave.
    *shares* holds, per model, each version's share of that route's main split, a fraction of one.
    """

    slot: int
    pid: int
    not_ready: Mapping[str, str]
    revisions: Mapping[str, int]
    versions: Sequence[VersionStatus]
    store_up: bool
    shares: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


class Workers(Protocol):
    """What the live data workers of this replica say."""

    def reports(self) -> Sequence[WorkerReport]:
        """Return the last report of each live worker; reads files, never waits."""
        ...


class LastGood(Protocol):
    """The routes that this replica served last, kept on its disk."""

    def read(self) -> Mapping[str, StoredRoute]:
        """Return every route of the snapshot, or of the one before where that is damaged; empty without either."""
        ...
