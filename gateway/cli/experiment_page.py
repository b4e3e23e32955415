"""An experiment's report as one HTML page that needs nothing else: no script, no font, no picture, no address outside.

Names and versions are escaped, and the page forbids itself to load or run anything.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.experiment_drawing import draw
from gateway.cli.experiment_tables import rate_table, remarks, result_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

STYLE: Final = """
body { font: 16px/1.5 sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .75rem; text-align: left; white-space: nowrap; }
.wide { overflow-x: auto; }
"""


def page(answer: Mapping[str, Any]) -> str:
    """Return the page as text."""
    versions = " and ".join(side["version"] for side in answer["versions"])
    title = escape(f"{answer['model']}, versions {versions}")
    fair = answer["assignment"]
    titles = ("REVISION", "ANSWERS OF THE FIRST", "OF THE SECOND", "DUE SHARE OF THE SECOND")
    revisions = [
        (str(each["revision"]), *map(str, each["answers"]), f"{each['due_share']:.4f}")
        for each in (fair["revisions"] if fair else ())
    ]
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>",
        "<ul>", *(f"<li>{escape(each)}</li>" for each in remarks(answer)), "</ul>",
        f'<div class="wide">{draw(answer)}</div>',
        *_section("Rates", *rate_table(answer)),
        *_section("How far apart", *result_table(answer)),
        *_section("Assigned by the split", titles, revisions),
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
