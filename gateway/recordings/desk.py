"""Takes answered requests of this worker in a bounded queue, and writes them beside the requests, in a thread.

Recordings are the first to go: nothing is written while a caller waits for a run, and what does not fit into the queue
meanwhile is dropped and counted. A disk that fails costs recordings, and is said once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Final

from gateway.core.errors import RecordingsUnreadable
from gateway.recordings.line import MAX_BYTES, TooLarge, line_of, tensor_bytes
from gateway.recordings.redaction import Redactor, Unhidden

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.ports.observing import Answered
    from gateway.recordings.files import RecordingFiles

log = logging.getLogger(__name__)

MOST_WAITING: Final = 256
MOST_BYTES: Final = 16 << 20
"""Of the tensors that wait: large ones must not pile up."""
AT_ONCE: Final = 32
"""So many are written before somebody looks whether a caller waits."""
EVERY_SECONDS: Final = 0.1
SWEEP_SECONDS: Final = 10.0


class RecordingDesk:
    """Implements ``ports.Recorder``."""

    def __init__(
        self, files: RecordingFiles, is_busy: Callable[[], bool], clock: Callable[[], float] = time.time
    ) -> None:
        """*is_busy* says whether a caller waits for a run. *clock*: seconds since the epoch."""
        self._files = files
        self._is_busy = is_busy
        self._clock = clock
        self._waiting: deque[tuple[Answered, int, int]] = deque()
        self._bytes = 0
        self._redactor: Redactor | None = None
        self._complaint = ""

    def offer(self, answered: Answered) -> None:
        """Take a request, or drop and count it."""
        size = sum(map(tensor_bytes, (*answered.feeds, *answered.outputs)))
        if size > MAX_BYTES:
            answered.cells.recorded("large")
        elif len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            answered.cells.recorded("full")
        else:
            self._waiting.append((answered, size, int(self._clock() * 1000)))
            self._bytes += size

    async def run_forever(self) -> None:
        """Write what waits whenever no caller does, and let go of what was kept long enough."""
        swept = float("-inf")
        while True:
            while self._waiting and not self._is_busy():
                await self._write()
            if time.monotonic() - swept >= SWEEP_SECONDS:
                swept = time.monotonic()
                await self._sweep()
            await asyncio.sleep(EVERY_SECONDS)

    async def finish(self) -> None:
        """Write all that waits: the worker ends."""
        while self._waiting:
            await self._write()

    async def _write(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        self._bytes -= sum(size for _, size, _ in taken)
        batch = [(answered, at_ms) for answered, _, at_ms in taken]
        outcomes = await asyncio.to_thread(self._outcomes, batch)
        for (answered, _), outcome in zip(batch, outcomes, strict=True):
            answered.cells.recorded(outcome)

    def _outcomes(self, batch: Sequence[tuple[Answered, int]]) -> list[str]:
        """Write *batch*, on a thread, and return what became of each."""
        outcomes: list[str] = []
        for (model, record), group in groupby(batch, key=lambda each: (each[0].model, each[0].record)):
            made = [self._line(answered, at_ms) for answered, at_ms in group]
            lines = [each for each in made if isinstance(each, bytes)]
            kept = self._kept(lambda: self._files.append(
                model, lines, keep_seconds=record.keep_seconds, max_bytes=record.max_bytes  # noqa: B023 - called here
            ))  # fmt: skip
            outcomes += [each if isinstance(each, str) else "kept" if kept else "failed" for each in made]
        return outcomes

    def _line(self, answered: Answered, at_ms: int) -> bytes | str:
        """Return the line to be written, or why there is none."""
        try:
            if self._redactor is None:
                self._redactor = Redactor(self._files.secret())
            return line_of(answered, self._redactor, at_ms)
        except Unhidden as exc:
            self._complain(f"requests of {answered.model!r} are not recorded: {str(exc)!r}, which its route hides, is "
                           f"not in all of them, or cannot be hidden so; correct record.redact")  # fmt: skip
            return "unhidden"
        except TooLarge:
            return "large"
        except RecordingsUnreadable as exc:
            self._complain(str(exc))
            return "failed"

    async def _sweep(self) -> None:
        await asyncio.to_thread(self._kept, self._files.sweep)

    def _kept(self, act: Callable[[], None]) -> bool:
        """Say whether *act* on the disk went well; where it did not, say that once."""
        try:
            act()
        except RecordingsUnreadable as exc:
            self._complain(str(exc))
            return False
        return True

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            log.warning("%s", complaint)
