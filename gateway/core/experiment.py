"""Which of two versions labels and rewards speak for, and how surely: a report out of totals, for people.

Compared is what one rule chose, the route's ``split`` unless somebody asks for another: it assigns by chance, so the
versions got the same kind of requests. Every interval holds at every moment (``confidence``). Nothing here moves a
weight; ``analysis`` does, by the evidence of a rollout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil, exp, log
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.core import confidence
from gateway.core.analysis import LARGEST, MISMATCH_FROM
from gateway.core.confidence import Arm, Interval
from gateway.core.eprocess import ln_mismatch
from gateway.core.names import version_number
from gateway.core.posterior import chance_higher
from gateway.core.quality import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping

METRICS: Final = ("accuracy", "reward")
"""Accuracy: rows whose class was right, of those with a class. Reward: the mean of rewards that are all in [0, 1]."""

FARTHEST: Final = 1e6
"""A difference that needs more than so many times the labels there are is not in sight."""

LEAST_TRIALS: Final = 20.0
"""With fewer trials of an arm nothing is forecast."""

RULE: Final = re.compile("split|missing|pinned|fallback|rule-[1-9][0-9]{0,3}", re.ASCII)
"""What can have chosen a version."""

NOBODY: Final = Quality({}, {})


class Asked(NamedTuple):
    """What is to be reported: the *second* version against the *first*, of answers that *rule* chose.

    *apart* is the difference of rates that has to be seen, a fraction of one. *alpha* bounds the chance that an
    interval ever misses the truth.
    """

    first: int
    second: int
    rule: str = "split"
    apart: float = 0.01
    alpha: float = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of both arms. *trials_to_see*: how many more, of both together, show a difference as asked for."""

    arms: tuple[Arm, Arm]
    rates: tuple[Interval, Interval]
    difference: Interval
    ratio: Interval
    chance_second_higher: float
    trials_to_see: int | None

    @property
    def is_seen(self) -> bool:
        """Say whether the interval of the difference leaves out zero."""
        return self.difference.low > 0 or self.difference.high < 0

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; an end of the ratio that nothing bounds is null."""
        first, second = (arm.rate for arm in self.arms)
        assert first is not None
        assert second is not None
        return {
            "trials": [arm.trials for arm in self.arms],
            "rates": [
                {"value": rate, "low": found.low, "high": found.high}
                for rate, found in zip((first, second), self.rates, strict=True)
            ],
            "difference": {"value": second - first, "low": self.difference.low, "high": self.difference.high},
            "ratio": {
                "value": second / first if first else None,
                "low": self.ratio.low,
                "high": self.ratio.high if self.ratio.high < float("inf") else None,
            },
            "is_seen": self.is_seen,
            "chance_second_higher": self.chance_second_higher,
            "trials_to_see": self.trials_to_see,
        }


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whether the split's answers came to both versions as its slots say.

    *units*: revision → answers of the first and of the second version, and the second one's share of both that is
    due. *e_value* against "as the slots say" is valid at every moment.
    """

    units: Mapping[int, tuple[int, int, float]]
    e_value: float

    @property
    def is_mismatch(self) -> bool:
        """Say whether the evidence is as strong as holds a rollout."""
        return self.e_value >= MISMATCH_FROM

    def as_dict(self) -> dict[str, Any]:
        return {
            "e_value": self.e_value,
            "is_mismatch": self.is_mismatch,
            "revisions": [
                {"revision": revision, "answers": [first, second], "due_share": share}
                for revision, (first, second, share) in self.units.items()
            ],
        }


def compared(asked: Asked, qualities: Mapping[int, Quality]) -> dict[str, Comparison]:
    """Return metric → what labels say of it, of the metrics that both versions have figures of."""
    segments = tuple(segment_of(qualities, version, asked.rule) for version in (asked.first, asked.second))
    found = {}
    for metric in METRICS:
        first, second = (arm_of(segment, metric) for segment in segments)
        if first.trials and second.trials:
            found[metric] = compare(first, second, apart=asked.apart, alpha=asked.alpha)
    return found


def segment_of(qualities: Mapping[int, Quality], version: int, rule: str) -> Quality:
    """Return what was counted of the answers of *version* that *rule* chose."""
    return qualities.get(version, NOBODY).segments.get(rule, NOBODY)


def arm_of(segment: Quality, metric: str) -> Arm:
    """Return the trials of one of METRICS; none of rewards where one of them is not in [0, 1]."""
    if metric == "accuracy":
        return Arm(segment.count("correct"), segment.count("classed"))
    rewards = segment.count("rewarded")
    if segment.count("bounded") != rewards:
        return Arm(0.0, 0)
    return Arm(min(float(rewards), max(0.0, segment.counts.get("sum_reward", 0.0))), rewards)


def compare(first: Arm, second: Arm, *, apart: float, alpha: float) -> Comparison:
    """Return how *second* differs from *first*, both with trials."""
    return Comparison(
        (first, second),
        (confidence.rates(first, alpha), confidence.rates(second, alpha)),
        confidence.difference(first, second, alpha),
        confidence.ratio(first, second, alpha),
        chance_higher(first, second),
        trials_to_see(first, second, apart=apart, alpha=alpha),
    )


def trials_to_see(first: Arm, second: Arm, *, apart: float, alpha: float) -> int | None:
    """Return how many more trials of both arms, in the ratio so far, show rates that are *apart*.

    A forecast for people: the first arm's rate stays, shrunk a little to ½; the second's is taken to be as much above
    it, or below, whichever needs more of those that can be. None where that is out of sight, or an arm is too young.
    """
    if min(first.trials, second.trials) < LEAST_TRIALS:
        return None
    rate = (first.gains + confidence.PRIOR) / (first.trials + 2 * confidence.PRIOR)
    factors = [
        _growth(first.trials, rate, second.trials, other, log(1 / alpha))
        for other in (rate - apart, rate + apart)
        if 0 <= other <= 1
    ]
    if not factors or None in factors:
        return None
    most = max(factor for factor in factors if factor is not None)
    return max(0, ceil((most - 1) * (first.trials + second.trials)))


def _growth(first: float, rate: float, second: float, other: float, limit: float) -> float | None:
    """Return how many times *first* and *second* trials exclude equal rates, where they are *rate* and *other*."""

    def is_seen(factor: float) -> bool:
        arms = Arm(rate * first * factor, first * factor), Arm(other * second * factor, second * factor)
        return confidence.ln_apart(*arms, 0.0) >= limit

    high = 1.0
    if is_seen(high):
        return high
    while not is_seen(high):
        high *= 2
        if high > FARTHEST:
            return None
    low = high / 2
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if is_seen(middle) else (middle, high)
    return high


def assignment_of(
    asked: Asked, assigned: Mapping[str, str], slots: Mapping[int, Mapping[int, int]]
) -> Assignment | None:
    """Return whether answers came to both versions as due; None where no revision split between them by request.

    *assigned*: ``revision|version`` → answers, as text. *slots*: revision → version → slots, of the revisions that
    assign each request by itself; of others the answers of one user come together, and say nothing here.
    """
    counts = _read(assigned)
    units = {}
    for revision, of in sorted(slots.items()):
        ours, theirs = (of.get(version, 0) for version in (asked.first, asked.second))
        first, second = (counts.get((revision, version), 0) for version in (asked.first, asked.second))
        if ours and theirs and first + second:
            units[revision] = (first, second, theirs / (ours + theirs))
    if not units:
        return None
    mismatch = ln_mismatch((second, first + second, share) for first, second, share in units.values())
    return Assignment(units, exp(min(mismatch, log(LARGEST))))


def answers_of(assigned: Mapping[str, str], version: int) -> int:
    """Return how many remembered answers of *version* a split chose, under any revision."""
    return sum(many for (_, each), many in _read(assigned).items() if each == version)


def _read(assigned: Mapping[str, str]) -> dict[tuple[int, int], int]:
    """Return (revision, version) → answers; what is written otherwise is left out."""
    found = {}
    for name, text in assigned.items():
        revision, _, version = name.partition("|")
        pair = version_number(revision), version_number(version)
        if pair[0] is not None and pair[1] is not None and text.isascii() and text.isdigit():
            found[pair[0], pair[1]] = int(text)
    return found
