"""What is counted and measured of versions, and read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.anomalies import Anomaly
    from gateway.core.drift import ColumnFinding


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


class Metrics(Protocol):
    """The counters of one worker."""

    def version(self, model: str, version: str) -> VersionCells:
        """Return the cells of a version, the same at every call; called when it is loaded, never per request."""
        ...

    def retire(self, model: str, version: str) -> None:
        """The version is gone from this worker: its series is scraped once more and then ends."""
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
