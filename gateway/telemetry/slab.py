"""Counts what one worker does, in a file that outlives it.

Each worker owns one slab and alone writes it, so no count needs a lock. A worker that is killed leaves
its counts behind, and the worker that replaces it takes over the slab and counts on.

Put the directory on a memory file system (``/dev/shm``) where there is one: a store into a page
that the kernel is just writing to a disk waits for that disk.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.core.outcomes import MODEL_ERROR
from gateway.telemetry.cells import BlockCells
from gateway.telemetry.layout import (
    ACTIVATED_AT,
    BLOCK_BYTES,
    BLOCK_CELLS,
    BLOCKS,
    CELL_BYTES,
    FILE_BYTES,
    FIRST_COUNT,
    FIRST_GAUGE,
    FIRST_REFUSAL,
    FIRST_TOLD,
    GAUGES,
    HEADER_BYTES,
    KEY_BYTES,
    MAGIC,
    REFUSALS,
    RETIRED_AT,
    TOLD,
    USED_BLOCKS,
    Layout,
)
from gateway.telemetry.views import (
    SUFFIX,
    DamagedSlab,
    Reading,
    WorkerGauges,
    read_all,
    read_blocks,
    read_gauges,
    read_header,
    slab_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_AT: Final = {name: FIRST_GAUGE + place for place, name in enumerate(GAUGES)}
_HEARTBEAT: Final = _AT["heartbeat"]
_LOOP_LAG: Final = _AT["loop_lag_seconds"]
_STORE_UP: Final = _AT["store_up"]
_STORE_ANSWERED_AT: Final = _AT["store_answered_at"]
_IN_FLIGHT: Final = _AT["in_flight"]
_OPEN_CONNECTIONS: Final = _AT["open_connections"]
_LAST_REQUEST_AT: Final = _AT["last_request_at"]
_DEATHS: Final = _AT["deaths"]

_REFUSAL: Final = {reason: FIRST_REFUSAL + place for place, reason in enumerate(REFUSALS)}
_TOLD: Final = {what: FIRST_TOLD + place for place, what in enumerate(TOLD)}
_OTHER_REFUSAL: Final = _REFUSAL["other"]

_HEADER_CELLS: Final = HEADER_BYTES // CELL_BYTES
_UNFINISHED: Final = ".new"
_OPEN: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class WorkerSlab:
    """The port ``Metrics`` of one worker, its gauges, and the lock that says that the worker lives.

    A version that is loaded again after it was unloaded counts from zero, in a block of its own. Blocks that a dead
    predecessor left loaded are continued when this worker loads the same versions; once it has loaded what
    it wants, ``retire_unclaimed`` ends the others.
    """

    def __init__(self, fd: int, layout: Layout, clock: Callable[[], float]) -> None:
        """Take over the open, locked file *fd*. Raises DamagedSlab, OSError."""
        blocks = read_blocks(fd, read_header(fd, layout), layout)
        self._fd = fd
        self._layout = layout
        self._clock = clock
        self._unclaimed = {block.key: place for place, block in blocks if block.is_loaded}
        self._places: dict[tuple[str, str], int] = {}
        self._cells: dict[tuple[str, str], BlockCells] = {}
        self._bytes = memoryview(mmap.mmap(fd, FILE_BYTES))
        self._file = self._bytes.cast("d")
        self._reset_gauges()

    def version(self, model: str, version: str) -> BlockCells:
        """Return the cells of a version; the same ones until it is retired.

        Never fails for want of room: a version for which there is none, on the disk or in the slab, is
        counted where nobody sees it, and the log says so.
        """
        key = (model, version)
        cells = self._cells.get(key)
        if cells is None:
            cells = self._cells[key] = self._claim(key)
        return cells

    def follows_a_death(self) -> None:
        """Count that this worker's predecessor died or hung, whatever it was doing."""
        self._file[_DEATHS] += 1

    def lost(self, model: str, version: str, requests: int) -> None:
        """Count a crash of this worker's predecessor against the version that it was running *requests* of."""
        cells = self.version(model, version)
        cells.happened("crashed")
        for _ in range(requests):
            cells.answered(MODEL_ERROR, 0.0)

    def retire(self, model: str, version: str) -> None:
        """End the series of a version that this worker unloaded. What still runs may go on counting into its cells."""
        key = (model, version)
        self._cells.pop(key, None)
        place = self._places.pop(key, None)
        if place is None:
            place = self._unclaimed.pop(key, None)
        if place is not None:
            self._file[_first_cell(place) + RETIRED_AT] = self._clock()

    def retire_unclaimed(self) -> None:
        """End the series of the versions that a dead predecessor had and this worker, done loading, does not have."""
        for model, version in list(self._unclaimed):
            self.retire(model, version)

    def traffic(self, in_flight: int, last_request_at: float) -> None:
        """Say how many requests are under way, and when the last one began (monotonic seconds, 0 before any)."""
        self._file[_IN_FLIGHT] = in_flight
        self._file[_LAST_REQUEST_AT] = last_request_at

    def connections(self, open_now: int) -> None:
        self._file[_OPEN_CONNECTIONS] = open_now

    def heartbeat(self, now: float, loop_lag_seconds: float = 0.0) -> None:
        """Say that the event loop turns, and how late it came to say so."""
        self._file[_LOOP_LAG] = loop_lag_seconds
        self._file[_HEARTBEAT] = now

    def store_seen(self, now: float, *, up: bool) -> None:
        """Say whether the store just answered. Staleness counts from its last answer, or from the start."""
        self._file[_STORE_UP] = up
        if up:
            self._file[_STORE_ANSWERED_AT] = now

    def route_refused(self, reason: str) -> None:
        """Count a stored route that was not adopted; a reason outside the layout's REFUSALS counts as other."""
        self._file[_REFUSAL.get(reason, _OTHER_REFUSAL)] += 1.0

    def told(self, signal: str, outcome: str, many: int) -> None:
        """Count what became of *many* records of single requests, as the layout's TOLD names it."""
        self._file[_TOLD[signal, outcome]] += many

    def close(self) -> None:
        """Give the slab free for a successor; the last thing that a worker does. Versions stay loaded in it."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)  # closing is not enough: the mapping holds a duplicate of the descriptor
        os.close(self._fd)

    def _reset_gauges(self) -> None:
        now = self._clock()
        fresh = {"pid": os.getpid(), "started_at": now, "heartbeat": now, "store_answered_at": now}
        for name, cell in _AT.items():
            if name != "deaths":
                self._file[cell] = fresh.get(name, 0.0)

    def _claim(self, key: tuple[str, str]) -> BlockCells:
        place = self._unclaimed.pop(key, None)
        try:
            place = self._activate(key) if place is None else place
        except OSError as exc:
            log.warning("version %s of model %s is not counted: %s", key[1], key[0], exc)
            return BlockCells(memoryview(bytearray(BLOCK_BYTES)).cast("d"), self._layout)
        self._places[key] = place
        return BlockCells(self._file[_first_cell(place) + FIRST_COUNT : _first_cell(place + 1)], self._layout)

    def _activate(self, key: tuple[str, str]) -> int:
        """Write a fresh block for *key*, the time last: a reader, or a successor, sees all of it or nothing."""
        name = "/".join(key).encode()
        if len(name) > KEY_BYTES:
            raise ValueError(f"{key} is longer than the {KEY_BYTES} bytes that a slab has for a model and a version")
        place = self._free_place()
        start = HEADER_BYTES + place * BLOCK_BYTES
        os.posix_fallocate(self._fd, start, BLOCK_BYTES)  # on a full disk an error here, a SIGBUS at the first count
        self._file[_first_cell(place) + ACTIVATED_AT] = 0.0
        self._bytes[start : start + BLOCK_BYTES] = name.ljust(BLOCK_BYTES, b"\0")
        self._file[_first_cell(place) + ACTIVATED_AT] = self._clock()
        self._file[USED_BLOCKS] = max(self._file[USED_BLOCKS], place + 1)
        return place

    def _free_place(self) -> int:
        """Return the next unused block; when all were used, the one whose version has been gone the longest."""
        used = int(self._file[USED_BLOCKS])
        if used < BLOCKS:
            return used
        retired = {place: at for place in range(used) if (at := self._file[_first_cell(place) + RETIRED_AT])}
        if not retired:
            raise OSError(f"all {BLOCKS} blocks of the slab hold loaded versions")
        return min(retired, key=retired.__getitem__)


class SlabDirectory:
    """The slabs of one gateway: workers acquire them, the control process and the launcher read them."""

    def __init__(self, path: Path, layout: Layout | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.layout = layout or Layout()
        self._clock = clock

    def acquire(self) -> WorkerSlab:
        """Return a slab for this worker: one whose worker is gone, with its counts, else a new one. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in slab_files(self.path):
            slab = self._take_over(path)
            if slab is not None:
                return slab
        return self._create()

    def wipe(self) -> None:
        """Remove every slab. For the launcher, before it starts the first worker."""
        leftovers = self.path.glob(f"*{_UNFINISHED}")
        for path in (*slab_files(self.path), *leftovers):
            path.unlink(missing_ok=True)

    def read(self) -> Reading:
        """Return all that the workers counted and say; never fails."""
        return read_all(self.path, self.layout)

    def gauges(self) -> tuple[WorkerGauges, ...]:
        """Return what the workers say of themselves; never fails, and costs a page per worker."""
        return read_gauges(self.path, self.layout)

    def _take_over(self, path: Path) -> WorkerSlab | None:
        try:
            fd = os.open(path, _OPEN)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return WorkerSlab(fd, self.layout, self._clock)
        except (DamagedSlab, OSError):  # a held lock is an OSError too
            os.close(fd)
            return None

    def _create(self) -> WorkerSlab:
        """Make a slab under another name and rename it once it is whole and locked: nobody ever meets half of one."""
        fd, name = tempfile.mkstemp(dir=self.path, prefix="worker-", suffix=_UNFINISHED)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.posix_fallocate(fd, 0, HEADER_BYTES)
            os.ftruncate(fd, FILE_BYTES)
            os.pwrite(fd, MAGIC + self.layout.fingerprint, 0)
            slab = WorkerSlab(fd, self.layout, self._clock)
            Path(name).rename(Path(name).with_suffix(SUFFIX))
        except OSError:
            os.close(fd)
            Path(name).unlink(missing_ok=True)
            raise
        return slab


def _first_cell(place: int) -> int:
    return _HEADER_CELLS + place * BLOCK_CELLS
