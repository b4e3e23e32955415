"""Who looks at single requests: what is recorded of them, and what is told of each after its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.core.recording import Record
    from gateway.core.signature import Signature
    from gateway.core.trace_context import TraceContext
    from gateway.ports.engine import Tensor
    from gateway.ports.metrics import VersionCells


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
