"""Reads slabs from outside: the control process for the scrape, the launcher for its watchdog.

Never fails and never writes. Files are read, not mapped: touching a map of a file that is
cut meanwhile kills the process that touches it. A file that is no sound slab is named
as damaged and left out.
"""

from __future__ import annotations

import fcntl
import math
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.telemetry.layout import (
    ACTIVATED_AT,
    BLOCK_BYTES,
    BLOCK_CELLS,
    BLOCKS,
    CELL_BYTES,
    FILE_BYTES,
    FINGERPRINT_OFFSET,
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

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".slab"

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class DamagedSlab(ValueError):
    """A file is no slab of this layout: cut, overwritten, or of another release."""


@dataclass(frozen=True, slots=True)
class WorkerGauges:
    """What the worker of a slab says of itself. *live* is False once its process is gone; the rest is its last word.
    *deaths*: of the workers before it in this slab.

    Times are seconds of the monotonic clock, which all processes of one machine share; 0 is "not yet".
    """

    slab: str
    live: bool
    pid: int
    started_at: float
    heartbeat: float
    loop_lag_seconds: float
    store_up: bool
    store_answered_at: float
    in_flight: int
    open_connections: int
    last_request_at: float
    deaths: int


@dataclass(frozen=True, slots=True)
class BlockView:
    """One incarnation of a version in one worker. *retired_at* is infinite while it is loaded.

    *counts* are cut up by the slices of the layout they were read with.
    """

    model: str
    version: str
    activated_at: float
    retired_at: float
    counts: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.model, self.version

    @property
    def is_loaded(self) -> bool:
        return self.retired_at == math.inf


@dataclass(frozen=True, slots=True)
class SlabView:
    """One slab as it was a moment ago. *refusals* and *told* are in the order of the layout's REFUSALS and TOLD."""

    gauges: WorkerGauges
    refusals: tuple[float, ...]
    told: tuple[float, ...]
    blocks: tuple[BlockView, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """All sound slabs of a directory, and the names of the files that are none."""

    slabs: tuple[SlabView, ...]
    damaged: tuple[str, ...]


def read_all(directory: Path, layout: Layout) -> Reading:
    """Read every slab in *directory*; empty where there is no such directory."""
    slabs, damaged = [], []
    for path in slab_files(directory):
        try:
            slabs.append(_read_file(path, layout))
        except FileNotFoundError:
            continue
        except (DamagedSlab, OSError):
            damaged.append(path.name)
    return Reading(tuple(slabs), tuple(damaged))


def read_gauges(directory: Path, layout: Layout) -> tuple[WorkerGauges, ...]:
    """Read what the workers say of themselves: the first page of each sound slab, cheap enough for a watchdog."""
    found = []
    for path in slab_files(directory):
        try:
            fd = os.open(path, _READ)
        except OSError:
            continue
        try:
            found.append(_gauges(path.name, fd, read_header(fd, layout)))
        except (DamagedSlab, OSError):
            continue
        finally:
            os.close(fd)
    return tuple(found)


def slab_files(directory: Path) -> list[Path]:
    """Return the paths in *directory* that are named like slabs, in order of their names."""
    try:
        return sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX))
    except OSError:
        return []


def read_header(fd: int, layout: Layout) -> memoryview[float]:
    """Return the cells of the first page. Raises DamagedSlab for a file that is no slab of *layout*."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size != FILE_BYTES:
        raise DamagedSlab("not a file of the right size")
    page = _read(fd, HEADER_BYTES, 0)
    if page[:FINGERPRINT_OFFSET] != MAGIC or page[FINGERPRINT_OFFSET:][:CELL_BYTES] != layout.fingerprint:
        raise DamagedSlab("not a slab of this layout")
    cells = _cells(page)
    if not all(map(math.isfinite, cells[FIRST_GAUGE:].tolist())) or not 0 <= cells[USED_BLOCKS] <= BLOCKS:
        raise DamagedSlab("a cell of the header holds what no worker writes")
    return cells


def read_blocks(fd: int, header: memoryview[float], layout: Layout) -> list[tuple[int, BlockView]]:
    """Return the blocks that hold a version, each with its place. Raises DamagedSlab."""
    used = int(header[USED_BLOCKS])
    data = _read(fd, used * BLOCK_BYTES, HEADER_BYTES)
    cells = _cells(data)
    blocks = []
    for place in range(used):
        start = place * BLOCK_CELLS
        if cells[start + ACTIVATED_AT]:
            key = data[place * BLOCK_BYTES : place * BLOCK_BYTES + KEY_BYTES]
            blocks.append((place, _block(key, list(cells[start : start + BLOCK_CELLS]), layout)))
    return blocks


def _read_file(path: Path, layout: Layout) -> SlabView:
    fd = os.open(path, _READ)
    try:
        header = read_header(fd, layout)
        blocks = tuple(block for _, block in read_blocks(fd, header, layout))
        refusals = tuple(header[FIRST_REFUSAL : FIRST_REFUSAL + len(REFUSALS)].tolist())
        told = tuple(header[FIRST_TOLD : FIRST_TOLD + len(TOLD)].tolist())
        return SlabView(_gauges(path.name, fd, header), refusals, told, blocks)
    finally:
        os.close(fd)


def _read(fd: int, size: int, offset: int) -> bytes:
    data = os.pread(fd, size, offset)
    if len(data) != size:
        raise DamagedSlab("cut while it was read")
    return data


def _cells(data: bytes) -> memoryview[float]:
    return memoryview(data).cast("d")


def _gauges(name: str, fd: int, header: memoryview[float]) -> WorkerGauges:
    said = dict(zip(GAUGES, header[FIRST_GAUGE:USED_BLOCKS].tolist(), strict=True))
    return WorkerGauges(
        slab=name,
        live=_is_held(fd),
        pid=int(said["pid"]),
        started_at=said["started_at"],
        heartbeat=said["heartbeat"],
        loop_lag_seconds=said["loop_lag_seconds"],
        store_up=said["store_up"] > 0,
        store_answered_at=said["store_answered_at"],
        in_flight=int(said["in_flight"]),
        open_connections=int(said["open_connections"]),
        last_request_at=said["last_request_at"],
        deaths=int(said["deaths"]),
    )


def _is_held(fd: int) -> bool:
    """Say whether a worker holds this slab's lock, which the kernel releases at the moment the worker dies.

    The look takes a shared lock for a few microseconds. A worker that starts just then finds
    the slab busy and makes another one, which costs a file and no count.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def _block(key: bytes, cells: list[float], layout: Layout) -> BlockView:
    try:
        model, separator, version = key.rstrip(b"\0").decode().rpartition("/")
    except UnicodeDecodeError as exc:
        raise DamagedSlab("a block's key is no text") from exc
    activated_at, retired_at = cells[ACTIVATED_AT], cells[RETIRED_AT] or math.inf
    counts = tuple(cells[FIRST_COUNT : FIRST_COUNT + layout.counters])
    if not separator or not 0 < activated_at <= retired_at or min(counts) < 0 or not math.isfinite(sum(counts)):
        raise DamagedSlab("a block holds what no worker writes")
    return BlockView(model, version, activated_at, retired_at, counts)
