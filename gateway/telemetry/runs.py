"""What the engine is running in this worker, in memory that outlives it: who reads it after a crash knows the cause.

One page per lane: whose lane it is, how many requests are being run, and a fingerprint of each. Written
before a run and cleared after it; nothing here is read on the way.
"""

from __future__ import annotations

import logging
import mmap
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.ports.engine import RunSeat
    from gateway.telemetry.crashes import CrashTable

log = logging.getLogger(__name__)

RUNS: Final = ".runs"
SEATS: Final = 1024
SEAT_BYTES: Final = 4096
SEAT_CELLS: Final = SEAT_BYTES // 8
NAME_CELLS: Final = 20
"""Model and version, 160 bytes, as in a slab."""
COUNT: Final = NAME_CELLS
FIRST: Final = COUNT + 1
MOST: Final = SEAT_CELLS - FIRST
"""So many requests of one run are written down; those of a longer one are not blamed."""

READINGS: Final = 100
"""So often a table is read that is just being written, which takes its writer less than one reading."""

LOOKS: Final = 5
"""So often a suspect is looked for while others are being buried."""

_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Running:
    """The requests of one version that a worker was running when it died, by their fingerprints."""

    model: str
    version: str
    prints: tuple[int, ...]


class Seat:
    """The port ``RunSeat``: one lane's page. Measured with the fingerprint on a busy machine: 1.3 µs a run."""

    __slots__ = ("_cells", "_close", "_log")

    def __init__(self, log_: RunFile, cells: memoryview[int], close: Callable[[], None]) -> None:
        self._log = log_
        self._cells = cells
        self._close = close

    def is_clean(self, prints: Sequence[int]) -> bool:
        crashes = self._log.crashes()
        return not crashes or crashes.keys().isdisjoint(prints)

    def crashes(self, print_: int) -> int:
        log_ = self._log
        found = 0
        for _ in range(LOOKS):
            crashes, until = log_.crashes().get(print_, (0, 0.0))
            if until <= time.monotonic():
                return 0
            found = crashes + log_.unburied(print_)  # once suspected it takes a millisecond to look
            if log_.is_current():  # else one was buried in between, and counts in neither
                break
        return found

    def begin(self, prints: Sequence[int]) -> None:
        cells = self._cells
        at = FIRST
        for each in prints[:MOST]:
            cells[at] = each
            at += 1
        cells[COUNT] = at - FIRST

    def end(self) -> None:
        self._cells[COUNT] = 0

    def close(self) -> None:
        self._close()


class RunFile:
    """The port ``RunLog`` over a file of this process."""

    def __init__(self, directory: Path, table: CrashTable) -> None:
        """Make the file. Raises OSError."""
        self._path = directory / f"{os.getpid()}{RUNS}"
        self._fd = os.open(self._path, _CREATE, 0o600)
        os.ftruncate(self._fd, SEATS * SEAT_BYTES)
        self._bytes = memoryview(mmap.mmap(self._fd, SEATS * SEAT_BYTES))
        self._free = list(reversed(range(SEATS)))
        self._table = table
        self._generation = 0
        self._crashes: Mapping[int, tuple[int, float]] = {}

    def seat(self, model: str, version: int) -> RunSeat:
        """Return a page for a lane. Never fails: where there is no room for it, nobody will read it."""
        try:
            place = self._claim(f"{model}/{version}".encode())
        except (OSError, IndexError) as exc:
            log.warning("version %d of model %r is not watched for crashes: %r", version, model, exc)
            return Seat(self, memoryview(bytearray(SEAT_BYTES)).cast("q"), lambda: None)
        start = place * SEAT_BYTES
        cells = self._bytes[start : start + SEAT_BYTES].cast("q")
        return Seat(self, cells, lambda: self._free.append(place))

    def crashes(self) -> Mapping[int, tuple[int, float]]:
        """Return what the table says now, read again only when it changed."""
        for _ in range(READINGS):
            if self.is_current():
                break
            generation = self._table.generation
            self._crashes = self._table.read()
            self._generation = generation - generation % 2  # what is read while it is written is read again
        return self._crashes

    def is_current(self) -> bool:
        """Say whether the table has not changed since it was read."""
        return self._table.generation == self._generation

    def unburied(self, print_: int) -> int:
        """Return how many other workers are running *print_*, or ended over it a moment ago.

        Between a worker's end and the launcher's word of it a caller who tries again at once could end one more.
        """
        others = (path for path in self._path.parent.glob(f"*{RUNS}") if path != self._path)
        return sum(any(print_ in running.prints for running in read_runs(path)) for path in others)

    def close(self) -> None:
        """Remove the file: who ends in order leaves nothing to read."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def _claim(self, name: bytes) -> int:
        place = self._free[-1]
        start = place * SEAT_BYTES
        os.posix_fallocate(self._fd, start, SEAT_BYTES)  # on a full disk an error here, a SIGBUS at the first run
        self._bytes[start : start + SEAT_BYTES] = name[: NAME_CELLS * 8].ljust(SEAT_BYTES, b"\0")
        self._free.pop()
        return place


def read_runs(path: Path) -> Sequence[Running]:
    """Return what the process that wrote the file at *path* was running; empty where there is no such file."""
    try:
        content = path.read_bytes()
    except OSError:
        return ()
    pages = (content[start : start + SEAT_BYTES] for start in range(0, len(content), SEAT_BYTES))
    return [running for page in pages if (running := _running(page)) is not None]


def _running(page: bytes) -> Running | None:
    if len(page) < SEAT_BYTES:
        return None
    cells = memoryview(page).cast("q")
    count = cells[COUNT]
    model, _, version = page[: NAME_CELLS * 8].rstrip(b"\0").decode(errors="replace").rpartition("/")
    if not 0 < count <= MOST or not model:
        return None
    return Running(model, version, tuple(cells[FIRST : FIRST + count].tolist()))
