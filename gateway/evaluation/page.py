"""An evaluation as one HTML page that needs nothing else. Whatever came from a file or a model is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from gateway.evaluation.document import class_table, gate_table, remarks, score_table
from gateway.evaluation.drawing import draw
from gateway.evaluation.markup import items, report, section

if TYPE_CHECKING:
    from gateway.evaluation.evaluation import Outcome


def page(outcome: Outcome) -> str:
    """Return the page as text."""
    name, when, rows = escape(outcome.model), escape(outcome.created), outcome.labelled
    said = f"{rows.rows} rows of {escape(rows.file)} ({rows.digest}), target {escape(rows.target_name)}, {when};"
    return report(
        f"Evaluation of {name}",
        [
            f"<p>{said}",
            "intervals hold the true difference with 95 %; a star marks one without zero.</p>",
            *section("Gates", *gate_table(outcome)),
            *section("Scores", *score_table(outcome)),
            *items(remarks(outcome)),
            f'<div class="wide">{draw(outcome)}</div>',
            *section("Classes", *class_table(outcome)),
        ],
        width_rem=60,
    )
