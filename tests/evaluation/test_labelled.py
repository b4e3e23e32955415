"""Which rows can be evaluated on, and what is said of those that cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("pandas", reason="tables are read with the `convert` extra")

from gateway.convert.errors import CannotConvert
from gateway.evaluation import labelled
from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.labelled import read_labelled

if TYPE_CHECKING:
    from pathlib import Path


def refusal(path: Path, target: str | None = None) -> str:
    with pytest.raises((CannotEvaluate, CannotConvert)) as caught:
        read_labelled(path, target)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("a,b\n1,2\n", None, "no column that is called label or target; it has 'a', 'b'; name the"),
        ("a,b\n1,2\n", "y", "has no column 'y'; it has 'a', 'b'"),
        ("a,label,target\n1,2,3\n", None, "several columns that could be label or target"),
        ("label\n1\n", None, "has the column 'label' alone"),
        ("a,label\n1,0\n2,\n3,\n", None, "or an infinite one, in 'label', the first is row 1"),
        ("a,label\n1,yes\n2,\n", None, "1 of 2 rows of rows.csv have no label"),
        ("a,label\n1,1.5\n2,inf\n", None, "1 of 2 rows of rows.csv have no label"),
        ("a,label\n", None, "has no rows"),
        ("", None, "cannot be read as a table"),
        ("1,2\n3,4\n", None, "it has to name the columns"),
        ("a,label\n1,2,3\n4,5,6,7,8\n", None, "cannot be read as a table"),
    ],
)  # fmt: skip
def test_rows_without_a_usable_target_are_refused_with_the_place(
    text: str, target: str | None, said: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")

    assert said in refusal(tmp_path / "rows.csv", target)


def test_a_file_that_is_not_there_or_has_no_names_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((3, 2)))

    assert "cannot be read: No such file" in refusal(tmp_path / "nowhere.csv")
    assert "no column names" in refusal(tmp_path / "rows.npy")


def test_gaps_and_rows_beyond_the_bound_are_told_and_asked_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelled, "MAX_ROWS", 3)
    (tmp_path / "rows.csv").write_text("a,label\n1,x\n,y\n3,x\n4,\n", encoding="utf-8")

    found = read_labelled(tmp_path / "rows.csv", None)

    assert (found.rows, found.target.tolist(), list(found.columns)) == (3, ["x", "y", "x"], ["a"])
    assert found.notes == (
        "rows.csv has more than 3 rows; the others were not read",
        "column 'a' has 1 empty cells, asked as NaN",
    )
