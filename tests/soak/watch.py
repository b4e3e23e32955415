"""What the processes hold, sample by sample, and whether that stays flat."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from load_tests import proc
from tests.flows import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.flows.gateway_process import Gateway

TAIL = 6
"""How many samples at either end stand for it: the least of them, since what a run holds for a moment is no leak."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds: *rss* in MiB."""

    name: str
    rss: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything, *at* seconds after the beginning; *pss* in MiB, of the whole tree."""

    at: float
    held: dict[int, Held]
    series: int
    loop_lag: float
    pss: float


@dataclass(frozen=True, slots=True)
class Growth:
    """How much more a process, or the gateway, holds at the end than when the last third began."""

    what: str
    amount: float


def look(gateway: Gateway, at: float) -> Sample:
    """Return what the gateway's processes hold now; the store, whose memory is its data, is left out."""
    store = gateway.store_pid()
    members = proc.tree(gateway.pid) - {store}
    scraped = metrics.scrape(gateway)
    lag = max(scraped.get("gateway_worker_loop_lag_seconds", {}).values(), default=0.0)
    held = {pid: each for pid in sorted(members) if (each := _held(pid)) is not None}
    return Sample(at, held, sum(map(len, scraped.values())), lag, proc.pss_bytes(members) / 2**20)


def growths(samples: Sequence[Sample]) -> tuple[list[Growth], list[Growth], Growth, Growth]:
    """Return the growth over *samples* of memory and threads, per process that is in all; descriptors; series.

    Descriptors count together: a caller's connection comes to any worker.
    """
    lasting = set.intersection(*(set(sample.held) for sample in samples))
    memory, threads = [], []
    for pid in sorted(lasting):
        holds = [sample.held[pid] for sample in samples]
        name = f"{holds[0].name} {pid}"
        memory.append(Growth(name, _growth([each.rss for each in holds])))
        threads.append(Growth(name, _growth([each.threads for each in holds])))
    series = [sample.series for sample in samples]
    descriptors = [sum(sample.held[pid].descriptors for pid in lasting) for sample in samples]
    return memory, threads, Growth("descriptors", _growth(descriptors)), Growth("series", _growth(series))


def _growth(values: Sequence[float]) -> float:
    return min(values[-TAIL:]) - min(values[:TAIL])


def _held(pid: int) -> Held | None:
    """Return what a process holds, None where it has just ended or is not one of the gateway's that last."""
    try:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        )
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names, no paths
        return Held(status["Name"].strip(), int(status["VmRSS"].split()[0]) / 1024, descriptors, int(status["Threads"]))
    except (OSError, KeyError):
        return None
