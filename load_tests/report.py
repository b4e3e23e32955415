"""The benchmark's numbers, as a table for people and as JSON for scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from load_tests.measure import Measurement, median, paired_ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAY: Final = "gateway"
REFERENCE: Final = "raw uvicorn"


@dataclass(frozen=True, slots=True)
class Promise:
    """A bound that the gateway must keep, and the value it aims at."""

    what: str
    bound: float
    aim: float
    at_least: bool = False
    unit: str = ""

    def line(self, value: float) -> str:
        """Return one row of the table: the value, what was promised, and whether it was kept."""
        kept = value >= self.bound if self.at_least else value <= self.bound
        sign = "≥" if self.at_least else "≤"
        return (
            f"  {self.what:38} {value:8.2f}{self.unit:4}  promised {sign} {self.bound:g}{self.unit}, "
            f"aim {self.aim:g}{self.unit}: {'kept' if kept else 'MISSED'}"
        )


RATE: Final = Promise("req/s : raw uvicorn, 64 connections", 0.65, 1.5, at_least=True)
CPU: Final = Promise("CPU per request : raw uvicorn", 1.6, 0.6)
MEMORY: Final = Promise("PSS of the whole tree, 2 workers", 150, 110, unit=" MiB")
START: Final = Promise("start to ready, 2 workers", 1.5, 0.7, unit=" s")


@dataclass(slots=True)
class Results:
    """Everything one run of the benchmark found. Rounds of both servers have the same order."""

    load: str
    cores: tuple[int, int]
    rounds: list[Measurement] = field(default_factory=list)
    pss_bytes: dict[str, int] = field(default_factory=dict)
    start_seconds: dict[str, float] = field(default_factory=dict)
    idle_cpu_share: dict[str, float] = field(default_factory=dict)

    def of(self, server: str, connections: int) -> list[Measurement]:
        return [each for each in self.rounds if (each.server, each.connections) == (server, connections)]

    def errors(self) -> int:
        return sum(each.errors for each in self.rounds)

    def as_dict(self) -> dict[str, Any]:
        return {
            "load": self.load,
            "cores": {"server": self.cores[0], "load": self.cores[1]},
            "rounds": [each.as_dict() for each in self.rounds],
            "pss_bytes": self.pss_bytes,
            "start_seconds": self.start_seconds,
            "idle_cpu_share": self.idle_cpu_share,
        }


def table(results: Results) -> str:
    """Return medians per server and number of connections, then each promise that can be judged from *results*."""
    server_core, load_core = results.cores
    lines = [f"load: {results.load}; servers on core {server_core}, load on core {load_core}; medians over rounds"]
    for connections in dict.fromkeys(each.connections for each in results.rounds):
        lines += ["", *_block(results, connections)]
    lines += ["", *_resources(results), "", *_promises(results)]
    return "\n".join(lines).rstrip() + "\n"


def _block(results: Results, connections: int) -> Iterator[str]:
    yield f"{connections} connection{'s' if connections > 1 else ''}".ljust(20) + (
        f"{'req/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU µs':>8} {'errors':>7} {'rounds':>7}"
    )
    for server in (GATEWAY, REFERENCE):
        if rounds := results.of(server, connections):
            values = [median(rounds, name) for name in ("requests_per_second", "p50_ms", "p99_ms", "cpu_us")]
            errors = sum(each.errors for each in rounds)
            yield "  {:17} {:9.0f} {:8.3f} {:8.3f} {:8.1f} {:7} {:7}".format(server, *values, errors, len(rounds))
    mine, theirs = results.of(GATEWAY, connections), results.of(REFERENCE, connections)
    if mine and theirs:
        names = ("requests_per_second", "p50_ms", "p99_ms", "cpu_us")
        yield "  {:17} {:9.2f} {:8.2f} {:8.2f} {:8.2f}".format(
            "paired ratio", *(paired_ratio(mine, theirs, name) for name in names)
        )


def _resources(results: Results) -> Iterator[str]:
    for server, size in results.pss_bytes.items():
        idle = results.idle_cpu_share.get(server)
        yield f"  {server:20} PSS {size / 2**20:6.1f} MiB   start to ready {results.start_seconds[server]:5.2f} s" + (
            f"   CPU while idle {idle:.1%} of a core" if idle is not None else ""
        )


def _promises(results: Results) -> Iterator[str]:
    mine, theirs = results.of(GATEWAY, 64), results.of(REFERENCE, 64)
    if mine and theirs:
        yield RATE.line(paired_ratio(mine, theirs, "requests_per_second"))
        yield CPU.line(paired_ratio(mine, theirs, "cpu_us"))
    if TWO_WORKERS in results.pss_bytes:
        yield MEMORY.line(results.pss_bytes[TWO_WORKERS] / 2**20)
        yield START.line(results.start_seconds[TWO_WORKERS])


TWO_WORKERS: Final = f"{GATEWAY}, 2 workers"
