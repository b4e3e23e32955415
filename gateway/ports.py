"""What the middle of the house needs of its edges. Protocols and the values they exchange, nothing else.

``core`` decides, ``serving`` and ``models`` act through these, and ``store``, ``engine`` and
``telemetry`` implement them. One contract suite under ``tests/contracts/`` runs over every
implementation of a port.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.core.providers import CPU

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gateway.core.alarms import Answer, Silence, Standing
    from gateway.core.anomalies import Anomaly
    from gateway.core.drift import ColumnFinding
    from gateway.core.errors import GatewayError
    from gateway.core.feedback import Fact
    from gateway.core.keeping import Keeping
    from gateway.core.labelled import Labelled
    from gateway.core.notification import Notification
    from gateway.core.phases import Phase
    from gateway.core.quality import Quality
    from gateway.core.recording import Record
    from gateway.core.signature import Signature
    from gateway.core.trace_context import TraceContext
    from gateway.core.verdicts import Verdict
    from gateway.core.versions import VersionStatus

    Tensor = NDArray[Any]


@dataclass(frozen=True, slots=True)
class RouteHead:
    """What a poll reads of a route: enough to see that it changed.

    *incarnation* is drawn when the route is created or restored, *revision* rises by one at every
    write, *digest* is the SHA-256 (hexadecimal) of the stored bytes. *orders* maps a version to
    ``"load"`` or ``"unload"``, what an operator last asked for. A model that has orders and no
    route has an empty incarnation and revision 0. ``versions.WHOLE_MODEL`` with ``"unload"`` takes
    the model and all its versions out of service, until the same is ordered to load.
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

    *action* is ``route``, ``rollout``, ``load`` or ``unload``; *at_ms* is the store's clock, milliseconds since the
    epoch. *address* is where *who* spoke from, empty for the gateway itself; *version* what an order names, ``all`` for
    the whole model, else empty. *id* and *previous*, the digest of the entry before (``core.audit``), are the store's
    to set; *previous* is empty in entries from before there was a chain.
    """

    revision: int
    who: str
    reason: str
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    at_ms: int = 0
    address: str = ""
    version: str = ""
    id: str = ""
    previous: str = ""


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
        told: Sequence[Notification] = (),
    ) -> StoredRoute:
        """Write *payload* with its audit entry if the stored revision is still *expected* (0: there must be no route).

        What is *told* of it waits for its couriers from the same moment on: both are written, or neither.

        *fence* opens the new revision for the evidence of a rollout; without one no evidence is taken for the route
        any more. The revision of *entry* is replaced by the new one. A new route takes *incarnation* or a fresh
        random one, a later write keeps what is stored unless *incarnation* is given (a restore).
        Raises RevisionConflict when somebody was faster; after StoreUnavailable the write may have landed.
        """
        ...

    async def order(self, model: str, version: int, verb: str, entry: AuditEntry) -> None:
        """Record that *version* is to be loaded or unloaded (*verb*: ``load`` or ``unload``), with its audit entry.

        *version* may be ``versions.WHOLE_MODEL``. Raises ValueError for what is no order.
        """
        ...

    async def history(self, model: str, *, limit: int, before: str = "") -> Sequence[AuditEntry]:
        """Return at most *limit* audit entries, newest first; of those older than the entry with the id *before*."""
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


@dataclass(frozen=True, slots=True)
class Served:
    """A prediction on its way to the store: the *id* of its answer, and ``core.feedback.Prediction.encoded``.

    *is_copy*: a shadow's, of which no caller knows. It is kept beside the one that was served, and no quality counts
    it. *assigned_under*: the revision whose split chose the version, 0 where something else did. *inputs*: JSON of
    ``core.labelled``, empty where none are kept; *stream*: how many labelled answers the route keeps about.
    """

    id: str
    version: int
    payload: bytes
    is_copy: bool = False
    assigned_under: int = 0
    inputs: bytes = b""
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Remembered:
    """A prediction out of the store, written *age_seconds* ago; labels of one that *is_late* are not counted."""

    payload: bytes
    age_seconds: float
    is_late: bool


REPLICA_SECONDS: Final = 10.0
"""How long a replica that says nothing counts as there: a control process that is replaced speaks again before that."""

REPLICA_BYTES: Final = 1 << 20


NO_COHORT: Final[tuple[int, Mapping[str, float]]] = (0, {})
"""Of a label that the split's cohorts do not count."""


class FeedbackStore(Protocol):
    """What was served and what was said of it. Every call answers within a second or raises StoreUnavailable."""

    async def remember(
        self,
        model: str,
        served: Sequence[Served],
        *,
        ttl_seconds: float,
        dropped: Mapping[tuple[int, str], int] | None = None,
    ) -> None:
        """Keep *served* for labels that come within *ttl_seconds*, and as long again to tell late from unknown.

        An id that is kept already stays as it is. *dropped*: version and one of ``core.quality.DROPS`` → what is not
        remembered. At most REMEMBERED_AT_ONCE. After StoreUnavailable it may have landed; sent again it is kept once.
        """
        ...

    async def recall(self, model: str, ids: Sequence[str]) -> Sequence[Remembered | None]:
        """Return what is remembered under each of *ids*, in one round trip; None for what is not."""
        ...

    async def copies(self, model: str, served: str) -> Sequence[bytes]:
        """Return what shadows predicted for the request of the answer *served*, one payload each, in no order."""
        ...

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
        """Say *text* as the *fact* (``label`` or ``reward``) of the answer *served*, once, and add *counts* by that.

        Where the answer's inputs are kept, the fields of *example* go with them, and with the time, into the stream of
        labelled answers in the same step.

        *counts*: field of ``core.quality`` → what is added. *cohort*: the hour of the answer, since the epoch, and
        field of ``core.cohorts`` → what is added for that hour, which is kept for HOURS_KEPT. Returns ``counted``,
        ``duplicate`` where the same was said before, ``conflict`` where something else was, ``unknown`` where the
        answer is remembered no more. Only ``counted`` adds anything. After StoreUnavailable it may have landed.
        """
        ...

    async def quality(self, model: str, *, seconds: float | None = None) -> Sequence[Mapping[str, str]]:
        """Return the hashes that ``core.quality.read_quality`` sums: of all time, or of the last *seconds*.

        A window begins with a bucket of the first of QUALITY_BUCKETS that are kept for so long, else of the last.
        """
        ...

    async def assigned(self, model: str) -> Mapping[str, str]:
        """Return ``revision|version`` → remembered answers that the split of that revision gave to the version."""
        ...

    async def cohorts(self, model: str, hours: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
        """Return hour → the hash that ``core.cohorts`` reads, of those of *hours* since the epoch that have one."""
        ...


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one target in the outbox of one model.

    *waiting*: how many; *oldest_seconds*: for how long the first of them, 0 where none waits. *is_due*: the first may
    be claimed now.
    """

    waiting: int
    oldest_seconds: float
    is_due: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """One notification that a courier holds for a while. *token* names this very claim.

    id: of the notification, the same at every attempt and for every target. entry: its place in the outbox. addressee:
    the one target that it is for, empty for all. at_ms: when it happened, by the store's clock, since the epoch;
    waited_seconds: since it was put into the outbox. attempts: those that failed. lost: how many before it fell out of
    a full outbox, untold.
    """

    token: str
    entry: str
    number: int
    id: str
    payload: bytes
    addressee: str
    at_ms: int
    waited_seconds: float
    attempts: int
    lost: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A notification that a courier gave up, with the *reason*. *key* is what ``again`` takes."""

    key: str
    target: str
    id: str
    payload: bytes
    at_ms: int
    reason: str


class NotificationStore(Protocol):
    """What waits to be told: one outbox per model, and for each target how far it was told.

    Every target reads an outbox from its beginning to its end, one notification at a time. One object implements this
    and RouteStore, for a write of a route fills the outbox. Every call answers within a second or raises
    StoreUnavailable. What is no outbox under a key of ours is put aside: it must not keep a canary in the traffic.
    """

    async def tell(self, notification: Notification) -> None:
        """Put *notification* into the outbox of its model, without a write of the route."""
        ...

    async def backlogs(self, wanted: Mapping[str, Sequence[str]]) -> Mapping[tuple[str, str], Backlog]:
        """Return what waits, per model and target, in one round trip; *wanted*: model → targets that are told of it.

        A target that is seen with a model for the first time is told what happened to it in the last
        NEW_TARGET_SECONDS, and from then on.
        """
        ...

    async def claim(self, model: str, target: str, *, seconds: float) -> Claimed | None:
        """Take the next notification of *model* for *target*, for so many *seconds*; None where none may be taken."""
        ...

    async def settle(
        self, model: str, target: str, claimed: Claimed, *, again_seconds: float | None = None, given_up: str = ""
    ) -> bool:
        """End a claim: it was delivered, is to be tried again in *again_seconds*, or is *given_up* for that reason.

        Returns False, having changed nothing, where the claim had run out and another courier took it.
        """
        ...

    async def undelivered(self, model: str) -> Sequence[Undelivered]:
        """Return what was given up and not tried again, oldest first: at most UNDELIVERED_ENTRIES."""
        ...

    async def again(self, model: str, key: str) -> bool:
        """Put what was given up back into the outbox, for its target only; False where there is no such *key*."""
        ...


LINK_SECONDS: Final = 24 * 3600.0
"""How long a link of a notification may be used, and as long again it is known to be too old."""


@dataclass(frozen=True, slots=True)
class KeptLink:
    """What a link lets somebody do (``core.links.Offer``), and whether that is over."""

    payload: bytes
    is_late: bool
    is_used: bool


def digest_of_link(token: str) -> str:
    """Return what the store knows a link by: the SHA-256 of its *token*, hexadecimal."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class LinkStore(Protocol):
    """The links of notifications, by ``digest_of_link``. Every call answers within a second or raises
    StoreUnavailable."""

    async def keep_link(self, model: str, digest: str, payload: bytes) -> None:
        """Keep what a link of *model* lets somebody do, for LINK_SECONDS."""
        ...

    async def link(self, model: str, digest: str) -> KeptLink | None:
        """Return what is kept, None for what is not, or was forgotten."""
        ...

    async def take_link(self, model: str, digest: str) -> bool:
        """Mark a link as used. Returns False, having changed nothing, where it was: of two at once one gets it."""
        ...

    async def give_link_back(self, model: str, digest: str) -> None:
        """Take the mark away: nothing came of it."""
        ...


NEW_TARGET_SECONDS: Final = 60.0
OUTBOX_ENTRIES: Final = 2_000
"""The most that an outbox holds, told or not; the oldest fall out."""
UNDELIVERED_ENTRIES: Final = 1_000

NOTIFICATION_OUTCOMES: Final = ("delivered", "failed", "given_up", "lost")
"""Label values of ``gateway_notifications_total``: *failed* is one attempt, *lost* fell out of a full outbox."""


@dataclass(frozen=True, slots=True)
class TargetFigures:
    """How one target is served by this process. *oldest_seconds*: how long what waits longest has waited."""

    outcomes: Mapping[str, int]
    waiting: int
    oldest_seconds: float


class NotificationDesk(Protocol):
    """What is shown of notifications, and what an operator may do about them."""

    def figures(self) -> Mapping[str, TargetFigures]:
        """Return target → figures."""
        ...

    def describe(self) -> Sequence[Mapping[str, Any]]:
        """Return what may be shown of each target: never its secret, nor the path of its address."""
        ...

    async def given_up(self) -> Mapping[str, Sequence[Undelivered]]:
        """Return model → what was given up, models without any left out. Raises StoreUnavailable."""
        ...

    async def again(self, model: str, key: str) -> bool:
        """Put what was given up back into the outbox; False where it is not there. Raises StoreUnavailable."""
        ...


REMEMBERED_AT_ONCE: Final = 500
QUALITY_BUCKETS: Final = ((60, 600.0), (600, 24 * 3600.0))
"""How labels are counted by when they come: (seconds of one bucket, how far back such buckets are kept)."""


CLAIM_SECONDS: Final = 60.0
"""So long a consumer of labelled answers may be silent before another one takes over what it did not acknowledge."""


class LabelledStream(Protocol):
    """The labelled answers of one model with their inputs, for whoever learns from them.

    Each goes to one consumer of a group, and is that consumer's until it is acknowledged: at least once. A group begins
    with the oldest that is there. The stream holds about as many as the route says (``feedback.stream``); the oldest
    make room, read or not. Every call raises StoreUnavailable, and CorruptRoute for a key that holds something else.
    """

    async def read(self, group: str, consumer: str, count: int, wait_ms: int) -> list[Labelled]:
        """Return up to *count*: those that *consumer* did not acknowledge yet, else those that another one left for
        CLAIM_SECONDS, else new ones, for which it waits up to *wait_ms* milliseconds.

        What is no whole example is acknowledged by itself and left out. Names are of a caller's choice.
        """
        ...

    async def acknowledge(self, group: str, entries: Sequence[str]) -> None:
        """Be done with *entries*, ``Labelled.entry`` of each: nobody of *group* gets them again."""
        ...

    async def pending(self, group: str) -> int:
        """Return how many consumers of *group* have read and not acknowledged; 0 before anybody read."""
        ...

    async def length(self) -> int:
        """Return how many the stream holds, read or not."""
        ...


class LabelledStore(Protocol):
    """Whoever has the streams of labelled answers."""

    def labelled(self, model: str) -> LabelledStream:
        """Return the stream of *model*; asks nobody yet."""
        ...


class FleetStore(Protocol):
    """What the replicas that share the store tell each other. Every call answers within a second or raises
    StoreUnavailable."""

    async def announce(self, replica: str, words: str, *, seconds: float = REPLICA_SECONDS) -> Mapping[str, str]:
        """Say *words* for *replica* for so many *seconds*, and return what every replica says now, this one included.

        One that has not spoken for the time that it asked for is gone. At most REPLICA_BYTES of words. Raises
        ValueError for a name or words that no replica has.
        """
        ...


class DriftStore(Protocol):
    """Samples of what versions are asked and answer, as counts, on their way from the workers to whoever compares them.

    Every call answers within a second or raises StoreUnavailable. Nothing here is exact: a sample whose call failed is
    not sent again, and the oldest fall out.
    """

    async def sampled(self, model: str, payload: bytes) -> None:
        """Append *payload* (``core.drift_counts.Sample.encoded``) to the samples of *model*."""
        ...

    async def samples(self, after: Mapping[str, str]) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return the samples of each model that came after the named one, in one round trip, oldest first.

        *after*: model → the name of the last sample that is known, empty for all that is kept. Each sample comes with
        its name; at most SAMPLES_AT_ONCE of a model, and models without any are left out.
        """
        ...

    async def keep_reference(self, model: str, version: int, digest: str, payload: bytes) -> bytes:
        """Keep *payload* as the reference of a version whose model file has this *digest*, unless there is one.

        Returns what is kept then; empty where *payload* is and nothing was kept.
        """
        ...


SAMPLES_AT_ONCE: Final = 200
SAMPLES_KEPT: Final = 1_000
SAMPLES_SECONDS: Final = 3600.0
"""A model keeps so many samples, and none when it had no request for so long."""


class Store(
    RouteStore, EvidenceStore, FeedbackStore, LabelledStore, NotificationStore, LinkStore, FleetStore, DriftStore,
    Protocol,
):  # fmt: skip
    """All of it in one."""


@dataclass(frozen=True, slots=True, eq=False)
class AskedInputs:
    """The tensors of a request of *model* whose inputs are kept, as *keeping* says.

    *feeds* are in the order of the inputs of *signature*, by which the request was read.
    """

    keeping: Keeping
    model: str
    signature: Signature
    feeds: Sequence[Tensor]


class InputWriter(Protocol):
    """Makes text of inputs, after hiding in them what their route hides. Blocks, and does not fail."""

    def size(self, asked: AskedInputs) -> int:
        """Return how many bytes of tensors *asked* holds."""
        ...

    def text(self, asked: AskedInputs) -> bytes | str:
        """Return the JSON of ``core.labelled``, or one of ``core.quality.DROPS`` that says why there is none."""
        ...


class PredictionMemory(Protocol):
    """Where a worker leaves what it served. Called on the request path, after the answer has gone."""

    room: int
    """How many more predictions are taken now; where there is none, count in ``skipped``."""

    @property
    def skipped(self) -> MutableMapping[tuple[str, int], int]:
        """How many predictions there was no room for, of a model's version; what is new in it begins at 0."""
        ...

    def served(
        self,
        name: str,
        model: str,
        version: int,
        signature: Signature,
        outputs: Sequence[Tensor],
        rule: str,
        revision: int,
        rollout: str,
        point: int | None,
        asked: AskedInputs | None,
    ) -> None:
        """Take one prediction; *name* is the id of its answer, *rollout* and *point* as in ``core.feedback``.

        *asked*: where its inputs are to be kept as well.
        """
        ...

    def copied(
        self,
        name: str,
        model: str,
        version: int,
        signature: Signature,
        outputs: Sequence[Tensor],
        revision: int,
        rollout: str,
    ) -> None:
        """Take what a shadow predicted for the request whose answer is *name*, where there is room."""
        ...


class Feedback(Protocol):
    """Who takes what callers say of answers."""

    async def take(self, model: str, facts: Sequence[Fact]) -> Sequence[str | GatewayError]:
        """Return for each fact ``counted``, ``duplicate``, or why it is not counted.

        Raises StoreUnavailable, and FeedbackOverloaded where too many others wait.
        """
        ...


class QualityMetrics(Protocol):
    """What is shown of the quality of all versions."""

    def qualities(self) -> Mapping[str, Mapping[int, Quality]]:
        """Return model → version → quality, of those of which something is known."""
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


class Session(Protocol):
    """One version in the inference runtime. Threads may call ``run`` at the same time."""

    @property
    def signature(self) -> Signature: ...

    @property
    def warning(self) -> str:
        """What an operator should know of the version before it gets traffic; empty for nothing."""
        ...

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        """Return all outputs in the signature's order.

        *feeds* holds every input under its name: native-endian, C-contiguous, of the signature's
        datatype, BYTES as arrays of ``str`` objects. Raises ModelFailed with the runtime's words logged, InputRefused
        where the runtime blames a value, and RunStopped after ``stop``.
        """
        ...

    def stop(self) -> None:
        """Ask the runs under way to end, from any thread; one that just ended may leave its stop to the next.

        An operator that has begun is finished first.
        """
        ...

    def pool_seconds(self) -> float:
        """Return the CPU seconds that the session's own threads have taken; 0 where the caller's thread does it all."""
        ...


class Engine(Protocol):
    """The inference runtime."""

    def load(self, path: Path, *, model: str, version: int, threads: int, providers: Sequence[str]) -> Session:
        """Build a session from the file at *path*; blocks, and may take seconds.

        *threads* is the number of threads that one run may use, *providers* what runs it, as ``core.providers``
        writes that, the first choice first. Raises InvalidModel.
        """
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model file that is to be tried before a worker loads it: the copy at *path*, whose SHA-256 is *digest*.

    *serving* is what its metadata says of how it is served, as ``models.metadata.wishes_text`` writes it;
    *threads* are those of one run, *providers* what runs it.
    """

    path: str
    digest: str
    model: str
    version: int
    threads: int
    serving: str
    providers: Sequence[str] = (CPU,)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe of a model file showed: *code* and *reason* as in InvalidModel, both empty where it may be loaded.

    *memory_bytes*: what building and warming one session of it took of memory, 0 where that could not be measured.
    """

    code: str = ""
    reason: str = ""
    memory_bytes: int = 0


class Verifier(Protocol):
    """Tries model files where a crash, a hang or a hunger for memory hurts nobody."""

    def verify(self, candidate: Candidate) -> Finding:
        """Return what a probe of *candidate* shows, or what an earlier one showed. Blocks, for minutes at worst."""
        ...


class VersionCells(Protocol):
    """The counters of one version in one worker. Called on the request path: no look-ups, no allocation, no failure."""

    def answered(self, outcome: int, seconds: float) -> None:
        """Count one finished request, with its time from the last byte of the head to the answer."""
        ...

    def ran(self, rows: int, seconds: float) -> None:
        """Count one run of the engine over *rows* rows."""
        ...

    def computed(self, cpu_seconds: float) -> None:
        """Count what batches took of the processor."""
        ...

    def waited(self, seconds: Sequence[float]) -> None:
        """Count the time that each request of a batch waited for its run."""
        ...

    def fell_back(self, reason: str) -> None:
        """Count one answer that the baseline gave in place of this version."""
        ...

    def happened(self, event: str, times: int = 1) -> None:
        """Count a rare event in the life of this version; *event* is one of the telemetry's EVENTS."""
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

    def recorded(self, outcome: str) -> None:
        """Count one answer of this version that was to be recorded; *outcome* is one of RECORDING_OUTCOMES."""
        ...


RECORDING_OUTCOMES: Final = ("kept", "full", "large", "unhidden", "failed")
"""What becomes of a request that is to be recorded: written; or dropped because too many waited, because it is too
large, because what is to be hidden is not in it, or because it could not be written."""


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A request that was answered and is to be recorded, as *record* says.

    *feeds* are in the order of the inputs of *asked*, *outputs* in that of the outputs of *answered*: the signatures of
    the version that read the request, and of *version*, which answered it. *id* is the answer's. *cells* count.
    """

    record: Record
    model: str
    version: int
    rule: str
    revision: int
    id: str
    asked: Signature
    feeds: Sequence[Tensor]
    answered: Signature
    outputs: Sequence[Tensor]
    cells: VersionCells


class Recorder(Protocol):
    """Takes answered requests that are to be recorded."""

    def offer(self, answered: Answered) -> None:
        """Take a request, or drop and count it. Called behind an answer: it does not wait and does not fail."""
        ...


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded of a model on this machine: how many *requests*, in how many *bytes*.

    *since* and *until*: when the first was begun and the last written, seconds since the epoch.
    """

    model: str
    requests: int
    bytes: int
    since: float
    until: float


class RecordingShelf(Protocol):
    """The recordings of this machine. Everything blocks, and raises RecordingsUnreadable where the disk fails."""

    def recordings(self) -> Sequence[Recording]:
        """Return what is there and not out of date, by model."""
        ...

    def read(self, model: str) -> Iterator[bytes]:
        """Yield the recorded requests of *model*, oldest first, each a line of JSON with its end."""
        ...

    def delete(self, model: str) -> int:
        """Delete what is recorded of *model* and return how many bytes that were."""
        ...


class RunSeat(Protocol):
    """Where one lane writes down what it runs, for whoever looks after a crash. One run at a time, on any thread.

    A fingerprint is a 64-bit integer that stands for a version and the tensors of one request.
    """

    def is_clean(self, prints: Sequence[int]) -> bool:
        """Say whether none of *prints* was being run when a worker crashed."""
        ...

    def crashes(self, print_: int) -> int:
        """Return how many workers crashed lately while they ran *print_*; of a suspect, also who runs it just now."""
        ...

    def begin(self, prints: Sequence[int]) -> None:
        """Write down what is about to be run."""
        ...

    def end(self) -> None:
        """The run is over."""
        ...

    def close(self) -> None:
        """The lane is closed: its place is free."""
        ...


class RunLog(Protocol):
    """What a worker runs, readable after its death."""

    def seat(self, model: str, version: int) -> RunSeat:
        """Return the place of a lane; called when the lane is made, never per request."""
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
class GoldenResult:
    """What one worker found when it replayed golden requests for a candidate of the *rollout* of this id.

    failed: the first difference in words. lacks: why nothing could be replayed. Both empty: all answers were right.
    """

    rollout: str
    lacks: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one data worker says of itself.

    *not_ready* maps a culprit (``fraud/3``, ``store``) to a reason; empty is ready.

    *revisions* holds, per model, the revision of the route that the worker serves; 0 is a route that no store gave.
    *shares* holds, per model, each version's share of that route's main split, a fraction of one.
    *golden* holds, per model in preflight and candidate, what golden requests showed, once they were replayed.
    *queue_limits* holds, per model and version that has a latency target and was asked, how many requests may wait.
    """

    slot: int
    pid: int
    not_ready: Mapping[str, str]
    revisions: Mapping[str, int]
    versions: Sequence[VersionStatus]
    store_up: bool
    shares: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    golden: Mapping[str, Mapping[int, GoldenResult]] = field(default_factory=dict)
    queue_limits: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


class Described(Protocol):
    """What the metadata of versions says."""

    def __call__(self, model: str, version: int) -> Mapping[str, Any] | None:
        """Return the members, None where there is no metadata. Reads a file. Raises InvalidModel."""
        ...


class Evaluated(Protocol):
    """Whether versions passed the gates of their evaluation."""

    def __call__(self, model: str, version: int, sha256: str) -> tuple[bool, str]:
        """Say whether the file of *version*, which has this *sha256*, passed, and why not. Reads a file."""
        ...


class Workers(Protocol):
    """What the live data workers of this replica say."""

    def reports(self) -> Sequence[WorkerReport]:
        """Return the last report of each live worker; reads files, never waits."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls an inference port: *address* (None: a local socket), and *headers* with names in lower case."""

    address: str | None
    headers: Mapping[str, str]


class RepositoryControl(Protocol):
    """Loading and unloading, ordered by callers of the inference ports.

    Both orders return when every worker of this replica has carried them out. They raise UnknownModel,
    UnknownVersion, StoreUnavailable where the order was not taken, VersionUnavailable where it takes too long.
    """

    def admit(self, caller: Caller, model: str) -> str:
        """Return the name of *caller* for the audit, if it may order about *model*.

        Raises Unauthenticated, Forbidden or TooManyAttempts.
        """
        ...

    async def load(self, model: str, version: int | None, *, who: str) -> None:
        """Look at the repository again and load *version*; without one what the route names, else the highest.

        Raises LoadFailed with its reason, also when it is ordered again.
        """
        ...

    async def unload(self, model: str, version: int | None, *, who: str) -> None:
        """Unload *version*; without one take the whole model out of service. Raises VersionInUse for a version."""
        ...


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """What all workers of this replica counted of one version since it was loaded. Times are sums, in seconds.

    *succeeded* and *failed* are requests, *request_seconds* the time of both; *waits* are requests that
    waited for a run; *runs* are runs of the engine, over *rows* rows together. *last_request* is when a
    worker that ran the version last began a request, seconds since the epoch, 0 before any.
    """

    succeeded: int = 0
    failed: int = 0
    request_seconds: float = 0.0
    waits: int = 0
    wait_seconds: float = 0.0
    runs: int = 0
    run_seconds: float = 0.0
    rows: int = 0
    last_request: float = 0.0


class Statistics(Protocol):
    """What the workers of this replica counted."""

    def figures(self) -> Mapping[tuple[str, str], VersionFigures]:
        """Return model and version → figures, summed over the workers as ``/metrics`` does, of what some worker has.

        Reads files, may block.
        """
        ...


@dataclass(frozen=True, slots=True)
class Traffic:
    """What all workers of this replica counted of one version since it was loaded, for a person who watches.

    *requests*: outcome → requests. *quantiles*: percent (50, 95, 99) → seconds of a request, empty before any. *rows*
    were run, in *cpu_seconds*; *cpu_share* is its part, of one, of what all versions of all models took.
    """

    requests: Mapping[str, int]
    fallbacks: int
    quantiles: Mapping[int, float]
    rows: int = 0
    cpu_seconds: float = 0.0
    cpu_share: float = 0.0


class TrafficFigures(Protocol):
    """What the workers of this replica counted, one model at a time."""

    def of(self, model: str) -> Mapping[str, Traffic]:
        """Return version → figures of *model*, of what some worker has. Reads files, may block."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """What the workers of this replica counted of one version in a window of time.

    *failures*: requests that it failed or was late for. *p95_seconds*: of a request, None where there was none.
    """

    requests: int
    failures: int
    p95_seconds: float | None


class Windows(Protocol):
    """What the workers of this replica counted since it was asked last."""

    def take(self) -> Mapping[tuple[str, str], Window]:
        """Return model and version → window since the last call, of those known then. Reads files, may block."""
        ...


class DriftMetrics(Protocol):
    """What is known of drift and anomalies, for ``/metrics``."""

    def findings(self) -> Mapping[str, Mapping[int, Sequence[ColumnFinding]]]:
        """Return model → version → what is known of its columns."""
        ...

    def rows(self) -> Mapping[str, Mapping[int, int]]:
        """Return model → version → rows that were compared since this process began."""
        ...

    def anomalies(self) -> Mapping[str, Mapping[int, Sequence[Anomaly]]]:
        """Return model → version → what is out of the ordinary now, of every version that is watched."""
        ...


class LastGood(Protocol):
    """The routes that this replica served last, kept on its disk."""

    def read(self) -> Mapping[str, StoredRoute]:
        """Return every route of the snapshot, or of the one before where that is damaged; empty without either."""
        ...


@dataclass(frozen=True, slots=True)
class SeenRun:
    """The run that a request's outcome came from: when it was *queued* and *began*, on ``time.perf_counter``.

    *seconds* and *rows* are the run's, for all requests that shared it; None where their batch took several runs.
    """

    queued: float
    began: float
    seconds: float | None
    rows: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it ended, for those who tell of requests one by one.

    *started* and *ended* are on ``time.perf_counter``, *at* is the end in seconds since 1970. *door* is ``v2``, ``v1``
    or ``grpc``; *status* what it answered with there, None where the caller had left. *version*, *revision* and
    *rule* are of the arm that ended it, None and empty where it reached none; *fallback_from* is set where another
    answered. *error* is the kind of what went wrong, *cause* its text. *run* is None where nothing was run for it.
    """

    request_id: str
    trace: TraceContext | None
    door: str
    status: int | None
    model: str
    pinned: int | None
    version: int | None
    revision: int | None
    rule: str
    fallback_from: int | None
    outcome: str
    error: str
    cause: str
    started: float
    ended: float
    at: float
    run: SeenRun | None


class Witness(Protocol):
    """Tells of requests one by one, of a sample of them. It never holds one up."""

    def takes(self, trace: TraceContext | None) -> bool:
        """Say whether it wants to see a request that came in this trace; called once for each."""
        ...

    def see(self, seen: Seen) -> None:
        """Take what ended, and return at once."""
        ...
