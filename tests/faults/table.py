"""The table of a run: promise, fault, figure, threshold, and whether it came out as it must."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.machine import load_average, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.thresholds import Limit

    Found = Callable[[str, float, Limit], None]

HEAD: Final = ("promise", "fault", "figure", "", "threshold", "")
SEEDS: Final = "an operator's name each (R9); nothing else is drawn outside of a gateway"
"""What the runs draw from; a gateway's own draws, of who gets which version, are not seeded by anybody."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. Of a control at least one must break its limit, and none need keep it."""

    promise: str
    fault: str
    what: str
    figure: float
    limit: Limit
    is_control: bool = False

    @property
    def keeps(self) -> bool:
        """Say whether the figure is within its limit."""
        return self.limit.holds(self.figure)

    @property
    def word(self) -> str:
        """Say it in a word."""
        if self.is_control:
            return "control keeps" if self.keeps else "control fails"
        return "kept" if self.keeps else "MISSED"


class Table:
    """All rows of a run."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._load_before = load_average()

    @contextlib.contextmanager
    def promise(self, number: str, fault: str) -> Iterator[Found]:
        """Collect the figures of a promise; at the end, fail unless each is within its limit."""
        rows: list[Row] = []
        yield lambda what, figure, limit: rows.append(Row(number, fault, what, figure, limit))
        self.rows += rows
        missed = [row for row in rows if not row.keeps]
        assert rows, f"{number}, {fault}: a promise without a figure"
        assert not missed, "\n".join(map(_sentence, missed))

    @contextlib.contextmanager
    def control(self, number: str, sabotage: str) -> Iterator[Found]:
        """Collect the figures of a gateway that was broken on purpose; at the end, fail if all are within limits."""
        rows: list[Row] = []
        yield lambda what, figure, limit: rows.append(Row(number, sabotage, what, figure, limit, is_control=True))
        self.rows += rows
        assert not all(row.keeps for row in rows), f"{number}: {sabotage}, and nothing shows it: the test is blind"

    def text(self) -> str:
        """Return the table for people, the columns as wide as they must be."""
        lines = [HEAD, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def document(self) -> str:
        """Return the table as JSON, with what is to be known of the machine."""
        rows: list[dict[str, Any]] = [
            {
                "promise": row.promise, "fault": row.fault, "what": row.what, "figure": row.figure,
                "threshold": str(row.limit), "is_control": row.is_control, "keeps": row.keeps,
            }
            for row in self.rows
        ]  # fmt: skip
        return json.dumps({"machine": machine(self._load_before), "seeds": SEEDS, "rows": rows}, indent=1)


def _cells(row: Row) -> Sequence[str]:
    return row.promise, row.fault, row.what, f"{row.figure:.4g}", str(row.limit), row.word


def _sentence(row: Row) -> str:
    return f"{row.promise}, {row.fault}: {row.what}: {row.figure:.4g}, promised {row.limit}"
