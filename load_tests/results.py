"""Everything that one run of the benchmark found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from load_tests.verdicts import PROMISES, Finding, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from load_tests.servers import Server
    from load_tests.turns import Series
    from load_tests.verdicts import Promise

GATEWAY: Final = "gateway"
REFERENCE: Final = "raw uvicorn"
CURVE: Final = "curve"
"""What is asked for beside the promises: latency at fixed rates."""
UNITS: Final = {"requests_per_second": "req/s", "cpu_us": "µs", "p50_ms": "ms"}


@dataclass(frozen=True, slots=True)
class Resources:
    """What a server took: memory of its tree, seconds until ready, and its share of a core while nobody calls."""

    pss_bytes: int
    start_seconds: float
    idle_cpu_share: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """Latencies, ms since each request was due, at a fixed *rate* of requests a second."""

    server: str
    rate: float
    answered: int
    faults: int
    p50_ms: float
    p99_ms: float
    p999_ms: float


@dataclass(slots=True)
class Results:
    """Series, figures for promises by key, and what else a server was seen to take."""

    load: str
    cores: tuple[int, int]
    series: list[Series] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    resources: dict[str, Resources] = field(default_factory=dict)
    curve: list[Point] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Why something could not be measured that was asked for and is installed."""

    def judge(self, promise: Promise, series: Series, mine: str, theirs: str, member: str) -> None:
        """Note the paired ratio of *member*, where both servers are in *series*."""
        if mine in series.rounds and theirs in series.rounds:
            note = f"{series.median(mine, member):.5g} and {series.median(theirs, member):.5g} {UNITS[member]}"
            self.findings[promise.key] = Finding(series.ratio(mine, theirs, member), note)

    def not_measured(self, promises: Iterable[Promise], why: str) -> None:
        """Note *why* those of *promises* have no figure that have none yet."""
        for promise in promises:
            self.findings.setdefault(promise.key, Finding(None, why))

    def fail(self, promises: Iterable[Promise], cause: Exception) -> None:
        """Note that *promises* could not be measured although they were asked for."""
        first, *_ = str(cause).splitlines() or [type(cause).__name__]
        self.not_measured(promises, first.rstrip(":"))
        self.faults.append(str(cause))

    def weigh(self, server: Server, idle_cpu_share: float | None = None) -> None:
        """Note what *server* takes now."""
        self.resources[server.name] = Resources(server.pss_bytes(), server.start_seconds, idle_cpu_share)

    def errors(self) -> int:
        """Return how many requests failed."""
        return sum(each.errors(server) for each in self.series for server in each.rounds) + sum(
            point.faults for point in self.curve if point.server == GATEWAY
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as JSON takes it."""
        promises = [each for each in PROMISES if each.key in self.findings]
        return {
            "load": self.load,
            "cores": {"server": self.cores[0], "load": self.cores[1]},
            "promises": {each.key: self._promise(each) for each in promises},
            "series": {each.title: {name: list(map(asdict, found)) for name, found in each.rounds.items()}
                       for each in self.series},
            "resources": {name: asdict(found) for name, found in self.resources.items()},
            "curve": [asdict(point) for point in self.curve],
            "faults": self.faults,
        }  # fmt: skip

    def _promise(self, promise: Promise) -> dict[str, Any]:
        finding = self.findings[promise.key]
        return {**asdict(finding), "floor": promise.floor, "aim": promise.aim, "verdict": verdict(promise, finding)}
