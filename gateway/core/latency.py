"""How long runs of the engine may take: what the baseline's run times say, and which runs are slow by that.

A run is compared with runs of about as many rows, because larger batches take longer. The limits of a class of rows
are frozen when the baseline has run often enough, once per rollout: later they would follow what they judge. Bounds
are edges of a fixed histogram, so every worker and every machine means the same by them.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Limits = Mapping[int, tuple[int, int, int]]
    """Class of rows → the edges, by number, that bound 50, 90 and 99 % of the baseline's runs."""

ROWS: Final = ("1", "2–3", "4–7", "8–15", "16–31", "32+")
"""The classes of rows, as they are shown."""

_CLASS_OF: Final = tuple(max(rows, 1).bit_length() - 1 for rows in range(32))

EDGES: Final = tuple(0.0001 * 1.25**number for number in range(64))
"""Upper edges of the buckets of run times, seconds: from 100 µs to two minutes, and the last bucket has no end."""

QUANTILES: Final = (0.5, 0.9, 0.99)
SLOW: Final = ("slow50", "slow90", "slow99")
"""The kinds of slow runs, by the quantile of QUANTILES that they exceed."""

TIME_KINDS: Final = tuple(tuple(f"took_{rows}_{bucket}" for bucket in range(len(EDGES))) for rows in range(len(ROWS)))
"""The kinds that count the baseline's runs, by class of rows and bucket."""

FROZEN_FROM: Final = 1000
"""So many runs of the baseline freeze the limits of a class of rows."""

MOST_TIMES: Final = 3
"""A run that takes longer than so many times the 99 % quantile has failed, whoever's it is."""


class Bounds(NamedTuple):
    """What a run of one class of rows is held against, seconds: over each of *slow* it is slow, over *most* failed."""

    slow: tuple[float, ...]
    most: float

    def kinds(self, seconds: float) -> tuple[str, ...]:
        """Return the kinds of slow run that one of *seconds* is; none where it is quick."""
        return SLOW[: bisect_left(self.slow, seconds)]


def rows_class(rows: int) -> int:
    """Return the index into ROWS of a run of *rows*; one without rows is like one of a single row."""
    return _CLASS_OF[rows] if rows < len(_CLASS_OF) else len(ROWS) - 1


def bucket(seconds: float) -> int:
    """Return the number of the first of EDGES that is at or above *seconds*; past them all the last."""
    return bisect_left(EDGES, seconds, 0, len(EDGES) - 1)


def frozen(limits: Limits, times: Sequence[Sequence[int]]) -> Limits:
    """Return *limits* with those of every class that has none and FROZEN_FROM runs in *times*.

    times: per class of rows how many of the baseline's runs fell into each bucket. What is frozen stays as it is.
    """
    ready = {rows: counts for rows, counts in enumerate(times) if rows not in limits and sum(counts) >= FROZEN_FROM}
    return {**limits, **{rows: _edges(counts) for rows, counts in ready.items()}} if ready else limits


def bounds_of(limits: Limits, excess: float = 0.0) -> tuple[Bounds | None, ...]:
    """Return what a version's runs are held against, per class of rows; None where nothing is frozen yet.

    excess: the fraction by which the version may be slower than the baseline before a run of it is slow. What a run
    may take at most is the same for every version, or a healthy canary would fail more often.
    """
    found: list[Bounds | None] = []
    for rows in range(len(ROWS)):
        edges = [EDGES[number] for number in limits.get(rows, ())]
        found.append(Bounds(tuple(e * (1 + excess) for e in edges), MOST_TIMES * edges[-1]) if edges else None)
    return tuple(found)


def told(limits: Limits) -> str:
    """Return *limits* in words, for history."""
    parts = []
    for rows, numbers in limits.items():
        times = "/".join(f"{EDGES[number] * 1000:.3g}" for number in numbers)
        parts.append(f"{times} ms for runs of {ROWS[rows]} rows")
    return ", ".join(parts)


def check_limits(limits: Limits) -> Limits:
    """Return *limits* as a read-only copy by ascending rows. Raises InvalidDocument with the class that is wrong."""
    for rows, numbers in limits.items():
        with at(str(rows)):
            if type(rows) is not int or not 0 <= rows < len(ROWS):
                raise InvalidDocument("", f"is no class of rows; they are 0 to {len(ROWS) - 1}")
            if len(numbers) != len(SLOW) or not all(type(each) is int for each in numbers):
                raise InvalidDocument("", f"{shown(numbers)} are no limits; write the numbers of {len(SLOW)} edges")
            if not 0 <= numbers[0] <= numbers[1] <= numbers[2] < len(EDGES):
                raise InvalidDocument("", f"{shown(numbers)} do not ascend from 0 to {len(EDGES) - 1}; write them so")
    return MappingProxyType(dict(sorted(limits.items())))


def written_limits(limits: Limits) -> dict[str, list[int]]:
    """Return *limits* for JSON: ``read_limits`` reads the same value from it."""
    return {str(rows): list(numbers) for rows, numbers in limits.items()}


def read_limits(data: object) -> Limits:
    """Return the limits that *data*, read from JSON, holds. Raises InvalidDocument."""
    if not isinstance(data, dict):
        raise InvalidDocument("", f'{shown(data)} holds no limits; write such as {{"0": [1, 3, 5]}}')
    return check_limits({_class(name): _numbers(name, value) for name, value in data.items()})


def _class(name: object) -> int:
    """Return the class that the member *name* is, which has one spelling."""
    known = {str(rows): rows for rows in range(len(ROWS))}
    if not isinstance(name, str) or name not in known:
        raise InvalidDocument(str(name), f"is no class of rows; they are 0 to {len(ROWS) - 1}")
    return known[name]


def _numbers(name: object, value: Any) -> Any:
    if not isinstance(value, list):
        raise InvalidDocument(str(name), f"{shown(value)} is no list; write the numbers of {len(SLOW)} edges")
    return tuple(value)


def _edges(counts: Sequence[int]) -> tuple[int, int, int]:
    """Return the number of the first edge at or above each of QUANTILES of the runs in *counts*."""
    reached = [*accumulate(counts)]
    half, nine, most = (bisect_left(reached, quantile * reached[-1]) for quantile in QUANTILES)
    return half, nine, most
