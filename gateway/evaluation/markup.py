"""A report as one HTML page that needs nothing else: no script, no font, no picture, no address outside.

What the parts say comes escaped, but for the cells of tables, and the page forbids itself to load or run anything.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

STYLE: Final = """
body { font: 16px/1.5 sans-serif; margin: 2rem auto; max-width: %drem; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .75rem; text-align: left; white-space: nowrap; }
.wide { overflow-x: auto; }
"""


def report(title: str, parts: Iterable[str], *, width_rem: int) -> str:
    """Return the page as text: *title* above the *parts*, at most *width_rem* wide."""
    lines = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>{STYLE % width_rem}</style>\n</head>\n<body>\n<h1>{title}</h1>",
        *parts,
        "</body>\n</html>",
    ]
    return "\n".join(lines) + "\n"


def items(texts: Iterable[str]) -> list[str]:
    """Return a list of texts, escaped here."""
    return ["<ul>", *(f"<li>{escape(each)}</li>" for each in texts), "</ul>"]


def section(title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a heading and a table, whose cells are escaped here; nothing where there are no rows."""
    if not rows:
        return []
    head = "".join(f"<th>{escape(each)}</th>" for each in titles)
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return [f'<h2>{title}</h2>\n<div class="wide"><table>', f"<tr>{head}</tr>", *lines, "</table></div>"]
