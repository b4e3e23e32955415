"""What the processes of a gateway say of themselves, and what is ordered of the repository."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.versions import VersionStatus


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
