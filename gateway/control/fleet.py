"""What the workers of this replica say of a model's versions, taken together.

Pure functions over the workers' reports and the versions in the repository: operations decide by
them and the admin API shows them. A worker that says nothing of a version does not have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.versions import VersionState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from gateway.core.signature import Signature
    from gateway.core.versions import VersionStatus
    from gateway.ports.workers import WorkerReport

TELLING: Final = (VersionState.FAILED, VersionState.LOADING, VersionState.UNLOADING, VersionState.UNAVAILABLE)
"""What one worker says of a version is said of the version, the most telling first; READY needs all workers."""


@dataclass(frozen=True, slots=True)
class FleetVersion:
    """One version as the replica has it. *ready* of *total* live workers can answer with it."""

    version: int
    state: VersionState
    reason: str
    ready: int
    total: int
    digest: str = ""
    note: str = ""
    signature: Signature | None = None
    memory_bytes: int = 0
    """What it takes in one worker; 0 where no worker has it loaded, or it was not measured."""


def versions_of(model: str, reports: Sequence[WorkerReport], on_disk: Collection[int]) -> Mapping[int, FleetVersion]:
    """Return every version of *model* that is in the repository or that a worker knows, ascending."""
    said: dict[int, list[VersionStatus]] = {version: [] for version in on_disk}
    for report in reports:
        for status in report.versions:
            if status.model == model:
                said.setdefault(status.version, []).append(status)
    return {version: _together(version, said[version], len(reports)) for version in sorted(said)}


def models_of(reports: Sequence[WorkerReport]) -> frozenset[str]:
    """Return the models of which some worker knows a version."""
    return frozenset(status.model for report in reports for status in report.versions)


def is_last_ready(model: str, version: int, reports: Sequence[WorkerReport], leaving: Collection[int]) -> bool:
    """Say whether some worker could answer for *model* with *version* only.

    *leaving* are versions that are still ready and were ordered to unload: they do not count.
    """
    for report in reports:
        ready = {s.version for s in report.versions if s.model == model and s.state is VersionState.READY}
        if version in ready and not ready - {version} - set(leaving):
            return True
    return False


def is_model_ready(model: str, needed: Collection[int], reports: Sequence[WorkerReport]) -> bool:
    """Say whether every worker can answer for *model* with one of the versions in *needed*."""
    return bool(reports) and all(
        any(s.model == model and s.version in needed and s.state is VersionState.READY for s in report.versions)
        for report in reports
    )


def _together(version: int, said: Sequence[VersionStatus], workers: int) -> FleetVersion:
    ready = sum(status.state is VersionState.READY for status in said)
    state, reason = _state(said, ready, workers)
    digest = next((status.digest for status in said if status.digest), "")
    note = next((status.note for status in said if status.note), "")
    signature = next((status.signature for status in said if status.signature is not None), None)
    memory_bytes = max((status.memory_bytes for status in said), default=0)
    return FleetVersion(version, state, reason, ready, workers, digest, note, signature, memory_bytes)


def _state(said: Sequence[VersionStatus], ready: int, workers: int) -> tuple[VersionState, str]:
    if workers and ready == workers:
        return VersionState.READY, ""
    for state in TELLING:
        for status in said:
            if status.state is state:
                return state, status.reason
    if not workers:
        return VersionState.UNAVAILABLE, "no worker is running"
    return VersionState.UNAVAILABLE, f"{workers - len(said)} of {workers} workers have not seen it yet"
