"""What a worker does with what it read of a route: the table of the watcher, as one pure function.

Level-triggered: what counts is the state that was read, not the message that announced it.
Absence is never an order, and an older revision is believed only after several agreeing reads,
because a lagging replica of the store answers too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

AGREEING_READS: Final = 3
"""Reads that must agree before an older revision of the same incarnation is adopted."""

READS_APART_SECONDS: Final = 0.3
"""Reads closer together than this count as one: they may come from the same lagging replica."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which state of a route is meant: drawn at creation, counted at each write, hashed over the bytes."""

    incarnation: str
    revision: int
    digest: str


class Step(Enum):
    """What to do with a route after a read."""

    KEEP = "keep"
    """The store shows what is held."""
    KEEP_AND_ALARM = "keep_and_alarm"
    """The store shows nothing where something is held: wiped. What is held serves on."""
    ADOPT = "adopt"
    ADOPT_AND_ALARM = "adopt_and_alarm"
    """The store's history was rewritten: another document under the same revision, or an older one that persists."""
    WAIT = "wait"
    """An older revision: believe it when it persists."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """How often, and when last (monotonic seconds), the same older state was read."""

    mark: Mark
    reads: int
    last_seconds: float


def judge(held: Mark | None, seen: Mark | None, doubt: Doubt | None, now: float) -> tuple[Step, Doubt | None]:
    """Return what to do with a route of which *held* is served and *seen* was read, and the doubt to keep.

    *held* is None before anything was adopted, *seen* is None where the store has no route;
    *now* is a monotonic clock in seconds. Whether *seen* can be adopted (its document is valid and
    its versions are warm) is decided elsewhere: this says only whether it is to be wanted.
    """
    if seen is None:
        return (Step.KEEP if held is None else Step.KEEP_AND_ALARM), None
    if held is None or held.incarnation != seen.incarnation or seen.revision > held.revision:
        return Step.ADOPT, None
    if seen.revision == held.revision:
        return (Step.KEEP if seen.digest == held.digest else Step.ADOPT_AND_ALARM), None
    return _doubted(seen, doubt, now)


def _doubted(seen: Mark, doubt: Doubt | None, now: float) -> tuple[Step, Doubt | None]:
    if doubt is None or doubt.mark != seen:
        return Step.WAIT, Doubt(seen, 1, now)
    if now - doubt.last_seconds < READS_APART_SECONDS:
        return Step.WAIT, doubt
    if doubt.reads + 1 < AGREEING_READS:
        return Step.WAIT, Doubt(seen, doubt.reads + 1, now)
    return Step.ADOPT_AND_ALARM, None
