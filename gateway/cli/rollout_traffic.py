"""The traffic that ``gateway rollouts simulate`` walks a plan through: constant, or as it was recorded.

A recording is CSV, one line per interval: how long it was, and how many requests of each version came and failed. The
split of a simulation is its plan's, so of a recording the sums and the failure rates are used, not its split.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from gateway.cli.errors import CommandFailed, CommandMisused

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS: Final = ("seconds", "baseline_requests", "baseline_failed", "canary_requests", "canary_failed")
MOST_REQUESTS: Final = 10_000
"""Per second; a simulation draws for each of them."""
MOST_LINES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Load:
    """One second of traffic: requests of all versions together, and which part of its own each version fails.

    canary_errors: of each canary, the same number of them in every second.
    """

    rate: int
    baseline_errors: float
    canary_errors: tuple[float, ...]


class Traffic(Protocol):
    """What comes in each second."""

    def at(self, second: int) -> Load: ...

    def healthy(self) -> Traffic:
        """Return the same traffic with canaries that are as good as the baseline."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same traffic every second."""

    load: Load

    def at(self, second: int) -> Load:  # noqa: ARG002 - the protocol's
        return self.load

    def healthy(self) -> Constant:
        return Constant(_healthy(self.load))


class Recorded:
    """The intervals of a recording one after the other, and then from the first again."""

    def __init__(self, intervals: Sequence[tuple[int, Load]]) -> None:
        self._intervals = intervals
        self._ends = list(accumulate(seconds for seconds, _ in intervals))

    def at(self, second: int) -> Load:
        return self._intervals[bisect_right(self._ends, second % self._ends[-1])][1]

    def healthy(self) -> Recorded:
        return Recorded([(seconds, _healthy(load)) for seconds, load in self._intervals])


def read_recording(name: str) -> Recorded:
    """Return the recording in the file *name*. Raises CommandMisused or CommandFailed, with the line."""
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise CommandMisused(f"the recording {name!r} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise CommandFailed(f"{name} is no text; write CSV with the columns {','.join(COLUMNS)}") from exc
    lines = text.splitlines()
    rows = list(csv.reader(lines))
    if not rows or tuple(word.strip() for word in rows[0]) != COLUMNS:
        raise CommandFailed(f"{name}: the first line must be {','.join(COLUMNS)}")
    if not 1 < len(rows) <= MOST_LINES:
        raise CommandFailed(f"{name} has {len(rows) - 1} intervals; write 1 to {MOST_LINES - 1}")
    return Recorded([_interval(row, f"{name}:{number}") for number, row in enumerate(rows[1:], start=2)])


def _interval(row: Sequence[str], where: str) -> tuple[int, Load]:
    try:
        seconds, requests, failed, canary_requests, canary_failed = (int(cell) for cell in row)
    except ValueError as exc:
        raise CommandFailed(f"{where}: write {len(COLUMNS)} whole numbers, {','.join(COLUMNS)}") from exc
    if seconds < 1 or not 0 <= failed <= requests or not 0 <= canary_failed <= canary_requests:
        raise CommandFailed(f"{where}: an interval lasts 1 s or more, and no more can fail than came")
    rate = round((requests + canary_requests) / seconds)
    if rate > MOST_REQUESTS:
        raise CommandFailed(f"{where}: {rate} requests a second cannot be simulated; write at most {MOST_REQUESTS}")
    return seconds, Load(rate, failed / max(1, requests), (canary_failed / max(1, canary_requests),))


def _healthy(load: Load) -> Load:
    return Load(load.rate, load.baseline_errors, (load.baseline_errors,) * len(load.canary_errors))
