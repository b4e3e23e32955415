"""The access log: a JSON line for each request of a sample, written many at a time by a thread of its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from gateway.core.sampling import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.sampling import Sampling
    from gateway.core.trace_context import TraceContext
    from gateway.ports.observing import Seen
    from gateway.telemetry.outbox import Outbox


class AccessLog:
    """Implements ``ports.Witness``."""

    def __init__(
        self, sampling: Sampling, outbox: Outbox[Seen], clock: Callable[[], float], draw: Callable[[], int]
    ) -> None:
        """*clock* gives seconds and does not go back; *draw* an integer in [0, DRAWS)."""
        self._sampling = sampling
        self._pace = Pace(sampling.per_second)
        self._clock = clock
        self._draw = draw
        self.see = outbox.put
        """Takes what ended; itself, for one call less."""

    def takes(self, trace: TraceContext | None) -> bool:  # noqa: ARG002 - a line is drawn whatever trace it belongs to
        """Say whether the request gets a line."""
        return self._sampling.draws(self._draw()) and self._pace.takes(self._clock())


class LineWriter:
    """Writes lines to a stream, a batch in one piece. It blocks while nobody reads the stream."""

    def __init__(self, stream: BinaryIO, pid: int) -> None:
        self._stream = stream
        self._pid = pid

    def __call__(self, batch: Sequence[Seen]) -> bool:
        """Write the lines of a batch; False where the stream takes none."""
        lines = b"".join(_line(seen, self._pid) for seen in batch)
        try:
            self._stream.write(lines)
            self._stream.flush()
        except OSError:
            return False
        return True


def _line(seen: Seen, pid: int) -> bytes:
    """Return one line in ASCII, so that no character of it ends a line or moves a cursor."""
    time = datetime.fromtimestamp(seen.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said: dict[str, Any] = {
        "time": time,
        "level": "INFO",
        "logger": "gateway.access",
        "message": "request",
        "pid": pid,
        "request_id": seen.request_id,
        "trace_id": None if seen.trace is None else seen.trace.trace_id,
        "door": seen.door,
        "status": seen.status,
        "outcome": seen.outcome,
        "error": seen.error or None,
        "model": seen.model,
        "version": seen.version,
        "revision": seen.revision,
        "rule": seen.rule or None,
        "fallback_from": seen.fallback_from,
        "seconds": round(seen.ended - seen.started, 6),
        "queue_seconds": None if seen.run is None else round(seen.run.began - seen.run.queued, 6),
        "run_seconds": None if seen.run is None or seen.run.seconds is None else round(seen.run.seconds, 6),
    }
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode() + b"\n"
