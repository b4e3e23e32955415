"""Which counts make up the series of a version, over all workers of this replica and over time.

A version that is unloaded and loaded again starts a new *incarnation*, and each worker does both at its
own moment. Blocks whose times overlap belong to one incarnation: as long as one worker has the version,
what the others counted before they let go of it stays in the sum, so a counter never falls; after a time
in which no worker had it, it starts from zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.telemetry.layout import REFUSALS, TOLD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.telemetry.views import BlockView, Reading, SlabView, WorkerGauges

    Key = tuple[str, str]
    Spell = tuple[float, BlockView]

REPLACED_WITHIN: Final = 60.0
"""Seconds after which a worker that died and was not replaced no longer keeps the series of its versions alive."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a scrape shows: each version's summed counters, the live workers, and what was refused, told of single
    requests, damaged or died.
    """

    counts: dict[Key, list[float]]
    live: tuple[WorkerGauges, ...]
    refusals: list[float]
    told: list[float]
    damaged: int
    deaths: int


class Ledger:
    """Sums readings, and remembers between them what a stateless sum would forget.

    - A slab that was sound and is now damaged or gone keeps the counts it had.
    - The series of a version that nobody has any more is given once more, and then no more.
    - A damaged file is counted once, not at every scrape.
    """

    def __init__(self, now: float) -> None:
        self._started_at = now
        self._known: dict[str, SlabView] = {}
        self._given: set[tuple[Key, float]] = set()
        self._damaged: set[str] = set()

    def take(self, reading: Reading, now: float) -> Snapshot:
        """Return what a scrape shows of *reading*, read at the monotonic time *now*."""
        sound = {slab.gauges.slab: slab for slab in reading.slabs}
        self._known.update(sound)
        self._damaged.update(reading.damaged)
        live = tuple(slab.gauges for slab in reading.slabs if slab.gauges.live)
        refusals = _sum([[0.0] * len(REFUSALS), *(slab.refusals for slab in self._known.values())])
        told = _sum([[0.0] * len(TOLD), *(slab.told for slab in self._known.values())])
        deaths = sum(slab.gauges.deaths for slab in self._known.values())
        return Snapshot(self._counts(sound.keys(), now), live, refusals, told, len(self._damaged), deaths)

    def _counts(self, sound: Iterable[str], now: float) -> dict[Key, list[float]]:
        spells: dict[Key, list[Spell]] = {}
        for name, slab in self._known.items():
            for block in slab.blocks:
                spells.setdefault(block.key, []).append((_end(block, slab.gauges, name in sound, now), block))
        counts, given = {}, set()
        for key in sorted(spells):
            end, blocks = last_incarnation(spells[key])
            if end < math.inf:
                given.add((key, end))
                if (key, end) in self._given or end < self._started_at:
                    continue
            counts[key] = _sum(block.counts for block in blocks)
        self._given = given
        return counts


def last_incarnation(spells: list[Spell]) -> tuple[float, list[BlockView]]:
    """Return the end, and the blocks, of the latest run of overlapping times. *spells* are ends with their blocks."""
    latest: list[BlockView] = []
    until = -math.inf
    for end, block in sorted(spells, key=lambda spell: spell[1].activated_at):
        if block.activated_at > until:
            latest = []
        latest.append(block)
        until = max(until, end)
    return until, latest


def _end(block: BlockView, gauges: WorkerGauges, is_sound: bool, now: float) -> float:
    """Return when *block* stopped counting: at its retirement, or at the death of a worker that nobody replaced."""
    alive = gauges.live and is_sound
    if not block.is_loaded or alive or now - gauges.heartbeat < REPLACED_WITHIN:
        return block.retired_at
    return max(gauges.heartbeat, block.activated_at)


def _sum(rows: Iterable[Iterable[float]]) -> list[float]:
    return [sum(column) for column in zip(*rows, strict=True)]
