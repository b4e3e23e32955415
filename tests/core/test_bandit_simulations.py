"""What following the labels gains, and what it cannot break: simulated answers, seeded."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.core.bandit import judge
from gateway.core.cohorts import Stratum
from gateway.core.confidence import Arm
from gateway.core.optimize import Optimize
from gateway.core.slots import SLOTS, seats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

pytestmark = pytest.mark.no_cover  # thousands of runs; what they pass through has tests of its own

PERIODS = 60
ANSWERS = 200
"""In each period, between two looks."""


@dataclass
class World:
    """A route whose labels all come, good ones *good_after* and bad ones *bad_after* periods after the answer."""

    rates: Callable[[int], Mapping[int, float]]
    seed: int
    optimize: Optimize = field(default_factory=lambda: Optimize("accuracy"))
    good_after: int = 0
    bad_after: int = 0
    is_stratified: bool = True

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.split: Mapping[int, int] = seats(dict.fromkeys(self.rates(0), 1))
        self.splits: list[Mapping[int, int]] = [self.split]
        self.revision = 1
        self.good = 0
        self.coming: list[tuple[int, int, int, bool]] = []
        self.labels: dict[int, dict[int, list[int]]] = {}

    def run(self, periods: int = PERIODS) -> World:
        for period in range(periods):
            self.answer(period)
            self.count(period)
            self.look()
        return self

    def answer(self, period: int) -> None:
        rates = self.rates(period)
        for version in self.random.choices(list(self.split), list(self.split.values()), k=ANSWERS):
            is_good = self.random.random() < rates[version]
            self.good += is_good
            due = period + (self.good_after if is_good else self.bad_after)
            self.coming.append((due, self.revision, version, is_good))

    def count(self, period: int) -> None:
        for _, revision, version, is_good in (each for each in self.coming if each[0] <= period):
            told = self.labels.setdefault(revision if self.is_stratified else 0, {}).setdefault(version, [0, 0])
            told[0] += is_good
            told[1] += 1
        self.coming = [each for each in self.coming if each[0] > period]

    def strata(self) -> Sequence[Stratum]:
        return [
            Stratum(
                revision if self.is_stratified else self.revision,
                {version: Arm(*map(float, arm)) for version, arm in arms.items()},
            )
            for revision, arms in self.labels.items()
        ]

    def look(self) -> None:
        found = judge(self.optimize, self.split, self.revision, self.strata())
        if found.split is not None:
            self.split, self.revision = found.split, self.revision + 1
            self.splits.append(found.split)


def always(*rates: float) -> Callable[[int], Mapping[int, float]]:
    fixed = dict(enumerate(rates, start=1))
    return lambda _period: fixed


def is_at_floor(split: Mapping[int, int], version: int) -> bool:
    """Say whether *version* has its floor of 5 %, or less than a move more."""
    return split[version] < 600


def test_the_regret_is_less_than_half_of_an_equal_split() -> None:
    rates = always(0.80, 0.86)
    worlds = [World(rates, seed).run() for seed in range(10)]

    best = 0.86 * PERIODS * ANSWERS
    regret = sum(best - world.good for world in worlds) / len(worlds)
    of_equal = (0.86 - 0.83) * PERIODS * ANSWERS

    assert regret < of_equal / 2, f"{regret:.0f} of {of_equal:.0f}"
    assert all(is_at_floor(world.split, 1) for world in worlds)


def test_the_best_of_three_gets_what_the_floors_leave() -> None:
    worlds = [World(always(0.30, 0.42, 0.30), seed).run(40) for seed in range(5)]

    assert all(world.split[2] > SLOTS * 0.85 for world in worlds)


def test_no_version_is_ever_below_the_floor_or_moved_by_more_than_a_step() -> None:
    optimize = Optimize("accuracy", floor=333, step=777)
    for seed in range(4):
        world = World(always(0.1, 0.9, 0.5), seed, optimize).run(25)

        assert len(world.splits) > 5
        for before, after in zip(world.splits, world.splits[1:], strict=False):
            assert sum(after.values()) == SLOTS
            assert min(after.values()) >= 333
            assert max(abs(after[version] - before[version]) for version in after) <= 777


def test_of_two_equal_versions_one_ends_at_its_floor_in_at_most_a_tenth_of_the_runs() -> None:
    worlds = [World(always(0.8, 0.8), seed).run() for seed in range(30)]

    assert sum(min(world.split.values()) < 600 for world in worlds) <= 3


def test_labels_that_come_late_where_they_are_bad_favour_nobody_while_strata_are_kept_apart() -> None:
    """The control: totals over all revisions send one of two equal versions to its floor in most runs."""

    def ended_at_floor(*, is_stratified: bool) -> float:
        worlds = [World(always(0.8, 0.8), seed, bad_after=10, is_stratified=is_stratified).run() for seed in range(12)]
        return sum(min(world.split.values()) < 600 for world in worlds) / len(worlds)

    assert ended_at_floor(is_stratified=True) <= 0.1
    assert ended_at_floor(is_stratified=False) >= 0.4
