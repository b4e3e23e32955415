"""An evaluation as one picture, SVG without anything from outside.

Left: of classifiers, how often they are right where they are how sure (on the line, a share of 0.8 means eight in ten);
of regressors, what was said over what is right. Right: how each score differs from the baseline's, with its interval.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.evaluation.document import interval
from gateway.evaluation.predictions import Numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.evaluation.evaluation import Evaluated, Outcome
    from gateway.evaluation.uncertainty import Difference

SIDE: Final = 300
LEFT, TOP, GAP, WIDE = 60, 50, 60, 500
LINE: Final = 24
COLOURS: Final = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#5c4b00", "#0b7285")
MAX_POINTS: Final = 400
"""Of regressors' rows, how many are drawn: evenly spaced ones."""


def draw(outcome: Outcome) -> str:
    """Return the picture as SVG text."""
    rows = [(each, name, found) for each in outcome.versions[1:] for name, found in each.differences.items()]
    height = TOP + max(SIDE + 40, LINE * (len(rows) + 2)) + LINE * len(outcome.versions)
    width = LEFT + SIDE + (GAP + WIDE if rows else 20)
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size} font-family="sans-serif">',
        f"<title>{escape(outcome.model)}: {outcome.labelled.rows} rows of {escape(outcome.labelled.file)}</title>",
        f'<rect {size} fill="white"/>',
        *_left(outcome.versions),
        *(_right(rows, outcome.versions) if rows else ()),
        *_legend(outcome.versions, height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _left(versions: Sequence[Evaluated]) -> list[str]:
    """Return the reliability curves, or the points of numbers, in a square with its diagonal."""
    is_numbers = isinstance(versions[0].predictions, Numbers)
    curves = [_points(each) for each in versions]
    every = [value for curve in curves for point in curve for value in point]
    low, high = (min(every), max(every)) if is_numbers and every else (0.0, 1.0)
    span = high - low or 1.0
    title = "said over right" if is_numbers else "right, over how sure" if every else "no probabilities to draw"
    parts = [
        f'<text x="{LEFT}" y="{TOP - 20}" font-size="14">{title}</text>',
        f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
        f'<path d="M{LEFT} {TOP + SIDE} L{LEFT + SIDE} {TOP}" stroke="#bbb" stroke-dasharray="4 4"/>',
        *_text(LEFT, TOP + SIDE + 16, f"{low:.3g}", "middle"),
        *_text(LEFT + SIDE, TOP + SIDE + 16, f"{high:.3g}", "middle"),
        *_text(LEFT - 6, TOP + SIDE, f"{low:.3g}", "end"),
        *_text(LEFT - 6, TOP + 6, f"{high:.3g}", "end"),
    ]
    for place, curve in enumerate(curves):
        at = [(LEFT + SIDE * (x - low) / span, TOP + SIDE * (1 - (y - low) / span)) for x, y in curve]
        if not is_numbers and at:
            line = " L".join(f"{x:.1f} {y:.1f}" for x, y in at)
            parts.append(f'<path d="M{line}" fill="none" stroke="{_colour(place)}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_colour(place)}"/>' for x, y in at]
    return parts


def _points(each: Evaluated) -> list[tuple[float, float]]:
    found = each.predictions
    if not isinstance(found, Numbers):
        return [(part.confidence, part.accuracy) for part in each.bins]
    picked = np.unique(np.linspace(0, len(found.right) - 1, MAX_POINTS).astype(int))
    return [(float(found.right[row]), float(found.said[row])) for row in picked]


def _right(rows: Sequence[tuple[Evaluated, str, Difference]], versions: Sequence[Evaluated]) -> list[str]:
    """Return one line per difference: its interval, each drawn to a scale of its own, around zero."""
    start = LEFT + SIDE + GAP
    middle = start + 190
    end = TOP + LINE * len(rows)
    parts = [
        f'<text x="{start}" y="{TOP - 20}" font-size="14">difference from version {versions[0].version}, 95 %</text>',
        f'<path d="M{middle} {TOP - 6} V{end}" stroke="#888"/>',
    ]
    for place, (each, name, found) in enumerate(rows):
        y = TOP + LINE * place + 10
        parts += _text(start, y + 4, name, "start")
        parts += _bar(found, middle, y, _colour(versions.index(each)))
        parts += _text(middle + 62, y + 4, interval(found), "start")
    return parts


def _bar(found: Difference, middle: int, y: int, colour: str) -> list[str]:
    if found.low is None or found.high is None:
        return []
    most = max(abs(found.low), abs(found.high), abs(found.value)) or 1.0
    low, high, value = (middle + 56 * each / most for each in (found.low, found.high, found.value))
    return [
        f'<path d="M{low:.1f} {y} H{high:.1f}" stroke="{colour}" stroke-width="3"/>',
        f'<circle cx="{value:.1f}" cy="{y}" r="4" fill="{colour}"/>',
    ]


def _legend(versions: Sequence[Evaluated], height: int) -> list[str]:
    parts = []
    for place, each in enumerate(versions):
        y = height - LINE * (len(versions) - place) + 10
        parts.append(f'<circle cx="{LEFT}" cy="{y - 4}" r="5" fill="{_colour(place)}"/>')
        parts += _text(LEFT + 12, y, f"version {each.version}", "start")
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> list[str]:
    return [f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="12">{escape(text)}</text>']


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
