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

DUE_BEFORE_SECONDS = 20.0
"""What a fault meets may have been due for as long as a caller waits."""


@dataclass(slots=True)
class Excuse:
    """Because of *fault*, requests of *streams* that were due between *since* and *until* (on the monotonic clock) may
    fail with a text that begins with one of *beginnings*."""

    fault: str
    streams: frozenset[str]
    beginnings: tuple[str, ...]
    since: float
    until: float

    def end(self, seconds: float) -> None:
        """Say that the fault is over, and excuses nothing that is due later than *seconds* from now."""
        self.until = time.monotonic() + seconds

    def explains(self, stream: str, due: float, text: str) -> bool:
        """Say whether a request of *stream* may have failed with *text*."""
        return self.since <= due < self.until and stream in self.streams and text.startswith(self.beginnings)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that nothing explains, *at* seconds after the beginning."""

    at: float
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Window:
    """How fast answers were in the seconds before *at*, from when each request was due."""

    at: float
    p50_ms: float
    p99_ms: float


class Ledger:
    """Takes every outcome as it comes."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.sent: Counter[str] = Counter()
        self.explained: Counter[str] = Counter()
        self.unexplained: list[Failure] = []
        self.windows: list[Window] = []
        self.sent_again = 0
        """Labels, as a refusal with 503 asks for."""
        self._excuses: list[Excuse] = []
        self._latencies: list[float] = []

    def begin(self) -> None:
        """Count the seconds from now on."""
        self.began = time.monotonic()

    def excuse(
        self,
        fault: str,
        streams: Iterable[str],
        beginnings: tuple[str, ...],
        seconds: float,
        before: float = DUE_BEFORE_SECONDS,
    ) -> Excuse:
        """Explain failures of what is due from *before* seconds before now until *seconds* after it."""
        now = time.monotonic()
        excuse = Excuse(fault, frozenset(streams), beginnings, now - before, now + seconds)
        self._excuses.append(excuse)
        return excuse

    def note(self, stream: str, due: float, text: str) -> None:
        """Take the outcome of a request that was *due* then and ended now."""
        now = time.monotonic()
        self.sent[stream] += 1
        if text == RIGHT:
            if stream in TIMED:
                self._latencies.append(now - due)
            return
        for each in self._excuses:
            if each.explains(stream, due, text):
                self.explained[f"{each.fault}: {stream}"] += 1
                return
        self.unexplained.append(Failure(now - self.began, stream, text))

    def missed(self, fault: str, what: str) -> None:
        """Take what did not come after a fault."""
        self.unexplained.append(Failure(time.monotonic() - self.began, fault, what))

    def close_window(self) -> Window:
        """Return how fast the answers since the last call were; kept where there were any."""
        taken, self._latencies = sorted(self._latencies), []
        at = time.monotonic() - self.began
        if not taken:
            return Window(at, 0.0, 0.0)
        window = Window(at, statistics.median(taken) * 1000, taken[int(len(taken) * 0.99)] * 1000)
        self.windows.append(window)
        return window
