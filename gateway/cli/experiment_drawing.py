"""An experiment's report as one picture, SVG without anything from outside: intervals of both rates, and of how far
they are apart, around zero."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.experiment_tables import interval

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH: Final = 640
LEFT: Final = 150
RIGHT: Final = 470
LINE: Final = 28
TOP: Final = 30
COLOURS: Final = ("#1f6feb", "#d9480f", "#444444")


def draw(answer: Mapping[str, Any]) -> str:
    """Return the picture as SVG text."""
    parts: list[str] = []
    y = TOP
    for metric, found in answer["metrics"].items():
        parts += _metric(metric, found, [side["version"] for side in answer["versions"]], y)
        y += 5 * LINE
    height = y if parts else TOP + LINE
    if not parts:
        parts = _text(10, TOP, "no labels or rewards of both versions yet")
    size = f'width="{WIDTH}" height="{height}"'
    title = escape(f"{answer['model']}: versions {' and '.join(side['version'] for side in answer['versions'])}")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {size} font-family="sans-serif">',
        f"<title>{title}</title>", f'<rect {size} fill="white"/>', *parts, "</svg>",
    ]) + "\n"  # fmt: skip


def _metric(metric: str, found: Mapping[str, Any], versions: list[str], y: int) -> list[str]:
    """Return four lines: the name, a rate of each version on one scale, their difference on a scale of its own."""
    rates, apart = found["rates"], found["difference"]
    low, high = min(each["low"] for each in rates), max(each["high"] for each in rates)
    reach = max(abs(apart["low"]), abs(apart["high"])) or 1.0
    parts = _text(10, y, metric, size=15)
    for place, (version, rate) in enumerate(zip(versions, rates, strict=True)):
        line = y + LINE * (place + 1)
        parts += _text(10, line, f"version {version}")
        parts += _bar(rate, low, high, line, COLOURS[place])
        parts += _text(RIGHT + 12, line, interval(rate))
    line = y + LINE * 3
    middle = (LEFT + RIGHT) // 2
    parts += _text(10, line, f"{versions[1]} less {versions[0]}")
    parts.append(f'<path d="M{middle} {line - 16} V{line + 8}" stroke="#888"/>')
    parts += _bar(apart, -reach, reach, line, COLOURS[2])
    parts += _text(RIGHT + 12, line, interval(apart, sign="+"))
    return parts


def _bar(found: Mapping[str, float], low: float, high: float, y: int, colour: str) -> list[str]:
    """Return an interval and its value, on the scale from *low* to *high*."""
    span = high - low or 1.0
    start, end, value = (LEFT + (RIGHT - LEFT) * (found[each] - low) / span for each in ("low", "high", "value"))
    return [
        f'<path d="M{start:.1f} {y - 4} H{end:.1f}" stroke="{colour}" stroke-width="3"/>',
        f'<circle cx="{value:.1f}" cy="{y - 4}" r="4" fill="{colour}"/>',
    ]


def _text(x: int, y: int, text: str, size: int = 12) -> list[str]:
    return [f'<text x="{x}" y="{y}" font-size="{size}">{escape(text)}</text>']
