"""An evaluation as JSON for scripts, and as tables for people. What is not known is null, or a dash."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gateway.evaluation.gates import SCORES

if TYPE_CHECKING:
    from gateway.evaluation.evaluation import Evaluated, Outcome
    from gateway.evaluation.uncertainty import Difference

Cells = tuple[str, ...]


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return everything that is known, as JSON has it."""
    return {
        "model": outcome.model,
        "created": outcome.created,
        "data": {"name": outcome.labelled.file, "digest": f"sha256:{outcome.labelled.digest}",
                 "target": outcome.labelled.target_name, "rows": outcome.labelled.rows},
        "seed": outcome.seed,
        "baseline": _text(outcome.baseline),
        "passed": outcome.passed,
        "notes": list(outcome.labelled.notes),
        "versions": [_version(each) for each in outcome.versions],
    }  # fmt: skip


def score_table(outcome: Outcome) -> tuple[Cells, list[Cells]]:
    """Return titles and rows: each score of each version, and how it differs from the baseline's."""
    others = outcome.versions[1:]
    titles = (
        "SCORE", *(str(each.version) for each in outcome.versions),
        *(f"{each.version} - {outcome.baseline}" for each in others),
    )  # fmt: skip
    known = [name for name in SCORES if any(name in each.scores for each in outcome.versions)]
    first = outcome.versions[0].scores
    return titles, [
        (
            name,
            *(number(each.scores.get(name, math.nan)) for each in outcome.versions),
            *(
                interval(each.differences[name]) if name in each.differences
                else signed(each.scores.get(name, math.nan) - first.get(name, math.nan))
                for each in others
            ),
        )
        for name in known
    ]  # fmt: skip


def class_table(outcome: Outcome) -> tuple[Cells, list[Cells]]:
    """Return titles and rows: precision, recall and F1 of each class; no rows for numbers."""
    return ("CLASS", "VERSION", "PRECISION", "RECALL", "F1", "ROWS"), [
        (name, str(each.version), *(number(found[score]) for score in ("precision", "recall", "f1")),
         f"{found['support']:.0f}")
        for name in sorted({name for each in outcome.versions for name in each.classes})
        for each in outcome.versions if (found := each.classes.get(name))
    ]  # fmt: skip


def gate_table(outcome: Outcome) -> tuple[Cells, list[Cells]]:
    """Return titles and rows: how each gate turned out; no rows without gates."""
    return ("VERSION", "GATE", "VALUE", "RESULT"), [
        (
            str(each.version), gate.gate, number(math.nan if gate.value is None else gate.value),
            "passed" if gate.passed else f"failed: {gate.why}" if gate.why else "failed",
        )
        for each in outcome.versions for gate in each.judged
    ]  # fmt: skip


def remarks(outcome: Outcome) -> list[str]:
    """Return sentences that belong to the tables: what is not known, and whether two classifiers differ."""
    said = list(outcome.labelled.notes)
    for each in outcome.versions:
        said += [f"version {each.version}: {note}" for note in each.notes]
        if each.disagreement is not None:
            found = each.disagreement
            said.append(
                f"version {each.version} alone is right in {found.only_version} rows, {outcome.baseline} alone in "
                f"{found.only_baseline} (McNemar's exact test: p = {found.p_value:.3g})"
            )
    return said


def number(value: float) -> str:
    """Return *value* to read; a dash where it is not known."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def signed(value: float) -> str:
    """Return a difference to read."""
    shown = number(value)
    return shown if shown.startswith("-") or value == 0 else f"+{shown}"


def interval(found: Difference) -> str:
    """Return a difference with its interval; a star where that leaves out zero."""
    if found.low is None or found.high is None:
        return signed(found.value)
    return f"{signed(found.value)} [{signed(found.low)}, {signed(found.high)}]" + (" *" if found.is_sure else "")


def _version(each: Evaluated) -> dict[str, Any]:
    asked = each.asked
    return {
        "version": str(each.version),
        "sha256": asked.sha256,
        "scores": {name: _finite(value) for name, value in each.scores.items()},
        "classes": each.classes,
        "calibration": [asdict(part) for part in each.bins],
        "timed": {"row_runs": asked.row.runs, "batch_runs": asked.batch.runs, "batch_rows": asked.batch.rows},
        "differences": {
            name: {"value": _finite(found.value), "low": found.low, "high": found.high}
            for name, found in each.differences.items()
        },
        "mcnemar": None if each.disagreement is None else asdict(each.disagreement),
        "gates": [asdict(gate) for gate in each.judged],
        "passed": each.passed if each.judged else None,
        "notes": list(each.notes),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(version: int | None) -> str | None:
    return None if version is None else str(version)
