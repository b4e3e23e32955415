"""Whether what a version is asked, and what it answers, still looks like its reference.

Two questions with two answers. How large is the difference? The population stability index of the last rows. Is it
more than chance? A detector that may be looked at after every batch of counts, for ever: for each bin and a few
alternatives it multiplies the likelihood ratio of "the bin has this share" to "it has at most its bound", from anew
where that falls below 1. The mean over them is an e-detector, so under the null the chance of ever reaching L within n
looks is at most n/L. Source: Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", New England Journal of Statistics in Data Science 2(2), 2024, arXiv:2203.03532.

The null is not "nothing moved": a bin may have TOLERATED more than in the reference, and what the reference, being
a sample, does not know. Rows are one of each request, so that requests are what is counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Any, Final

from gateway.core.reference import NO_TOKENS, PREDICTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.reference import Column, Reference

TOLERATED: Final = 0.05
"""So much more than its share in the reference, a fraction of one, every bin may have."""
DEVIATIONS: Final = 3.0
"""And so many standard errors of that share."""
LARGEST_BOUND: Final = 0.95
"""A bin that may have more is not looked at: it can only lose rows, to bins that are."""
ALTERNATIVES: Final = (0.05, 0.15, 0.4, 0.8)
"""The shares that are weighed against the bound: so far of the way from it to 1."""

FALSE_ALARMS: Final = 1e-9
"""The chance of a false alarm per look of one version, at most, over all its columns together."""

ENOUGH_ROWS: Final = 1_000
"""From so many rows on an index is a verdict, where the reference has REFERENCE_ROWS."""
REFERENCE_ROWS: Final = 100
TOLD_ROWS: Final = 200
"""So many of the newest rows tell, in words, what moved."""

TOLD_FROM: Final = 0.005
"""A rate below that is 0 % in words, and not told."""

SHOWN_FROM: Final = 0.1
DRIFTED_FROM: Final = 0.25
"""Limits of the index, by convention."""
LAPLACE: Final = 0.5
COLLAPSED: Final = 0.999
DIVERSE: Final = 0.9
"""One bin with more of the answers is a collapse, where the reference had less than this in it."""


class State(StrEnum):
    """What is known of a column."""

    UNKNOWN = "unknown"
    """Too few rows."""
    STABLE = "stable"
    MOVED = "moved"
    """Visibly, and not so much that anybody is told."""
    DRIFTED = "drifted"
    IGNORED = "ignored"
    """Drifted, and the route says that this column does not matter."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of the last TOLD_ROWS rows, and of the reference."""

    now: float
    usual: float

    def as_dict(self) -> dict[str, float]:
        return {"now": round(self.now, 6), "usual": round(self.usual, 6)}


@dataclass(frozen=True, slots=True)
class ColumnFinding:
    """What is known of one *column*: *psi* of the last *rows*; *text* says in words what moved most.

    log_e: natural logarithm of the detector; *log_limit* what it takes to be sure. *missing* and *outside*: how much is
    missing, and outside all that the reference saw; None for a column that cannot say, and before the first row.
    """

    column: str
    state: State
    psi: float
    rows: int
    log_e: float
    log_limit: float
    text: str
    missing: Rate | None = None
    outside: Rate | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "column": self.column, "state": self.state.value, "psi": round(self.psi, 6), "rows": self.rows,
            "log_e": round(self.log_e, 3), "log_limit": round(self.log_limit, 3), "reason": self.text,
            "missing": self.missing.as_dict() if self.missing is not None else None,
            "outside": self.outside.as_dict() if self.outside is not None else None,
        }  # fmt: skip


def psi(expected: Sequence[int], observed: Sequence[int]) -> float:
    """Return the population stability index of two lists of counts by bin, each with LAPLACE added to every bin."""
    p, q = _shares(observed), _shares(expected)
    return sum((a - b) * log(a / b) for a, b in zip(p, q, strict=True))


def by_chance(expected: Sequence[int], observed: Sequence[int]) -> float:
    """Return about what the index of two samples of one distribution is on average; neither may be empty."""
    return (len(expected) - 1) * (1 / max(sum(expected), 1) + 1 / max(sum(observed), 1))


def bounds(counts: Sequence[int]) -> tuple[float, ...]:
    """Return the largest share that each bin may have without having drifted, of a reference with these *counts*."""
    rows = sum(counts) + LAPLACE * len(counts)
    return tuple(
        min(1.0, share + TOLERATED + DEVIATIONS * sqrt(share * (1 - share) / rows)) for share in _shares(counts)
    )


class Detector:
    """Weighs for one column, look by look, whether a bin has outgrown its bound. *log_e* is where that stands."""

    __slots__ = ("_cells", "_cells_of", "log_e")

    def __init__(self, counts: Sequence[int]) -> None:
        """*counts*: of the reference."""
        self._cells_of: list[tuple[int, float, float]] = []
        """Bin, and what a row inside and one outside add."""
        for number, bound in enumerate(bounds(counts)):
            if bound < LARGEST_BOUND:
                shares = [bound + (1 - bound) * way for way in ALTERNATIVES]
                self._cells_of += [(number, log(q / bound), log((1 - q) / (1 - bound))) for q in shares]
        self._cells = [0.0] * len(self._cells_of)
        self.log_e = 0.0

    def look(self, counts: Sequence[int]) -> None:
        """Take the *counts* of rows that came since the last look."""
        rows = sum(counts)
        self._cells = [
            max(0.0, cell) + counts[number] * inside + (rows - counts[number]) * outside
            for cell, (number, inside, outside) in zip(self._cells, self._cells_of, strict=True)
        ]
        self.log_e = _log_mean(self._cells)

    def cap(self, most: float) -> None:
        """Let no alternative stand above *most*: what is sure needs not be surer, and must be able to end."""
        self._cells = [min(cell, most) for cell in self._cells]


class ColumnDrift:
    """One column of one version under watch."""

    __slots__ = ("_column", "_detector", "_has_drifted", "_limit", "_looks", "_rows")

    def __init__(self, column: Column, columns: int) -> None:
        """*columns*: how many share the chance of a false alarm."""
        self._column = column
        self._detector = Detector(column.counts)
        self._limit = log(columns / FALSE_ALARMS)
        self._looks: deque[Sequence[int]] = deque()
        self._rows = 0
        self._has_drifted = False

    def look(self, counts: Sequence[int]) -> None:
        """Take the *counts* by bin of one look."""
        self._detector.look(counts)
        if self._detector.log_e >= self._limit:
            self._has_drifted = True
        elif self._detector.log_e <= 0:
            self._has_drifted = False
        self._detector.cap(self._limit + log(len(ALTERNATIVES) * len(counts)))
        self._looks.append(counts)
        self._rows += sum(counts)
        while self._rows - sum(self._looks[0]) >= ENOUGH_ROWS:
            self._rows -= sum(self._looks.popleft())

    def finding(self) -> ColumnFinding:
        """Return what is known now."""
        window = self._window(ENOUGH_ROWS)
        index = psi(self._column.counts, window)
        state = self._state(index - by_chance(self._column.counts, window))
        newest = self._window(TOLD_ROWS)
        missing, outside = (self._rate(each, newest) for each in (self._column.missing, self._column.outside))
        gap = "without tokens" if self._column.kind == "vocabulary" else "missing"
        others = "of other classes" if self._column.kind == "classes" else "out of range"
        text = self._text(state, window, index) + _told(((gap, missing), (others, outside)))
        return ColumnFinding(
            self._column.name, state, index, self._rows, self._detector.log_e, self._limit, text, missing, outside
        )

    def _state(self, index: float) -> State:
        """Return the state, *index* being what of it is not chance."""
        is_enough = self._rows >= ENOUGH_ROWS and self._column.rows >= REFERENCE_ROWS
        if self._has_drifted or (is_enough and index > DRIFTED_FROM):
            return State.DRIFTED
        if not is_enough:
            return State.UNKNOWN
        return State.MOVED if index > SHOWN_FROM else State.STABLE

    def _window(self, rows: int) -> list[int]:
        """Return the counts of at least the newest *rows*, where there are so many."""
        total = [0] * len(self._column.counts)
        for counts in reversed(self._looks):
            total = [a + b for a, b in zip(total, counts, strict=True)]
            if sum(total) >= rows:
                break
        return total

    def _rate(self, bins: Sequence[int], newest: Sequence[int]) -> Rate | None:
        """Return how much of the *newest* counts, and of the reference's, lies in these *bins*; None for none."""
        if not bins or not any(newest):
            return None
        now, usual = _plain(newest), _plain(self._column.counts)
        return Rate(sum(now[number] for number in bins), sum(usual[number] for number in bins))

    def _text(self, state: State, window: Sequence[int], index: float) -> str:
        name = self._column.name
        if state is State.UNKNOWN:
            return f"{name}: {self._rows} rows are too few to judge, and nothing has shown yet"
        if state is State.STABLE:
            return f"{name}: as in the reference (PSI {index:.2f})"
        if name == PREDICTION and self._has_collapsed(window):
            return f"{name}: all of the last {sum(window)} answers are {self._column.called(_top(window))}"
        newest = self._window(TOLD_ROWS)
        size = psi(self._column.counts, newest)
        now, usual = _plain(newest), _plain(self._column.counts)
        most = max(range(len(now)), key=lambda number: now[number] - usual[number])
        if self._column.kind == "vocabulary" and most != NO_TOKENS:
            known, before = _tenths(newest), _tenths(self._column.counts)
            return (
                f"{name}: {known:.0%} of the tokens of the last {sum(newest)} rows are known, usually {before:.0%} "
                f"(PSI {size:.2f})"
            )
        return (
            f"{name}: {now[most]:.0%} of the last {sum(newest)} rows are {self._column.called(most)}, "
            f"{usual[most]:.0%} of the reference (PSI {size:.2f})"
        )

    def _has_collapsed(self, window: Sequence[int]) -> bool:
        top = _top(window)
        is_one = window[top] > COLLAPSED * sum(window) and sum(window) >= TOLD_ROWS
        return is_one and _plain(self._column.counts)[top] < DIVERSE


class VersionDrift:
    """All columns of one version, against one reference."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.bins = reference.id
        """What samples say that are in the bins of this reference."""
        self._columns = {each.name: ColumnDrift(each, len(reference.columns)) for each in reference.columns}
        self._sizes = {each.name: len(each.counts) for each in reference.columns}
        self.rows = 0

    def look(self, counts: Mapping[str, Sequence[int]], rows: int) -> None:
        """Take what was counted of *rows* rows: column → counts by bin. Columns and bins that are not ours are let be.

        A look that says nothing of a column is none of it.
        """
        self.rows += rows
        for name, found in counts.items():
            if len(found) == self._sizes.get(name) and any(found):
                self._columns[name].look(found)

    def findings(self) -> list[ColumnFinding]:
        """Return what is known of each column, in the reference's order."""
        return [column.finding() for column in self._columns.values()]


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) + LAPLACE * len(counts)
    return [(count + LAPLACE) / total for count in counts]


def _plain(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _tenths(counts: Sequence[int]) -> float:
    """Return about which share of their tokens is known, on average over the texts that have any."""
    return sum(many * (number + 0.5) / NO_TOKENS for number, many in enumerate(counts[:NO_TOKENS])) / (
        sum(counts[:NO_TOKENS]) or 1
    )


def _told(rates: Sequence[tuple[str, Rate | None]]) -> str:
    """Return the *rates* that are not nothing in words, to stand behind a sentence."""
    return "".join(
        f"; {rate.now:.0%} {words}, usually {rate.usual:.0%}"
        for words, rate in rates
        if rate is not None and max(rate.now, rate.usual) >= TOLD_FROM
    )


def _top(counts: Sequence[int]) -> int:
    return max(range(len(counts)), key=counts.__getitem__)


def _log_mean(logs: Sequence[float]) -> float:
    """Return the logarithm of the mean of what *logs* are the logarithms of; 0 for none."""
    if not logs:
        return 0.0
    top = max(logs)
    return top + log(sum(exp(each - top) for each in logs) / len(logs))
