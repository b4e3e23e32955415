"""Which inputs were being run when workers crashed: written by the launcher, read by every worker.

A table of fixed size in a file that the launcher alone writes. Its first cell rises before and after every change, so a
worker sees by one look that there is something to read, and by an odd number that it is just being written.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import TYPE_CHECKING, Final

from gateway.telemetry.runs import RUNS, read_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.telemetry.runs import Running

TABLE: Final = "crashes"
ENTRIES: Final = 256
ENTRY_CELLS: Final = 3
"""The fingerprint, how many workers it was seen to crash, and when it is forgotten (monotonic milliseconds)."""
TABLE_BYTES: Final = (1 + ENTRIES * ENTRY_CELLS) * 8

SUSPECTED_SECONDS: Final = 60.0
"""How long an input that was run at one crash waits for a second one before it is innocent."""
REFUSED_SECONDS: Final = 600.0
"""How long an input that was run at two crashes is refused; then it is forgotten."""
LIMIT: Final = 2
"""An input that was run at so many crashes is refused."""

_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class CrashTable:
    """The table, on both sides."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the table in *directory*, or make it. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory / TABLE, _CREATE, 0o600)
        try:
            os.posix_fallocate(fd, 0, TABLE_BYTES)
            self._cells = memoryview(mmap.mmap(fd, TABLE_BYTES)).cast("q")
        finally:
            os.close(fd)
        self._clock = clock

    @property
    def generation(self) -> int:
        """Rises by two with every change; odd while one is being written."""
        return self._cells[0]

    def read(self) -> Mapping[int, tuple[int, float]]:
        """Return, by fingerprint, the number of crashes and until when (monotonic seconds) it is remembered."""
        cells = self._cells[1:].tolist()
        rows = zip(*(iter(cells),) * ENTRY_CELLS, strict=True)
        return {print_: (crashes, until / 1000) for print_, crashes, until in rows if crashes}

    def blame(self, prints: Sequence[int]) -> None:
        """Count one crash against each of *prints*. For the launcher alone; where it is full the oldest go."""
        now = self._clock()
        known = {each: entry for each, entry in self.read().items() if entry[1] > now}
        for each in dict.fromkeys(prints):
            crashes = known.pop(each, (0, 0.0))[0] + 1
            known[each] = crashes, now + (REFUSED_SECONDS if crashes >= LIMIT else SUSPECTED_SECONDS)
        newest = sorted(known.items(), key=lambda entry: entry[1])[-ENTRIES:]
        flat = [cell for each, (crashes, until) in newest for cell in (each, crashes, int(until * 1000))]
        self._cells[0] |= 1  # also where a launcher ended in the middle of a change
        for place, cell in enumerate(flat + [0] * (ENTRIES * ENTRY_CELLS - len(flat)), 1):
            self._cells[place] = cell
        self._cells[0] += 1


def bury(directory: Path, pid: int, *, crashed: bool) -> Sequence[Running]:
    """Return what process *pid*, which is gone, was running, if that *crashed* it; blame it, and remove its file."""
    path = directory / f"{pid}{RUNS}"
    running = read_runs(path) if crashed else ()
    if running:
        CrashTable(directory).blame([each for version in running for each in version.prints])
    path.unlink(missing_ok=True)
    return running
