"""Rows whose answers are known: a table of which one column, the target, says what is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.samples import is_text, read_sample
from gateway.evaluation.errors import CannotEvaluate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

MAX_ROWS: Final = 100_000
"""Rows that are read. At this many an accuracy is known to 0.3 percentage points or better."""

TARGETS: Final = ("label", "target")
"""Columns that are the target where nobody names one."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """*columns* are what versions are asked, [rows] each; *target* [rows] is as the file has it, without gaps."""

    columns: dict[str, Array]
    target: Array
    target_name: str
    file: str
    rows: int
    digest: str
    notes: tuple[str, ...]


def read_labelled(path: Path, target: str | None) -> Labelled:
    """Return the first MAX_ROWS rows of the table at *path*. Raises CannotEvaluate, and what `read_sample` raises.

    *target* names the column that says what is right; None takes the one that is called as one of TARGETS.
    """
    sample = read_sample(path, max_rows=MAX_ROWS + 1)
    if sample.is_matrix:
        raise CannotEvaluate(f"{path.name} has no column names, so none is the target; give .csv or .parquet")
    name = _target(path.name, list(sample.columns), target)
    columns = {each: column[:MAX_ROWS] for each, column in sample.columns.items() if each != name}
    if not columns:
        raise CannotEvaluate(f"{path.name} has the column {name!r} alone; give the columns that versions are asked too")
    known = sample.as_read[name][:MAX_ROWS]
    _refuse_gaps(path.name, name, known)
    notes = [f"{path.name} has more than {MAX_ROWS} rows; the others were not read"] if sample.rows > MAX_ROWS else []
    notes += _gaps_in(columns)
    return Labelled(columns, known, name, path.name, len(known), sample.digest, tuple(notes))


def _target(file: str, names: list[str], wanted: str | None) -> str:
    found = [name for name in names if name == wanted or (wanted is None and name in TARGETS)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(map(repr, names[:10])) + (" …" if len(names) > 10 else "")
    if wanted is not None:
        raise CannotEvaluate(f"{file} has no column {wanted!r}; it has {listed}; name the target with --target")
    which = "several columns that could be" if found else "no column that is called"
    raise CannotEvaluate(f"{file} has {which} {' or '.join(TARGETS)}; it has {listed}; name the target with --target")


def _refuse_gaps(file: str, name: str, known: Array) -> None:
    """Refuse rows without a label, and labels that are no numbers."""
    is_missing = known == "" if is_text(known) else ~np.isfinite(known.astype(np.float64))
    missing = np.flatnonzero(is_missing)
    if len(missing):
        raise CannotEvaluate(
            f"{len(missing)} of {len(known)} rows of {file} have no label, or an infinite one, in {name!r}, the first "
            f"is row {missing[0]} (from 0); fill them in, or leave those rows out"
        )


def _gaps_in(columns: dict[str, Array]) -> list[str]:
    found = {name: int(np.isnan(column).sum()) for name, column in columns.items() if not is_text(column)}
    return [f"column {name!r} has {count} empty cells, asked as NaN" for name, count in found.items() if count][:10]
