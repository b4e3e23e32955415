"""When what a learner has learned is better than the version that serves, and when it looks, publishes and waits.

Each labelled row is predicted by the learner before it learns it (test, then train), and the version that served it
had predicted it too. A row's gain is 1 for a right class, or falls from 1 to 0 with the error of a number, or with the
distance from the nearest centre of a cluster. Where the learner gained more, the row adds the difference to *won*, else
to *lost*; both are sums of numbers in [0, 1] over the same rows.

Pure: rows, the clock and what the gateway says come in as arguments.

Sources: prequential evaluation, Dawid, "Statistical Theory: The Prequential Approach", JRSS A 147(2), 1984,
doi:10.2307/2981683; Gama, Sebastião and Rodrigues, "On evaluating stream learning algorithms", Machine Learning 90,
2013, doi:10.1007/s10994-012-5320-9. The intervals are those of ``confidence``, and hold at every look.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.core.confidence import Arm, Interval, rates
from gateway.core.phases import ENDED, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

PARTS: Final = 1 << 64
"""Equal parts of the range of a held-out row's hash."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the learner gained on *rows* labelled rows, and the serving version on the same ones, as sums of gains."""

    rows: int = 0
    won: float = 0.0
    lost: float = 0.0
    learner: float = 0.0
    serving: float = 0.0

    def with_rows(self, gains: Iterable[tuple[float, float]]) -> Comparison:
        """Return the comparison after more rows: of each the learner's gain and the serving version's, in [0, 1]."""
        rows, won, lost, learner, serving = self.rows, self.won, self.lost, self.learner, self.serving
        for ours, theirs in gains:
            rows, learner, serving = rows + 1, learner + ours, serving + theirs
            won, lost = won + max(0.0, ours - theirs), lost + max(0.0, theirs - ours)
        return Comparison(rows, won, lost, learner, serving)

    @property
    def difference(self) -> float | None:
        """The learner's mean gain less the serving version's; None without rows."""
        return (self.learner - self.serving) / self.rows if self.rows else None


@dataclass(frozen=True, slots=True)
class Gate:
    """What has to be shown before anything is published: the learner is better *by* so much, surely.

    by: a difference of mean gains. alpha: the chance of ever passing a learner that is not. least: rows before anyone
    looks. held_out_least: rows of the held-out window that are needed, 0 where none are held out.
    """

    by: float
    alpha: float
    least: int
    held_out_least: int


class Judgement(StrEnum):
    """What a comparison says."""

    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    """Not enough rows to say; never a pass."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement with its *reason* in words."""

    kind: Judgement
    reason: str


def interval(comparison: Comparison, alpha: float) -> Interval:
    """Return the learner's mean gain less the serving version's, at every moment with all but chance *alpha*.

    The rows' two parts, won and lost, each get half of *alpha* (a union bound: they come from the same rows, so they
    are no two arms). Rows on which both are alike make it narrower, as a paired comparison should.
    """
    won = rates(Arm(comparison.won, comparison.rows), alpha / 2)
    lost = rates(Arm(comparison.lost, comparison.rows), alpha / 2)
    return Interval(won.low - lost.high, won.high - lost.low)


def judge(comparison: Comparison, gate: Gate) -> Judged:
    """Say whether the learner is better by the gate, on rows that it had not learned."""
    if comparison.rows < gate.least:
        return Judged(Judgement.INCONCLUSIVE, f"{comparison.rows} rows were compared, and {gate.least} are needed")
    found = interval(comparison, gate.alpha)
    said = (
        f"the learner's mean gain differs by {comparison.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] from "
        f"the serving version's over {comparison.rows} rows"
    )
    if found.low > gate.by:
        return Judged(Judgement.BETTER, said)
    if found.high < 0:
        return Judged(Judgement.WORSE, said)
    return Judged(Judgement.INCONCLUSIVE, f"{said}; it must surely be more than {gate.by:+.4f}")


def judge_held_out(comparison: Comparison, gate: Gate) -> Judged:
    """Say whether the very model that would be published is no worse on rows that no learning ever saw.

    They reach back further than what was learned last: a stretch of wrong labels that taught the learner something is
    the smaller part of them. The same rows are looked at again and again, so this is no test with an error rate.
    """
    if comparison.rows < gate.held_out_least:
        reason = f"{comparison.rows} rows are held out, and {gate.held_out_least} are needed"
        return Judged(Judgement.INCONCLUSIVE, reason)
    if comparison.learner < comparison.serving:
        reason = (
            f"on {comparison.rows} held-out rows the learner gains {comparison.learner:.6g} and the serving version "
            f"{comparison.serving:.6g}: the labels learned last may be wrong, or the change is younger than those rows"
        )
        return Judged(Judgement.WORSE, reason)
    return Judged(Judgement.BETTER, f"on {comparison.rows} held-out rows the learner is no worse")


def gain_of_class(said: str, predicted: str) -> float:
    """Return 1.0 where the class is right, else 0.0."""
    return float(said == predicted)


def gain_of_number(said: float, predicted: float, scale: float) -> float:
    """Return 1 for no error, 0 for one of *scale* (above 0) or more, and in proportion between; 0 for NaN.

    Of a row among clusters the error is its distance from the nearest centre, *said* 0. Cut off at *scale* it is
    bounded, as the intervals need it, and one stray row counts no more than any other.
    """
    error = abs(said - predicted)
    return 1.0 - error / scale if error < scale else 0.0


def is_held_out(answer: str, share: float) -> bool:
    """Say whether the rows of the answer *answer*, an id, are kept for judging: *share* of all ids, always the same."""
    point = int.from_bytes(hashlib.sha256(b"held-out\x1f" + answer.encode("utf-8", "surrogatepass")).digest()[:8])
    return point < share * PARTS


@dataclass(frozen=True, slots=True)
class ChangeDetector:
    """Whether a loss has risen or fallen for good: the Page-Hinkley test to both sides, over losses in [0, 1].

    An alarm only makes the learner look sooner and compare afresh: what was seen before a change says nothing about
    now. A false one costs rows and decides nothing.

    Source: Page, "Continuous Inspection Schemes", Biometrika 41, 1954, doi:10.1093/biomet/41.1-2.100, in the form of
    Mouss et al., "Test of Page-Hinkley, an approach for fault detection in an agro-alimentary production system",
    Asian Control Conference 2004, doi:10.1109/ASCC.2004.184970.
    """

    count: int = 0
    mean: float = 0.0
    rise: float = 0.0
    fall: float = 0.0
    """Sums of how far losses were above, or below, their mean and TOLERATED, since the sum was last negative."""

    TOLERATED = 0.005
    """A change of the mean loss by less than this is none."""
    LIMIT = 15.0
    """A sum beyond this is a change: some 20 rows once a version that was mostly right is always wrong."""

    def after(self, losses: Iterable[float]) -> ChangeDetector:
        """Return the detector after more *losses*."""
        count, mean, rise, fall = self.count, self.mean, self.rise, self.fall
        for loss in losses:
            count += 1
            mean += (loss - mean) / count
            rise = max(0.0, rise + loss - mean - self.TOLERATED)
            fall = max(0.0, fall + mean - loss - self.TOLERATED)
        return ChangeDetector(count, mean, rise, fall)

    @property
    def is_alarmed(self) -> bool:
        """Say whether the loss has changed."""
        return max(self.rise, self.fall) > self.LIMIT


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the gate is looked at: after so many labels, after so many seconds; 0 is never. Once a change of the losses
    was seen, and once the gateway found drift."""

    labels: int = 0
    seconds: int = 0
    on_change: bool = False
    on_drift: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What has happened since the gate was last looked at."""

    labels: int
    seconds: float
    is_alarmed: bool
    has_drifted: bool = False


def is_due(progress: Progress, schedule: Schedule) -> bool:
    """Say whether the gate is to be looked at now. Without a new label there is nothing to see."""
    if not progress.labels:
        return False
    return (
        (schedule.on_change and progress.is_alarmed)
        or (schedule.on_drift and progress.has_drifted)
        or 0 < schedule.labels <= progress.labels
        or 0 < schedule.seconds <= progress.seconds
    )


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a version was taken back, in seconds: *first*, then each time twice as long to *most*."""

    first: int
    most: int

    def seconds(self, failures: int) -> float:
        """Return the wait after so many *failures* one after another, at least 1."""
        return float(min(self.most, self.first * 2 ** min(failures - 1, 32)))


class Fate(StrEnum):
    """What became of a version that was published."""

    UNDER_WAY = "under_way"
    PROMOTED = "promoted"
    TAKEN_BACK = "taken_back"
    """By its guards, or by somebody."""
    PASSED_OVER = "passed_over"
    """Another rollout took its place; that says nothing about it."""


FATES: Final = {
    Phase.SUCCEEDED: Fate.PROMOTED,
    Phase.ROLLED_BACK: Fate.TAKEN_BACK,
    Phase.ABORTED: Fate.TAKEN_BACK,
    Phase.SUPERSEDED: Fate.PASSED_OVER,
}


def fate_of(phase: Phase, *, is_ours: bool) -> Fate:
    """Return what became of the learner's version, by the *phase* of the model's last rollout; *is_ours* if it is its.

    A rollout that is another one's took the place of ours.
    """
    if not is_ours:
        return Fate.PASSED_OVER
    return FATES[phase] if phase in ENDED else Fate.UNDER_WAY


def chained(digest: str, content: bytes) -> str:
    """Return the digest of everything learned so far, hexadecimal, after *content*; the first *digest* is empty."""
    return hashlib.sha256(digest.encode() + b"\x1f" + content).hexdigest()
