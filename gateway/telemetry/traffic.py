"""What a version's requests look like to a person who watches: outcomes, fallbacks, quantiles of durations.

Sums the same blocks as ``/metrics``, by the same rule of what a version's series is made of.
"""

from __future__ import annotations

import time
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from gateway.core.outcomes import OUTCOMES
from gateway.ports.metrics import Traffic
from gateway.telemetry.series import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.telemetry.layout import Layout
    from gateway.telemetry.slab import SlabDirectory

PERCENTS: Final = (50, 95, 99)
"""The quantiles that are shown."""


class SlabTraffic:
    """Implements ``ports.TrafficFigures``. Keeps nothing between two looks."""

    def __init__(self, slabs: SlabDirectory, clock: Callable[[], float] = time.monotonic) -> None:
        self._slabs = slabs
        self._clock = clock

    def of(self, model: str) -> Mapping[str, Traffic]:
        reading, now = self._slabs.read(), self._clock()
        counts = Ledger(now).take(reading, now).counts
        layout = self._slabs.layout
        total = sum(cells[layout.cpu_seconds][0] for cells in counts.values())
        return {version: _traffic(cells, layout, total) for (name, version), cells in counts.items() if name == model}


def _traffic(cells: Sequence[float], layout: Layout, total_cpu_seconds: float) -> Traffic:
    requests = {outcome: int(count) for outcome, count in zip(OUTCOMES, cells[layout.outcomes], strict=True)}
    *buckets, _ = cells[layout.request]
    found = {percent: quantile(layout.duration_edges, buckets, percent / 100) for percent in PERCENTS}
    quantiles = {percent: seconds for percent, seconds in found.items() if seconds is not None}
    [cpu_seconds] = cells[layout.cpu_seconds]
    return Traffic(
        requests,
        int(sum(cells[layout.fallbacks])),
        quantiles,
        rows=int(cells[layout.rows][-1]),
        cpu_seconds=cpu_seconds,
        cpu_share=cpu_seconds / total_cpu_seconds if total_cpu_seconds else 0.0,
    )


def quantile(edges: Sequence[float], buckets: Sequence[float], share: float) -> float | None:
    """Return the value below which *share* of what a histogram counted lies; None where it counted nothing.

    edges: rising upper edges. buckets: the count in each (not cumulative), and one for what is over the last
    edge. share: in (0, 1]. Inside a bucket values are taken as spread evenly, as Prometheus' histogram_quantile
    does; what is over the last edge is answered with that edge.
    """
    rank = share * sum(buckets)
    if not rank:
        return None
    low = 0.0
    for high, count, reached in zip(edges, buckets, accumulate(buckets), strict=False):
        if reached >= rank:
            return high - (high - low) * (reached - rank) / count
        low = high
    return low
