"""Whether a version's own latency, errors or traffic are out of the ordinary, judged by nothing but its past.

A figure of a window is extraordinary when it lies above, or below, all figures of the HISTORY windows before, in
NEWEST windows in a row, and far enough from their median to matter. If windows are exchangeable, every order of them is
as likely as any other, so the first condition alone holds by chance in 1 of C(k + NEWEST, NEWEST) looks for k windows
of history, whatever the distribution: 1 in 302,621 at the full 120. Traffic that follows the clock is not exchangeable;
the distance, by median and MAD, is what keeps a slow tide from being told. Pure: the caller brings the windows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW_SECONDS: Final = 10.0
HISTORY: Final = 120
LEAST_HISTORY: Final = 30
"""Windows: from 5 minutes on a figure is judged, by the 20 minutes before."""
NEWEST: Final = 3
MAD_FACTOR: Final = 6.0
"""So many median absolute deviations from the median matter; for a normal distribution 4 standard deviations."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is watched. ratio: so many times the median, or its inverse, is far. floor: a smaller difference is not.

    Latency is judged upwards only, and so are errors; the lack of traffic is as strange as a flood. least: requests
    in a window without which the figure is none.
    """

    name: str
    unit: str
    scale: float
    ratio: float
    floor: float
    is_two_sided: bool = False
    least: int = 20


SERIES: Final = (
    Series("latency_p95", "ms", 1000.0, 1.5, 0.002),
    Series("error_share", "%", 100.0, 2.0, 0.02),
    Series("traffic", "requests/s", 1.0, 3.0, 2.0, is_two_sided=True, least=0),
)


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A figure out of the ordinary, now; *usual* are its least and its largest value before."""

    series: str
    value: float
    usual: tuple[float, float]
    text: str


class Watch:
    """One series of one version."""

    __slots__ = ("_history", "_meanwhile", "_newest", "_series")

    def __init__(self, series: Series) -> None:
        self._series = series
        self._history: deque[float] = deque(maxlen=HISTORY)
        self._newest: deque[float] = deque()
        self._meanwhile: list[float] = []

    def look(self, value: float) -> None:
        """Take the figure of one more window.

        While something is extraordinary the history stands still, or it would end by being told. What has lasted for
        HISTORY windows is the new history.
        """
        was_out = self.anomaly("") is not None
        self._newest.append(value)
        oldest = self._newest.popleft() if len(self._newest) > NEWEST else None
        if was_out and oldest is not None:
            self._meanwhile.append(oldest)
            if len(self._meanwhile) >= HISTORY:
                self._history.extend(self._meanwhile)
        elif oldest is not None:
            self._history.append(oldest)
        if self.anomaly("") is None:
            self._meanwhile.clear()

    def anomaly(self, called: str) -> Anomaly | None:
        """Return what is extraordinary of the version *called* so, None for nothing."""
        if len(self._history) < LEAST_HISTORY:
            return None
        middle = median(self._history)
        spread = median(abs(each - middle) for each in self._history)
        usual = min(self._history), max(self._history)
        nearest = min(self._newest)
        if nearest > usual[1] and self._is_far(nearest, middle, spread):
            return self._told(called, usual)
        nearest = max(self._newest)
        if self._series.is_two_sided and nearest < usual[0] and self._is_far(nearest, middle, spread):
            return self._told(called, usual)
        return None

    def _is_far(self, value: float, middle: float, spread: float) -> bool:
        series, distance = self._series, abs(value - middle)
        is_multiple = value > middle * series.ratio or value < middle / series.ratio
        return is_multiple and distance > MAD_FACTOR * spread and distance > series.floor

    def _told(self, called: str, usual: tuple[float, float]) -> Anomaly:
        series, value = self._series, self._newest[-1]
        low, high, now = (each * series.scale for each in (*usual, value))
        text = f"{TITLES[series.name]} of {called} is {now:.3g} {series.unit}, usually {low:.3g}-{high:.3g}"
        return Anomaly(series.name, value, usual, f"{text} {series.unit}")


TITLES: Final = {"latency_p95": "p95", "error_share": "the share of errors", "traffic": "the traffic"}


class VersionWatch:
    """All series of one version, from counters that only grow."""

    __slots__ = ("_watches",)

    def __init__(self) -> None:
        self._watches = {series.name: (series, Watch(series)) for series in SERIES}

    def look(self, requests: int, failures: int, p95_seconds: float | None, seconds: float) -> None:
        """Take one window of *seconds*: how many requests ended in it, how many of them the version failed.

        A window with too few requests says nothing of latency and errors, and is skipped there.
        """
        figures = {
            "latency_p95": p95_seconds, "error_share": failures / requests if requests else None,
            "traffic": requests / seconds,
        }  # fmt: skip
        for name, (series, watch) in self._watches.items():
            value = figures[name]
            if value is not None and requests >= series.least:
                watch.look(value)

    def anomalies(self, called: str) -> Sequence[Anomaly]:
        """Return what is extraordinary now."""
        found = (watch.anomaly(called) for _, watch in self._watches.values())
        return [each for each in found if each is not None]
