"""The learning demo as one picture, SVG without anything from outside: accuracy, shares and moments over time."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from gateway.cli.demo_labelled import mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cli.demo_labelled import Answered
    from gateway.cli.demo_stage import Look, Moment

WIDTH: Final = 960
LEFT, RIGHT = 60, 930
TOP, BOTTOM = 30, 250
SHARES_TOP, SHARES_BOTTOM = 275, 325
NOTES_TOP: Final = 372
NOTE_LINE: Final = 17
NOTE_CHARACTERS: Final = 145
OVER: Final = 100
"""Answers over which each point of a curve is taken."""
POINTS: Final = 400
COLOURS: Final = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#c2255c")
LABELS_COLOUR: Final = "#999"


def draw(answered: Sequence[Answered], looks: Sequence[Look], moments: Sequence[Moment]) -> str:
    """Return the picture as SVG text."""
    told = [each for each in moments if each.kind != "act"]
    end = max([1.0, *(each.at for each in looks)])
    height = NOTES_TOP + NOTE_LINE * len(told)
    parts = [*_axes(end), *_shares(looks, end)]
    parts += _curve(
        [(each.at, each.confirmed) for each in answered], end, f'stroke="{LABELS_COLOUR}" stroke-dasharray="4 3"'
    )
    parts += _curve([(each.at, each.right) for each in answered], end, 'stroke="black" stroke-width="2"')
    for number, moment in enumerate(told, 1):
        parts += _moment(number, moment, end)
    size = f'width="{WIDTH}" height="{height}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {size} font-family="sans-serif">',
        "<title>Accuracy of what callers were answered, over time</title>",
        f'<rect {size} fill="white"/>', *parts, "</svg>",
    ]) + "\n"  # fmt: skip


def _axes(end: float) -> list[str]:
    parts = _text(
        LEFT, 18, f"right answers of the last {OVER}, by what is true (line) and by what labels said (dashes)"
    )
    for percent in (0, 25, 50, 75, 100):
        y = _height(percent / 100)
        parts.append(f'<path d="M{LEFT} {y:.1f} H{RIGHT}" stroke="#ddd"/>')
        parts += _text(14, y + 4, f"{percent} %")
    parts += _text(14, SHARES_TOP + 30, "shares")
    parts += _text(LEFT, SHARES_BOTTOM + 16, "0 s")
    return parts + _text(RIGHT - 30, SHARES_BOTTOM + 16, f"{end:.0f} s")


def _curve(found: Sequence[tuple[float, bool]], end: float, style: str) -> list[str]:
    """Return the mean of the last OVER of *found*, pairs of when and whether, at POINTS places at most."""
    every = max(1, len(found) // POINTS)
    points = [
        f"{_place(found[last - 1][0], end):.1f},{_height(mean([is_so for _, is_so in found[last - OVER : last]])):.1f}"
        for last in range(OVER, len(found) + 1, every)
    ]
    return [f'<polyline points="{" ".join(points)}" fill="none" {style}/>'] if points else []


def _shares(looks: Sequence[Look], end: float) -> list[str]:
    """Return a bar over time, divided as the split was, in a colour for each version."""
    parts: list[str] = []
    changes = [look for n, look in enumerate(looks) if not n or look.split != looks[n - 1].split]
    untils = [*(look.at for look in changes[1:]), end][: len(changes)]
    for look, until in zip(changes, untils, strict=True):
        top, total = float(SHARES_TOP), sum(look.split.values())
        for version, weight in look.split.items():
            height = (SHARES_BOTTOM - SHARES_TOP) * weight / total
            x = _place(look.at if look is not looks[0] else 0, end)
            width = _place(until, end) - x
            parts.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{_colour(version)}"/>'
            )
            top += height
    return parts + _legend(looks)


def _legend(looks: Sequence[Look]) -> list[str]:
    versions = sorted({version for look in looks for version in look.split}, key=int)
    parts: list[str] = []
    for place, version in enumerate(versions):
        x = LEFT + 60 + place * 90
        parts.append(f'<rect x="{x}" y="{SHARES_BOTTOM + 6}" width="12" height="12" fill="{_colour(version)}"/>')
        parts += _text(x + 17, SHARES_BOTTOM + 16, f"version {version}")
    return parts


def _moment(number: int, moment: Moment, end: float) -> list[str]:
    x = _place(moment.at, end)
    text = f"{number}  {moment.at:.1f} s  {moment.kind}: {moment.text}"
    return [
        f'<path d="M{x:.1f} {TOP} V{SHARES_BOTTOM}" stroke="#555" stroke-dasharray="2 3"/>',
        *_text(x + 2, TOP + 10 + (number - 1) % 4 * 13, str(number)),
        *_text(LEFT, NOTES_TOP + NOTE_LINE * (number - 1), _short(text)),
    ]


def _short(text: str) -> str:
    return text if len(text) <= NOTE_CHARACTERS else text[: NOTE_CHARACTERS - 2] + " …"


def _place(at: float, end: float) -> float:
    return LEFT + (RIGHT - LEFT) * at / end


def _height(share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * share


def _colour(version: str) -> str:
    return COLOURS[(int(version) - 1) % len(COLOURS)]


def _text(x: float, y: float, text: str) -> list[str]:
    return [f'<text x="{x:.1f}" y="{y:.1f}" font-size="12">{escape(text)}</text>']
