"""What the benchmark found, as text for people and as Markdown for the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from load_tests.verdicts import PROMISES, Verdict, measured, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from load_tests.results import Results
    from load_tests.turns import Series

COLUMNS: Final = {"requests_per_second": "req/s", "cpu_us": "CPU µs", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""A head, and rows of as many cells."""


def text(results: Results) -> str:
    """Return everything for a terminal: ratios and promises first, latencies at fixed rates last."""
    blocks = [about(results), *(f"{title}\n{aligned(*table)}" for title, table in tables(results))]
    return "\n\n".join(blocks) + "\n"


def markdown(results: Results) -> str:
    """Return everything as tables of Markdown, to be pasted."""
    blocks = [about(results), *(f"{title}:\n\n{piped(*table)}" for title, table in tables(results))]
    return "\n\n".join(blocks) + "\n"


def about(results: Results) -> str:
    """Return how it was measured."""
    server_core, load_core = results.cores
    return f"Load by {results.load}; servers on core {server_core}, load on core {load_core}; medians, ratios of pairs."


def tables(results: Results) -> Iterator[tuple[str, Table]]:
    """Yield what there is to show, each with its title."""
    if results.findings:
        yield "Promises", _promises(results)
    for series in results.series:
        yield series.title, _series(series)
    if results.resources:
        yield "What they take", _resources(results)
    if results.curve:
        yield "Rows at a fixed rate, each another one, latency since it was due", _curve(results)


def _promises(results: Results) -> Table:
    rows: list[tuple[str, ...]] = []
    for promise in PROMISES:
        if (finding := results.findings.get(promise.key)) is None:
            continue
        judged = verdict(promise, finding)
        separator = ": " if judged is Verdict.NOT_MEASURED else "; "
        said = f"{judged}{separator}{finding.note}" if finding.note else str(judged)
        rows.append((promise.what, promise.shown_floor(), promise.shown_aim(), measured(promise, finding), said))
    return ("promise", "floor", "aim", "measured", ""), rows


def _series(series: Series) -> Table:
    mine, *others = series.rounds
    rows: list[tuple[str, ...]] = [
        (name, *(f"{series.median(name, member):.4g}" for member in COLUMNS), str(series.errors(name)))
        for name in series.rounds
    ]
    rows += [(f"{mine} : {name}", *(f"{series.ratio(mine, name, member):.3g}" for member in COLUMNS), "")
             for name in others]  # fmt: skip
    return ("", *COLUMNS.values(), "errors"), rows


def _resources(results: Results) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, took in results.resources.items():
        idle = "" if took.idle_cpu_share is None else f"{took.idle_cpu_share:.1%}"
        rows.append((name, f"{took.pss_bytes / 2**20:.1f}", f"{took.start_seconds:.2f}", idle))
    return ("", "PSS MiB", "s to ready", "of a core while idle"), rows


def _curve(results: Results) -> Table:
    rows = [
        (point.server, f"{point.rate:g}", str(point.answered), str(point.faults),
         *(f"{value:.2f}" for value in (point.p50_ms, point.p99_ms, point.p999_ms)))
        for point in results.curve
    ]  # fmt: skip
    return ("", "req/s", "answered", "faults", "p50 ms", "p99 ms", "p99.9 ms"), rows


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with columns as wide as their widest cell: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        middle = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        lines.append("  " + "  ".join([row[0].ljust(widths[0]), *middle, row[-1]]).rstrip())
    return "\n".join(lines)


def piped(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("--:" for _ in head[1:-1]), "---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
