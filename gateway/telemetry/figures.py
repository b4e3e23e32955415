"""The counters of all workers of this replica, summed per version for the statistics extension.

Sums the same blocks as ``/metrics``, by the same rule of what a version's series is made of, and keeps
nothing between two looks, so that every worker answers the same.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.core.outcomes import OK
from gateway.ports.metrics import VersionFigures
from gateway.telemetry.series import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.telemetry.layout import Layout
    from gateway.telemetry.slab import SlabDirectory
    from gateway.telemetry.views import Reading

    Key = tuple[str, str]


class SlabFigures:
    """Implements ``ports.Statistics``."""

    def __init__(
        self,
        slabs: SlabDirectory,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._slabs = slabs
        self._clock = clock
        self._wall_clock = wall_clock

    def figures(self) -> Mapping[Key, VersionFigures]:
        reading, now = self._slabs.read(), self._clock()
        last = _last_requests(reading, self._slabs.layout, now, self._wall_clock() - now)
        counts = Ledger(now).take(reading, now).counts
        return {key: _figures(cells, self._slabs.layout, last.get(key, 0.0)) for key, cells in counts.items()}


def _figures(cells: Sequence[float], layout: Layout, last_request: float) -> VersionFigures:
    """Return what one version's *cells* say; the last cell of a histogram is its sum."""
    outcomes = cells[layout.outcomes]
    *waits, wait_seconds = cells[layout.queue]
    *runs, run_seconds = cells[layout.inference]
    return VersionFigures(
        succeeded=int(outcomes[OK]),
        failed=int(sum(outcomes) - outcomes[OK]),
        request_seconds=cells[layout.request][-1],
        waits=int(sum(waits)),
        wait_seconds=wait_seconds,
        runs=int(sum(runs)),
        run_seconds=run_seconds,
        rows=int(cells[layout.rows][-1]),
        last_request=last_request,
    )


def _last_requests(reading: Reading, layout: Layout, now: float, epoch: float) -> Mapping[Key, float]:
    """Return when a worker that ran the version last began a request. *epoch*: when the monotonic clock was 0.

    Workers tell the time with each beat; one that has run something and told nothing yet began just *now*.
    """
    last: dict[Key, float] = {}
    for slab in reading.slabs:
        for block in slab.blocks:
            if sum(block.counts[layout.inference]):
                last[block.key] = max(last.get(block.key, 0.0), epoch + (slab.gauges.last_request_at or now))
    return last
