"""What became of every request, and which failures a fault explains."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

RIGHT = ""
"""What a sender returns for an answer that was right."""

BROKEN = "broken: "
"""How the text of a failure begins in which no answer came, but an end of the connection."""


TIMED = frozenset({"json", "binary", "grpc", "v1"})
"""The streams whose callers wait for nothing but the answer."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """Until *until*, on the monotonic clock, requests of *streams* may fail with a text that begins with one of
    *beginnings*, because of *fault*."""

    fault: str
    streams: frozenset[str]
    beginnings: tuple[str, ...]
    until: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that nothing explains, *at* seconds after the beginning."""

    at: float
    stream: str
    text: str


class Ledger:
    """Takes every outcome as it comes."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.sent: Counter[str] = Counter()
        self.explained: Counter[str] = Counter()
        self.unexplained: list[Failure] = []
        self._excuses: list[Excuse] = []
        self._latencies: list[float] = []

    def excuse(self, fault: str, streams: Iterable[str], beginnings: tuple[str, ...], seconds: float) -> None:
        """Explain failures from now on."""
        until = time.monotonic() + seconds
        self._excuses.append(Excuse(fault, frozenset(streams), beginnings, until))

    def note(self, stream: str, due: float, text: str) -> None:
        """Take the outcome of a request that was *due* then and ended now."""
        now = time.monotonic()
        self.sent[stream] += 1
        if text == RIGHT:
            if stream in TIMED:
                self._latencies.append(now - due)
            return
        self._excuses = [each for each in self._excuses if each.until > due]
        for each in self._excuses:
            if stream in each.streams and text.startswith(each.beginnings):
                self.explained[f"{each.fault}: {stream}"] += 1
                return
        self.unexplained.append(Failure(now - self.began, stream, text))

    def missed(self, fault: str, what: str) -> None:
        """Take what did not come after a fault."""
        self.unexplained.append(Failure(time.monotonic() - self.began, fault, what))

    def latencies_ms(self) -> tuple[float, float]:
        """Return the median and the 99 % quantile since the last call, from when each request was due."""
        taken, self._latencies = sorted(self._latencies), []
        if not taken:
            return 0.0, 0.0
        return statistics.median(taken) * 1000, taken[int(len(taken) * 0.99)] * 1000
