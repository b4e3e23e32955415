"""How ``gateway top`` looks: values in, lines of text out. Knows no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli import usage
from gateway.cli.output import columns, plain
from gateway.cli.rollouts import live, phase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TITLES: Final = (
    "MODEL",
    "VERSION",
    "STATE",
    "SHARE",
    "REQ/S",
    "ERR/S",
    "ERRORS",
    "P50",
    "P95",
    "P99",
    "ROWS/S",
    "CPU",
    "MEMORY",
)
HELP: Final = "q quits, j and k scroll; latencies are since a version was loaded"


def body(shown: Mapping[str, Any]) -> list[str]:
    """Return the table, one line per version, each model's rollout below its versions."""
    rows = [
        (model["name"] if index == 0 else " ", *_cells(version))
        for model in shown["models"]
        for index, version in enumerate(model["versions"])
    ]
    titles, *lines = columns(TITLES, rows)
    found, rest = [titles], iter(lines)
    for model in shown["models"]:
        found += [next(rest) for _ in model["versions"]]
        if model["rollout"]:
            found += [f"  {line}" for line in rollout_lines(model["rollout"])]
    return found


def _cells(version: Mapping[str, Any]) -> tuple[str, ...]:
    rate, errors = version["requests_per_second"], version["errors_per_second"]
    latency = version["latency_seconds"]
    return (
        version["version"],
        version["state"],
        f"{100 * version['share']:.4g} %",
        "-" if rate is None else f"{rate:.1f}",
        "-" if errors is None else f"{errors:.1f}",
        f"{100 * errors / rate:.2f} %" if rate else "-",
        *(milliseconds(latency.get(name)) for name in ("p50", "p95", "p99")),
        *usage.live(version),
    )


def rollout_lines(rollout: Mapping[str, Any]) -> list[str]:
    """Return where a rollout stands, and per candidate each guard's e-value against what it rolls back at."""
    against = f"version {live(rollout)} against {rollout['baseline']}"
    left = f", {rollout['seconds_left']:.0f} s left" if rollout["seconds_left"] is not None else ""
    where = plain(f"rollout of {against}: {phase(rollout)}{left}, {rollout['verdict']}")
    if rollout["is_over"]:
        return [where]
    found = {version: _e_values(guards) for version, guards in rollout["guards"].items()}
    return [
        where,
        *(
            plain(f"e-values{f' of version {version}' if len(found) > 1 else ''}: {', '.join(values)}")
            for version, values in found.items()
            if values
        ),
    ]


def _e_values(guards: Mapping[str, Any]) -> list[str]:
    return [
        f"{guard} {values['e_value']:.3g} of {values['threshold']:.4g}"
        for guard, values in guards.items()
        if values["threshold"] is not None
    ]


def milliseconds(seconds: float | None) -> str:
    """Return a latency with three digits, in ms."""
    return "-" if seconds is None else f"{seconds * 1000:.3g} ms"


def page(lines: Sequence[str], head: str, width: int, height: int, offset: int) -> tuple[list[str], int]:
    """Return what fits on a screen of *width* and *height* cells, and the *offset* that was possible.

    The first line is *head*, the second the titles, the last how to leave; between them as many *lines* from
    *offset* on as there is room for.
    """
    room = max(height - 3, 0)
    titles, rows = lines[0], lines[1:]
    offset = max(0, min(offset, len(rows) - room))
    hidden = len(rows) - room
    foot = f"{HELP}; {offset} lines above, {hidden - offset} below" if hidden > 0 else HELP
    whole = [head, titles, *rows[offset : offset + room]]
    whole += [""] * (height - 1 - len(whole)) + [foot]
    return [line[:width] for line in whole[:height]], offset
