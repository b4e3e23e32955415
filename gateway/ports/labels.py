"""What was served and what became of it: answers that are remembered, labels, and the stream of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from gateway.core.errors import CorruptRoute, GatewayError
    from gateway.core.feedback import Fact
    from gateway.core.keeping import Keeping
    from gateway.core.labelled import Labelled
    from gateway.core.quality import Quality
    from gateway.core.signature import Signature
    from gateway.ports.engine import Tensor


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

    async def qualities(self, models: Sequence[str]) -> Mapping[str, Mapping[str, str] | CorruptRoute]:
        """Return the hash of all time of each of *models* that has one, or why what is there is none."""
        ...

    async def assigned(self, model: str) -> Mapping[str, str]:
        """Return ``revision|version`` → remembered answers that the split of that revision gave to the version."""
        ...

    async def cohorts(self, model: str, hours: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
        """Return hour → the hash that ``core.cohorts`` reads, of those of *hours* since the epoch that have one."""
        ...


REMEMBERED_AT_ONCE: Final = 50
"""Half a millisecond of the loop, whether the store takes them or refuses; 500 were 4 ms, and no cheaper each."""


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
