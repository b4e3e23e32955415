"""What labels said, kept apart by the hour of the answer and by the revision whose split had chosen the version.

Within such a cohort the weights stood still, so its answers of all versions are equally old: however late labels come,
and whichever come late, they are late for all versions alike. Totals over several revisions know no such thing.
Only what the route's split chose counts here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.experiment import arm_of
from gateway.core.feedback import SPLIT
from gateway.core.names import version_number
from gateway.core.quality import Quality

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from gateway.core.confidence import Arm
    from gateway.core.feedback import Prediction

HOUR_SECONDS: Final = 3600
HOURS_KEPT: Final = 30 * 24
"""How long the labels of an answer's hour are kept, and looked at."""

KINDS: Final = ("classed", "correct", "rewarded", "sum_reward", "bounded")
"""The counters of ``feedback.score`` that make an arm."""

MOST_HALVINGS: Final = 10
"""After so many half-lives a label counts less than a thousandth, and is not read."""

Cohorts = dict[tuple[int, int], dict[int, Quality]]
"""(hour since the epoch, revision) → version → what its labels add up to."""


class Stratum(NamedTuple):
    """The arms, by version, of answers under one *revision*; they count *discount* times, in (0, 1]."""

    revision: int
    arms: Mapping[int, Arm]
    discount: float = 1.0


def cohort_fields(prediction: Prediction, counts: Mapping[str, float]) -> dict[str, float]:
    """Return ``revision|version|kind`` → what a fact adds, of the *counts* that ``feedback.fields_of`` made of it."""
    if prediction.rule != SPLIT:
        return {}
    found = {kind: counts.get(f"{prediction.version}|{kind}") for kind in KINDS}
    return {f"{prediction.revision}|{prediction.version}|{kind}": many for kind, many in found.items() if many}


def hour_of(seconds: float) -> int:
    """Return the hour since the epoch in which the moment *seconds* since the epoch lies."""
    return int(seconds // HOUR_SECONDS)


def hours_back(half_life_seconds: int | None, now: float) -> range:
    """Return the hours since the epoch whose answers still count at *now*, seconds since the epoch."""
    last = hour_of(now)
    if half_life_seconds is None:
        return range(last - HOURS_KEPT + 1, last + 1)
    hours = min(HOURS_KEPT, MOST_HALVINGS * half_life_seconds // HOUR_SECONDS)
    return range(last - hours + 1, last + 1)


def read_cohorts(hashes: Mapping[int, Mapping[str, str]]) -> Cohorts:
    """Return what the *hashes*, by hour, count; what is written otherwise than by ``cohort_fields`` is left out."""
    found: dict[tuple[int, int], dict[int, dict[str, float]]] = {}
    for hour, fields in hashes.items():
        for name, text in fields.items():
            revision, _, rest = name.partition("|")
            version, _, kind = rest.partition("|")
            place = version_number(revision), version_number(version)
            number = _number(text)
            if place[0] is None or place[1] is None or kind not in KINDS or number is None:
                continue
            found.setdefault((hour, place[0]), {}).setdefault(place[1], {})[kind] = number
    return {key: {version: Quality(own, {}) for version, own in each.items()} for key, each in found.items()}


def strata_of(
    cohorts: Cohorts, versions: Collection[int], metric: str, *, half_life_seconds: int | None, now: float
) -> Sequence[Stratum]:
    """Return one stratum per revision, or with a half-life one per revision and stretch of so many seconds.

    A stretch counts half of the next one. *metric*: one of ``experiment.METRICS``. now: seconds since the epoch.
    """
    sums: dict[tuple[int, int], dict[int, dict[str, float]]] = {}
    width = half_life_seconds
    for (hour, revision), qualities in cohorts.items():
        age = int(now // width) - hour * HOUR_SECONDS // width if width is not None else 0
        stretch = sums.setdefault((revision, max(0, age)), {})
        for version in versions:
            total = stretch.setdefault(version, {})
            for kind, many in qualities.get(version, Quality({}, {})).counts.items():
                total[kind] = total.get(kind, 0.0) + many
    return [
        Stratum(revision, {version: arm_of(Quality(own, {}), metric) for version, own in each.items()}, 0.5**age)
        for (revision, age), each in sorted(sums.items())
    ]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
