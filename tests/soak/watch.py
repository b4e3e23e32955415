"""What the processes hold, sample by sample, and whether that stays flat."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from load_tests import proc
from tests.flows import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.flows.gateway_process import Gateway
    from tests.soak.series import SeriesBook

TAIL = 12
"""How many samples at either end stand for it: the least of them, since what a run holds for a moment is no leak. They
span a turn of the rota and more: a version that is refused has freed memory given back, 2.7 MiB of a worker that loads
64 MiB at another place in the turn, and which of both came last is no growth."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds, in MiB: *anonymous* is backed by no file, *rss* is that and the pages of files."""

    name: str
    anonymous: float
    rss: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything, *at* seconds after the beginning; *series*: how many; *pss* in MiB, of the whole tree."""

    at: float
    held: dict[int, Held]
    series: int
    loop_lag: float
    pss: float


@dataclass(frozen=True, slots=True)
class Growth:
    """How much more a process holds at the end than when the last third began."""

    what: str
    amount: float


@dataclass(frozen=True, slots=True)
class Growths:
    """The same of all that is looked at: *memory* and *resident* (with pages of files) in MiB, *threads*, by process;
    *descriptors* together, since a caller's connection comes to any worker."""

    memory: list[Growth]
    resident: list[Growth]
    threads: list[Growth]
    descriptors: float


def look(gateway: Gateway, at: float, series: SeriesBook) -> Sample:
    """Return what the gateway's processes hold now, and note its *series*; the store, whose memory is its data, is left
    out."""
    store = gateway.store_pid()
    members = proc.tree(gateway.pid) - {store}
    scraped = metrics.scrape(gateway)
    lag = max(scraped.get("gateway_worker_loop_lag_seconds", {}).values(), default=0.0)
    held = {pid: each for pid in sorted(members) if (each := _held(pid)) is not None}
    names = [_name(metric, labels) for metric, found in scraped.items() for labels in found]
    series.note(at, names)
    return Sample(at, held, len(names), lag, proc.pss_bytes(members) / 2**20)


def growths(samples: Sequence[Sample]) -> Growths:
    """Return the growth over *samples*, which are some, of the processes that are in all of them."""
    lasting = sorted(set.intersection(*(set(sample.held) for sample in samples)))

    def each(amount: Callable[[Held], float]) -> list[Growth]:
        return [
            Growth(f"{samples[0].held[pid].name} {pid}", _growth([amount(sample.held[pid]) for sample in samples]))
            for pid in lasting
        ]

    return Growths(
        each(lambda held: held.anonymous),
        each(lambda held: held.rss),
        each(lambda held: held.threads),
        _growth([sum(sample.held[pid].descriptors for pid in lasting) for sample in samples]),
    )


def _name(metric: str, labels: Iterable[tuple[str, str]]) -> str:
    shown = ",".join(f'{name}="{value}"' for name, value in labels)
    return f"{metric}{{{shown}}}"


def _growth(values: Sequence[float]) -> float:
    return min(values[-TAIL:]) - min(values[:TAIL])


def _held(pid: int) -> Held | None:
    """Return what a process holds, None where it has just ended or is not one of the gateway's that last."""
    try:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        )
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names, no paths
        anonymous, rss = (int(status[name].split()[0]) / 1024 for name in ("RssAnon", "VmRSS"))
        return Held(status["Name"].strip(), anonymous, rss, descriptors, int(status["Threads"]))
    except (OSError, KeyError):
        return None
