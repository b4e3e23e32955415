"""The counters of one version in one worker, as the request path sees them.

Everything is found once, when the version is loaded; a count is then a load and a store in mapped memory.
Only the thread of the worker's event loop may count: two threads would lose each other's increments.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from gateway.ports.observing import RECORDING_OUTCOMES
from gateway.telemetry.layout import COPY_DROPS, COPY_OUTCOMES, DIFFERENCE_EDGES, EVENTS, FALLBACKS, ROW_EDGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.telemetry.layout import Layout

_FALLBACK: Final = {reason: place for place, reason in enumerate(FALLBACKS)}
_OTHER_FALLBACK: Final = _FALLBACK["other"]
_EVENT: Final = {event: place for place, event in enumerate(EVENTS)}
_COPY: Final = {outcome: place for place, outcome in enumerate(COPY_OUTCOMES)}
_DROP: Final = {reason: place for place, reason in enumerate(COPY_DROPS)}
_RECORDING: Final = {outcome: place for place, outcome in enumerate(RECORDING_OUTCOMES)}


class BlockCells:
    """The port ``VersionCells`` over the counters of a block.

    Measured on one noisy core: an outcome with its histogram 0.3 µs, an engine run with its two histograms 0.5 µs.
    The last cell of a histogram is its sum. A bucket holds what is at most its edge, hence bisect_left.
    """

    __slots__ = (
        "_copies", "_copy_seconds", "_cpu", "_drops", "_edges", "_events", "_fallbacks", "_inference",
        "_max_difference", "_mean_difference", "_outcomes", "_pairs", "_queue", "_recordings", "_request", "_rows",
    )  # fmt: skip

    def __init__(self, counts: memoryview[float], layout: Layout) -> None:
        self._edges = layout.duration_edges
        self._outcomes = counts[layout.outcomes]
        self._request = counts[layout.request]
        self._inference = counts[layout.inference]
        self._queue = counts[layout.queue]
        self._rows = counts[layout.rows]
        self._fallbacks = counts[layout.fallbacks]
        self._events = counts[layout.events]
        self._copies = counts[layout.copies]
        self._drops = counts[layout.copies_dropped]
        self._pairs = counts[layout.pairs]
        self._copy_seconds = counts[layout.copy_seconds]
        self._mean_difference = counts[layout.mean_difference]
        self._max_difference = counts[layout.max_difference]
        self._recordings = counts[layout.recordings]
        self._cpu = counts[layout.cpu_seconds]

    def answered(self, outcome: int, seconds: float) -> None:
        self._outcomes[outcome] += 1.0
        histogram = self._request
        histogram[bisect_left(self._edges, seconds)] += 1.0
        histogram[-1] += seconds

    def ran(self, rows: int, seconds: float) -> None:
        histogram = self._inference
        histogram[bisect_left(self._edges, seconds)] += 1.0
        histogram[-1] += seconds
        histogram = self._rows
        histogram[bisect_left(ROW_EDGES, rows)] += 1.0
        histogram[-1] += rows

    def computed(self, cpu_seconds: float) -> None:
        self._cpu[0] += cpu_seconds

    def waited(self, seconds: Sequence[float]) -> None:
        histogram, edges = self._queue, self._edges
        for each in seconds:
            histogram[bisect_left(edges, each)] += 1.0
        histogram[-1] += sum(seconds)

    def fell_back(self, reason: str) -> None:
        self._fallbacks[_FALLBACK.get(reason, _OTHER_FALLBACK)] += 1.0

    def happened(self, event: str, times: int = 1) -> None:
        self._events[_EVENT[event]] += times

    def copied(self, outcome: str, seconds: float) -> None:
        self._copies[_COPY.get(outcome, _COPY["other"])] += 1.0
        _observe(self._copy_seconds, self._edges, seconds)

    def copy_dropped(self, reason: str) -> None:
        self._drops[_DROP.get(reason, _DROP["other"])] += 1.0

    def compared(self, agrees: bool, mean: float | None, most: float | None) -> None:
        self._pairs[0 if agrees else 1] += 1.0
        if mean is not None and most is not None:
            _observe(self._mean_difference, DIFFERENCE_EDGES, mean)
            _observe(self._max_difference, DIFFERENCE_EDGES, most)

    def recorded(self, outcome: str) -> None:
        self._recordings[_RECORDING[outcome]] += 1.0


def _observe(histogram: memoryview[float], edges: tuple[float, ...], value: float) -> None:
    histogram[bisect_left(edges, value)] += 1.0
    histogram[-1] += value
