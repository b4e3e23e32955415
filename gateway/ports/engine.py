"""What runs a model, and what is asked about a file before anything runs it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gateway.core.providers import CPU

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gateway.core.signature import Signature

    Tensor = NDArray[Any]


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
