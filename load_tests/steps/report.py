"""What the ladder found, as tables whose differences add up to the whole."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final

from load_tests.results import REFERENCE
from load_tests.steps.ladder import NAMES
from load_tests.steps.server import PARSER
from load_tests.steps.step import SAID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from load_tests.report import Table
    from load_tests.steps.step import Step
    from load_tests.turns import Series

BESIDE: Final = {PARSER: "beside: httptools and a constant", REFERENCE: "beside: raw uvicorn and a constant"}


def ladder(series: Series, steps: Sequence[Step]) -> Table:
    """Return a row per step, with what it adds: the differences of the medians, so that they add up to the last.

    Behind that, what it takes with all before it, in parts of what raw uvicorn takes.
    """
    rows, below = [], 0.0
    uvicorn = series.median(REFERENCE, "cpu_us")
    for step in steps:
        name = NAMES[step]
        cpu = series.median(name, "cpu_us")
        rows.append(
            (
                f"{step.key}: {SAID[step]}",
                *_cells(series, name),
                f"{cpu - below:+.1f}",
                f"{cpu / uvicorn:.2f}",
                _rows(series, name),
            )
        )
        below = cpu
    rows += [(said, *_cells(series, name), "", "", "") for name, said in BESIDE.items()]
    return ("step, with all before it", *HEAD, "rises by", "of raw uvicorn", "rows a run"), rows


def curve(found: Sequence[tuple[int, Series]], mine: str, theirs: str) -> Table:
    """Return a row per number of connections: *mine*, its rows per run, and what it takes beside *theirs*."""
    rows = [
        (
            str(connections), *_cells(series, mine), f"{series.median(theirs, 'cpu_us'):.1f}",
            f"{series.ratio(mine, theirs, 'cpu_us'):.2f}", f"{series.ratio(mine, theirs, 'requests_per_second'):.2f}",
            _rows(series, mine),
        )
        for connections, series in found
    ]  # fmt: skip
    return ("connections", *HEAD, f"µs of {theirs}", "CPU, ratio", "req/s, ratio", "rows a run"), rows


def routes(series: Series) -> Table:
    """Return a row per server, with what it takes beside the first."""
    first, *_ = series.rounds
    rows = [
        (name, *_cells(series, name), f"{series.ratio(name, first, 'cpu_us'):.2f}",
         f"{series.ratio(name, first, 'requests_per_second'):.2f}", _rows(series, name))
        for name in series.rounds
    ]  # fmt: skip
    return ("route", *HEAD, "CPU, ratio", "req/s, ratio", "rows a run"), rows


HEAD: Final = ("req/s", "p50 ms", "CPU µs", "±", "user", "system")


def _cells(series: Series, name: str) -> tuple[str, ...]:
    """Return what stands below HEAD; ± is the median distance of a round from the median."""
    cpu, system = (series.median(name, member) for member in ("cpu_us", "system_us"))
    spread = statistics.median(abs(each.cpu_us - cpu) for each in series.rounds[name])
    user = statistics.median(each.cpu_us - each.system_us for each in series.rounds[name])
    rate, p50 = series.median(name, "requests_per_second"), series.median(name, "p50_ms")
    return f"{rate:,.0f}", f"{p50:.2f}", f"{cpu:.1f}", f"{spread:.1f}", f"{user:.1f}", f"{system:.1f}"


def _rows(series: Series, name: str) -> str:
    rows = series.median(name, "rows_per_run")
    return "" if math.isnan(rows) else f"{rows:.1f}"
