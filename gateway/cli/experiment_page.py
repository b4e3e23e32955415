"""An experiment's report as one HTML page that needs nothing else. Names and versions are escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from gateway.cli.experiment_drawing import draw
from gateway.cli.experiment_tables import rate_table, remarks, result_table
from gateway.evaluation.markup import items, report, section

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    return report(
        title,
        [
            *items(remarks(answer)),
            f'<div class="wide">{draw(answer)}</div>',
            *section("Rates", *rate_table(answer)),
            *section("How far apart", *result_table(answer)),
            *section("Assigned by the split", titles, revisions),
        ],
        width_rem=64,
    )
