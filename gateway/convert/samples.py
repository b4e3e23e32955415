"""The rows on which the original and the converted model are compared, and which name and type the inputs.

A CSV or Parquet file has named columns, each of numbers or of text; a .npy file is one matrix of numbers. Reads
no pickle: neither Parquet's object columns nor numpy's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.errors import CannotConvert, LibraryMissing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[Any]

MAX_ROWS: Final = 10_000
"""Rows that are compared. What goes beyond is not read: a proof on more takes minutes and shows little more."""

MAX_BYTES: Final = 1 << 30
MATRIX: Final = "input"
"""The name of the input that a sample without column names gives."""

SUFFIXES: Final = (".csv", ".parquet", ".npy")


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows by column: float64 [rows] or, for text, object [rows]; of a .npy file one column, float64 [rows, width].

    *as_read* holds the columns as the file has them (integers, truth values), which is what an estimator was fitted on.
    """

    columns: dict[str, Array]
    as_read: dict[str, Array]
    rows: int
    digest: str

    @property
    def is_matrix(self) -> bool:
        """Say whether the rows came without column names."""
        return any(column.ndim == 2 for column in self.columns.values())

    def only(self, names: Sequence[str]) -> Sample:
        """Return the sample with these columns, in this order. Raises CannotConvert where one is missing."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise CannotConvert(
                f"the estimator was fitted with columns that the sample has not: {_listed(missing)}; "
                f"the sample has {_listed(list(self.columns))}"
            )
        return Sample(
            {name: self.columns[name] for name in names}, {name: self.as_read[name] for name in names},
            self.rows, self.digest,
        )  # fmt: skip


def is_text(column: Array) -> bool:
    """Say whether a column of a sample holds text."""
    return column.dtype == object


def read_sample(path: Path, *, max_rows: int = MAX_ROWS) -> Sample:
    """Return the first *max_rows* rows of the file at *path*. Raises CannotConvert, LibraryMissing for pandas."""
    if path.suffix not in SUFFIXES:
        raise CannotConvert(f"{path.name} is no sample; give rows as {', '.join(SUFFIXES)}")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CannotConvert(f"{path.name} has {size} bytes and may have {MAX_BYTES}; give some of its rows")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        columns = _matrix(path, max_rows) if path.suffix == ".npy" else _table(path, max_rows)
    except OSError as exc:
        raise CannotConvert(f"{path} cannot be read: {exc.strerror or exc}") from exc
    rows = len(next(iter(columns.values()))) if columns else 0
    if rows == 0:
        raise CannotConvert(f"{path.name} has no rows; give some that the model could be asked with")
    return Sample({name: _typed(name, column) for name, column in columns.items()}, columns, rows, digest)


def _matrix(path: Path, max_rows: int) -> dict[str, Array]:
    try:
        rows = np.load(path, allow_pickle=False)
    except ValueError as exc:
        raise CannotConvert(f"{path.name} is no .npy file of numbers: {exc}") from exc
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiub":
        raise CannotConvert(f"{path.name} must hold one matrix of numbers, [rows, columns]")
    return {MATRIX: rows[:max_rows]}


def _table(path: Path, max_rows: int) -> dict[str, Array]:
    try:
        import pandas as pd
    except ImportError:
        raise LibraryMissing("pandas", "convert") from None
    try:
        frame = pd.read_csv(path, nrows=max_rows) if path.suffix == ".csv" else pd.read_parquet(path)[:max_rows]
    except ImportError:
        raise LibraryMissing("pyarrow", "parquet") from None
    except (ValueError, UnicodeDecodeError) as exc:  # pandas' own errors are ValueErrors, pyarrow's too
        raise CannotConvert(f"{path.name} cannot be read as a table: {_first_line(exc)}") from exc
    names = [str(name) for name in frame.columns]
    if names and all(_is_number(name) for name in names):
        raise CannotConvert(f"the first line of {path.name} holds numbers; it has to name the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CannotConvert(f"{path.name} has several columns called {_listed(twice)}; name each once")
    return {name: _column(frame.iloc[:, index]) for index, name in enumerate(names)}


def _column(series: Any) -> Array:
    """Return a column as numbers of its own kind, or as text; missing text is empty, since a tensor knows no other."""
    kind = getattr(series.dtype, "kind", "O")
    if kind in "biuf":
        values: Array = series.to_numpy(dtype=np.float64 if series.isna().any() else None)
        return values if values.dtype.kind in "biuf" else values.astype(np.float64)
    return np.array(
        ["" if missing else str(value) for value, missing in zip(series, series.isna(), strict=True)], object
    )


def _typed(name: str, column: Array) -> Array:
    """Return a column as the converted model takes it, before it is rounded to 32 bits."""
    if is_text(column) or column.dtype.kind in "biuf":
        return column if is_text(column) else column.astype(np.float64)
    raise CannotConvert(f"column {name!r} is of type {column.dtype}; give numbers or text")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _first_line(exc: BaseException) -> str:
    return str(exc).partition("\n")[0]
