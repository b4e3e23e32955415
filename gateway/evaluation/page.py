"""An evaluation as one HTML page that needs nothing else: no script, no font, no picture, no address outside.

Whatever came from a file or a model is escaped, and the page forbids itself to load or run anything.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from gateway.evaluation.document import class_table, gate_table, remarks, score_table
from gateway.evaluation.drawing import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.evaluation.evaluation import Outcome

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE: Final = """
body { font: 16px/1.5 sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .75rem; text-align: left; white-space: nowrap; }
.wide { overflow-x: auto; }
"""


def page(outcome: Outcome) -> str:
    """Return the page as text."""
    name, when, rows = escape(outcome.model), escape(outcome.created), outcome.labelled
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Evaluation of {name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>Evaluation of {name}</h1>",
        f"<p>{rows.rows} rows of {escape(rows.file)} ({rows.digest}), target {escape(rows.target_name)}, {when};",
        "intervals hold the true difference with 95 %; a star marks one without zero.</p>",
        *_section("Gates", *gate_table(outcome)),
        *_section("Scores", *score_table(outcome)),
        "<ul>", *(f"<li>{escape(each)}</li>" for each in remarks(outcome)), "</ul>",
        f'<div class="wide">{draw(outcome)}</div>',
        *_section("Classes", *class_table(outcome)),
        "</body>\n</html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _section(title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a heading and a table, nothing where there are no rows."""
    if not rows:
        return []
    head = "".join(f"<th>{escape(each)}</th>" for each in titles)
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return [f'<h2>{title}</h2>\n<div class="wide"><table>', f"<tr>{head}</tr>", *lines, "</table></div>"]
