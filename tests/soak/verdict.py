"""What a soak is judged by: its figures, each beside what is promised, as a table and as JSON."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.machine import machine
from tests.soak import thresholds
from tests.soak.faults import HEAVY
from tests.soak.watch import growths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.soak.ledger import Ledger, Window
    from tests.soak.series import SeriesBook
    from tests.soak.watch import Sample

LABELS: Final = "feedback"
SHOWN: Final = 20
"""Failures, and series of a kind, that are printed; the JSON has all of them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: *most* is what is promised at most, None where the figure is shown and not judged."""

    what: str
    value: float
    most: float | None = None

    def is_kept(self) -> bool:
        """Say whether the promise was kept; what is not judged is."""
        return self.most is None or self.value <= self.most

    def row(self) -> str:
        """Return it as a row of a table in Markdown."""
        promised = "recorded" if self.most is None else f"≤ {self.most:g}"
        held = "" if self.most is None else "kept" if self.is_kept() else "**missed**"
        return f"| {self.what} | {self.value:,.4g} | {promised} | {held} |"


@dataclass(frozen=True, slots=True)
class Phases:
    """When, in seconds from the beginning, nothing replaces a worker any more, and when the last third begins."""

    half: float
    last_third: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run saw: what became of its requests, what the processes held, which series there were. *turned*: when
    every fault had had its turn, infinite where the run was too short; *seed*: of what it drew."""

    ledger: Ledger
    samples: Sequence[Sample]
    series: SeriesBook
    phases: Phases
    turned: float
    seed: int

    @property
    def series_since(self) -> float:
        """From when on every series has been seen before."""
        return max(self.phases.last_third, self.turned)


def figures(seen: Seen) -> list[Figure]:
    """Return what came of the promises."""
    settled = [sample for sample in seen.samples if sample.at >= seen.phases.last_third]
    return [
        *_failures(seen.ledger),
        *_speed(seen.ledger.windows, seen.samples, seen.phases),
        *_growth(settled),
        *_series(seen.series, seen.series_since),
    ]


def _failures(ledger: Ledger) -> list[Figure]:
    streams = [each.stream for each in ledger.unexplained]
    labels, faults = streams.count(LABELS), sum(stream not in ledger.sent for stream in streams)
    return [
        Figure("requests", ledger.sent.total()),
        Figure("failures that a fault had announced", ledger.explained.total()),
        *(Figure(f"of these: {what}", many) for what, many in sorted(ledger.explained.items())),
        Figure("labels sent again after a 503", ledger.sent_again),
        Figure("other failures of an inference", len(streams) - labels - faults, thresholds.UNEXPLAINED_FAILURES),
        Figure("other failures of a label", labels, thresholds.UNEXPLAINED_FAILURES),
        Figure("faults that the gateway did not get over in time", faults, thresholds.UNEXPLAINED_FAILURES),
    ]


def _speed(windows: Sequence[Window], samples: Sequence[Sample], phases: Phases) -> list[Figure]:
    """Return how fast it was; compared is what both saw the same faults, none of which replaces a worker."""
    before = [each for each in windows if phases.half <= each.at < phases.last_third]
    after = [each for each in windows if each.at >= phases.last_third]
    lags = sorted(sample.loop_lag * 1000 for sample in samples)
    if not (before and after and lags):
        return []
    was, became = (statistics.median(each.p99_ms for each in some) for some in (before, after))
    return [
        Figure("p50, ms (median of windows of 10 s)", statistics.median(each.p50_ms for each in windows)),
        Figure("p99, ms (the same)", statistics.median(each.p99_ms for each in windows)),
        Figure("p99 grows in the last third by, ms", became - was, thresholds.P99_GROWS_MS),
        Figure("loop lag of the slowest worker, median, ms", statistics.median(lags), thresholds.LAG_MS),
        Figure("loop lag of the slowest worker, p99, ms", lags[int(len(lags) * 0.99)], thresholds.LAG_P99_MS),
    ]


def _growth(settled: Sequence[Sample]) -> list[Figure]:
    """Return what the processes hold more at the end than when the last third began."""
    grown = growths(settled)
    return [
        *(Figure(f"MiB more, {each.what}", each.amount, thresholds.GROWTH_MIB) for each in grown.memory),
        *(Figure(f"MiB more with pages of files, {each.what}", each.amount) for each in grown.resident),
        *(Figure(f"threads more, {each.what}", each.amount, thresholds.THREADS) for each in grown.threads),
        Figure("descriptors more, all processes", grown.descriptors, thresholds.DESCRIPTORS),
    ]


def _series(book: SeriesBook, since: float) -> list[Figure]:
    """Return what came of the series; where not every fault had its turn nothing can be said of those that begin."""
    judged = thresholds.SERIES if math.isfinite(since) else None
    return [
        Figure("series that began late and stayed", len(book.added(since)), judged),
        Figure("series that began late and went, or came last", len(book.passing(since))),
        Figure("series that ended before", len(book.removed(since))),
        Figure("series that came and went", len(book.came_and_went())),
        Figure("counters that vanished", len(_vanished(book)), thresholds.VANISHED_COUNTERS),
    ]


def _vanished(book: SeriesBook) -> list[str]:
    return book.vanished_counters(f'model="{HEAVY}"')


def judge(seen: Seen, load_before: float, into: Path) -> int:
    """Print what was promised and what came of it, write it to *into*, and return the exit code."""
    found = figures(seen)
    where = machine(load_before)
    print("\nsent", dict(seen.ledger.sent), "\nseed", seen.seed, "\nmachine", where)
    for failure in seen.ledger.unexplained[:SHOWN]:
        print(f"UNEXPLAINED at {failure.at:.1f} s, {failure.stream}: {failure.text}")
    _print_series(seen.series, seen.series_since)
    print("\n| figure | is | promised | |\n|---|--:|--:|---|")
    for each in found:
        print(each.row())
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(json.dumps(_document(seen, found, where), indent=1))
    print(f"\nall of it is in {into}")
    return 0 if all(each.is_kept() for each in found) else 1


def _print_series(book: SeriesBook, since: float) -> None:
    """Name the series that were not there from first to last."""
    kinds = {
        "began late and stayed": book.added(since), "began late and went": book.passing(since),
        "ended": book.removed(since), "came and went": book.came_and_went(), "COUNTERS THAT VANISHED": _vanished(book),
    }  # fmt: skip
    for kind, names in kinds.items():
        for name in names[:SHOWN]:
            life = book.lives[name]
            print(f"series, {kind}: {name} from {life.first:.0f} to {life.last:.0f} s, missing at {life.missing} looks")
        if len(names) > SHOWN:
            print(f"series, {kind}: and {len(names) - SHOWN} more")


def _document(seen: Seen, found: list[Figure], where: dict[str, Any]) -> dict[str, Any]:
    ledger = seen.ledger
    return {
        "machine": where,
        "seed": seen.seed,
        "sent": ledger.sent,
        "explained": ledger.explained,
        "unexplained": [asdict(each) for each in ledger.unexplained],
        "figures": [{**asdict(each), "kept": each.is_kept()} for each in found],
        "series": seen.series.document(seen.series_since),
        "windows": [asdict(each) for each in ledger.windows],
        "samples": [asdict(each) for each in seen.samples],
    }
