"""What a rollout has counted so far: totals over the fleet, as a value that is a pure function of the store's hash.

A field of the hash is ``revision|version|kind|class`` (the class left out where it is 0) and holds a whole number;
``revision|slots`` says who had how many slots while the revision was served, as ``version:slots`` joined by commas.
Every statistic is a function of these totals: nothing is accumulated in floating point and no order matters, so equal
totals give equal verdicts on every machine. Nothing here judges; ``eprocess.py`` and ``analysis.py`` do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.errors import InvalidDocument
from gateway.core.latency import SLOW, TIME_KINDS
from gateway.core.members import shown
from gateway.core.names import version_number
from gateway.core.outputs import OUT_KINDS, VALUE_KINDS
from gateway.core.slots import SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Shares = Mapping[int, int]
    """Version → slots of one revision, ascending; together SLOTS."""

CLASSES: Final = 14
"""Batch classes 0…13: class b stands for 2^(b/2) rows of the baseline's runs to one of the canary's."""

RUN_KINDS: Final = ("error", "invalid", *SLOW)
"""Counted per run of the engine, so their fields carry a batch class."""

KINDS: Final = (
    *RUN_KINDS, "n", "failed", "assigned", "labelled", "wrong", "pair_n", "pair_lost", "pair_won", "differ", "deaths",
    "poison", "unconfirmed", *OUT_KINDS,
)  # fmt: skip

_KNOWN: Final = frozenset((*KINDS, *(kind for kinds in TIME_KINDS for kind in kinds), *VALUE_KINDS))

NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


class Counter(NamedTuple):
    """Which number: what *version* did of *kind* under *revision*, in runs of one *batch_class*."""

    revision: int
    version: int
    kind: str
    batch_class: int = 0

    def __str__(self) -> str:
        """Return the field of the store's hash."""
        base = f"{self.revision}|{self.version}|{self.kind}"
        return f"{base}|{self.batch_class}" if self.batch_class else base


class Stratum(NamedTuple):
    """The events of one revision and batch class; *odds* are those that one is the canary's if both are equally good.

    ``inf`` where nothing can be told: then every event is the canary's under the null, whoever it is.
    """

    canary: int
    baseline: int
    odds: float


@dataclass(frozen=True, slots=True)
class Arms:
    """Which two versions are compared."""

    canary: int
    baseline: int

    def __post_init__(self) -> None:
        if self.canary == self.baseline:
            raise InvalidDocument("", f"version {self.canary} cannot be compared with itself; name another canary")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All totals of one rollout.

    *counts* holds no zeros, so that equal evidence has one form. *slots* holds every revision of the rollout; a count
    under any other revision cannot be built in.
    """

    counts: Mapping[Counter, int]
    slots: Mapping[int, Shares]
    _index: Mapping[tuple[int, str], Mapping[tuple[int, int], int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[tuple[int, str], dict[tuple[int, int], int]] = {}
        kept = {}
        for counter, count in self.counts.items():
            if type(count) is not int or count < 0:
                raise InvalidDocument(str(counter), f"{shown(count)} is no count; it is a whole number from 0")
            if counter.revision not in self.slots:
                raise InvalidDocument(
                    str(counter), f"revision {counter.revision} has no slots; it is not of this rollout"
                )
            if count:
                kept[counter] = count
                index.setdefault((counter.version, counter.kind), {})[counter.revision, counter.batch_class] = count
        object.__setattr__(self, "counts", MappingProxyType(kept))
        object.__setattr__(self, "slots", MappingProxyType(dict(sorted(self.slots.items()))))
        object.__setattr__(self, "_index", index)

    def plus(self, deltas: Mapping[Counter, int]) -> Evidence:
        """Return these totals with *deltas*, none of them negative, added: what the store does with a flush."""
        counts = dict(self.counts)
        for counter, delta in deltas.items():
            if type(delta) is not int or delta < 0:
                raise InvalidDocument(str(counter), f"{shown(delta)} cannot be added; counters only grow")
            counts[counter] = counts.get(counter, 0) + delta
        return Evidence(counts, self.slots)

    def total(self, version: int, kind: str, *, since: int = 0) -> int:
        """Return how many of *kind* were counted for *version* under revisions from *since* on."""
        cells = self._index.get((version, kind), {})
        if not since:
            return sum(cells.values())
        return sum(count for (revision, _), count in cells.items() if revision >= since)

    def newest(self) -> int:
        """Return the newest revision of the rollout, 0 before there is one."""
        return max(self.slots, default=0)

    def comparative(self, arms: Arms) -> Iterator[tuple[int, float]]:
        """Yield each revision under which both arms had slots, and the canary's odds S_c / S_s there."""
        for revision, shares in self.slots.items():
            canary, baseline = shares.get(arms.canary, 0), shares.get(arms.baseline, 0)
            if canary and baseline:
                yield revision, canary / baseline

    def strata(self, arms: Arms, kind: str) -> tuple[Stratum, ...]:
        """Return the comparative events of *kind*, one of RUN_KINDS, by revision and batch class."""
        found = []
        for revision, odds in self.comparative(arms):
            for batch_class in range(CLASSES):
                canary = self._count(arms.canary, kind, revision, batch_class)
                baseline = self._count(arms.baseline, kind, revision, batch_class)
                if canary or baseline:
                    found.append(Stratum(canary, baseline, null_odds(odds, batch_class)))
        return tuple(found)

    def label_strata(self, arms: Arms) -> tuple[Stratum, ...]:
        """Return the predictions that a label called wrong, by revision.

        The odds are the larger of the slots' and of the labels received: labels of one arm that come sooner must not
        look like its errors.
        """
        found = []
        for revision, odds in self.comparative(arms):
            wrong = [self._count(version, "wrong", revision) for version in (arms.canary, arms.baseline)]
            canary, baseline = (self._count(version, "labelled", revision) for version in (arms.canary, arms.baseline))
            if any(wrong):
                received = canary / baseline if baseline else inf
                found.append(Stratum(wrong[0], wrong[1], max(odds, received)))
        return tuple(found)

    def assignments(self, arms: Arms) -> tuple[tuple[int, int, float], ...]:
        """Return (units of the canary, of both arms, the canary's share of both) of each comparative revision."""
        found = []
        for revision, odds in self.comparative(arms):
            canary, baseline = (self._count(version, "assigned", revision) for version in (arms.canary, arms.baseline))
            found.append((canary, canary + baseline, odds / (1 + odds)))
        return tuple(found)

    def outputs(self, version: int) -> tuple[int, ...]:
        """Return how many outputs of *version* fell into each of the BINS bins."""
        return tuple(self.total(version, kind) for kind in OUT_KINDS)

    def values(self, version: int) -> tuple[int, ...]:
        """Return how many numbers of *version* fell into each bucket of VALUE_EDGES; empty where none did."""
        kinds = {kind for each, kind in self._index if each == version}
        if kinds.isdisjoint(VALUE_KINDS):
            return ()
        return tuple(self.total(version, kind) for kind in VALUE_KINDS)

    def run_times(self, version: int) -> tuple[tuple[int, ...], ...]:
        """Return, per class of rows, how many runs of *version* took as long as each bucket of ``latency`` says."""
        return tuple(tuple(self.total(version, kind) for kind in kinds) for kinds in TIME_KINDS)

    def as_fields(self) -> dict[str, str]:
        """Return the fields of the store's hash: ``read_evidence`` reads the same value from them."""
        slots = {f"{revision}|slots": written_slots(shares) for revision, shares in self.slots.items()}
        return slots | {str(counter): str(count) for counter, count in sorted(self.counts.items())}

    def _count(self, version: int, kind: str, revision: int, batch_class: int = 0) -> int:
        return self._index.get((version, kind), {}).get((revision, batch_class), 0)


def read_evidence(fields: Mapping[str, str]) -> Evidence:
    """Return the evidence that the *fields* of the store's hash hold; ``seq|worker`` is the flush's own and skipped.

    Raises InvalidDocument with the field for everything else that is not written as ``as_fields`` writes it.
    """
    counts: dict[Counter, int] = {}
    slots: dict[int, Shares] = {}
    for name, value in fields.items():
        if name.startswith("seq|"):
            continue
        if name.endswith("|slots"):
            slots[_number(name, name.removesuffix("|slots"), least=1)] = read_slots(name, value)
        else:
            counts[read_counter(name)] = _number(name, value)
    return Evidence(counts, slots)


def read_counter(name: str) -> Counter:
    """Return the counter that the field *name* names. Raises InvalidDocument."""
    parts = name.split("|")
    if len(parts) not in {3, 4}:
        raise InvalidDocument(name, "is no counter; it is written revision|version|kind or revision|version|kind|class")
    kind = parts[2]
    if kind not in _KNOWN:
        others = f"{TIME_KINDS[0][0]} to {TIME_KINDS[-1][-1]}, and {VALUE_KINDS[0]} to {VALUE_KINDS[-1]}"
        raise InvalidDocument(name, f"{shown(kind)} is no kind; known are {', '.join(KINDS)}, {others}")
    batch_class = 0
    if len(parts) == 4:
        batch_class = _number(name, parts[3], least=1)
        if kind not in RUN_KINDS or batch_class >= CLASSES:
            raise InvalidDocument(
                name, f"{kind} has no class {batch_class}; run kinds have 1 to {CLASSES - 1}, others none"
            )
    return Counter(_number(name, parts[0], least=1), _number(name, parts[1], least=1), kind, batch_class)


def written_slots(shares: Shares) -> str:
    """Return the value of a field ``revision|slots``: ``1:9500,2:500``."""
    return ",".join(f"{version}:{count}" for version, count in sorted(shares.items()))


def read_slots(name: str, value: str) -> Shares:
    """Return version → slots as the field *name* holds them in *value*. Raises InvalidDocument."""
    shares: dict[int, int] = {}
    for pair in value.split(","):
        version, _, count = pair.partition(":")
        number = version_number(version)
        if number is None or number in shares:
            raise InvalidDocument(name, f"{shown(value)} names no slots; it is written 1:9500,2:500, each version once")
        shares[number] = _number(name, count)
    if sum(shares.values()) != SLOTS:
        raise InvalidDocument(name, f"{shown(value)} names {sum(shares.values())} slots; a revision has {SLOTS}")
    return MappingProxyType(dict(sorted(shares.items())))


def _number(name: str, text: object, *, least: int = 0) -> int:
    if not isinstance(text, str) or NUMBER.fullmatch(text) is None or int(text) < least:
        raise InvalidDocument(name, f"{shown(text)} is no whole number from {least} in decimal")
    return int(text)


def null_odds(odds: float, batch_class: int) -> float:
    """Return the odds that an event is the canary's if both arms are equally good: *odds* of the slots · 2^(b/2).

    The baseline's batches are larger, so the canary has more than its share of the runs and of their faults.
    """
    return odds * float(2.0 ** (batch_class / 2))


class Runs(NamedTuple):
    """What the engine ran for one arm in a window of time: *rows* in so many *runs*."""

    rows: int
    runs: int

    @property
    def mean(self) -> float | None:
        """Rows per run; None without runs or rows, so it is never 0."""
        return self.rows / self.runs if self.rows and self.runs else None


def batch_class(baseline: Runs, canary: Runs, *, previous_mean: float = 1.0) -> int:
    """Return the class of a window: the least b in 0…13 with 2^(b/2) ≥ rows per baseline run / rows per canary run.

    An arm without runs, or whose runs had no rows, counts as runs of 1 row (canary) or of *previous_mean* rows
    (baseline). Rounding up favours the canary.
    """
    ratio = (baseline.mean or previous_mean) / (canary.mean or 1.0)
    return next((b for b in range(CLASSES) if ratio * ratio <= 2**b), CLASSES - 1)
