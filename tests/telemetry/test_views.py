"""Reading survives whatever lies in the directory."""

from __future__ import annotations

import math
import os
import struct
from typing import TYPE_CHECKING

import pytest

from gateway.core.outcomes import OK
from gateway.telemetry.layout import (
    ACTIVATED_AT,
    BLOCK_BYTES,
    CELL_BYTES,
    FILE_BYTES,
    FINGERPRINT_OFFSET,
    FIRST_COUNT,
    FIRST_GAUGE,
    HEADER_BYTES,
    RETIRED_AT,
    USED_BLOCKS,
    Layout,
)
from gateway.telemetry.slab import SlabDirectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_cell(path: Path, cell: int, value: float) -> None:
    with path.open("r+b") as file:
        file.seek(cell * CELL_BYTES)
        file.write(struct.pack("d", value))


def write_block_cell(cell: int, value: float) -> Callable[[Path], None]:
    return lambda path: write_cell(path, HEADER_BYTES // CELL_BYTES + cell, value)


def write_bytes(offset: int, data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    return write


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_a_link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: os.truncate(path, 0),
    "cut in the header": lambda path: os.truncate(path, 100),
    "cut in the blocks": lambda path: os.truncate(path, HEADER_BYTES + BLOCK_BYTES // 2),
    "cut at the end": lambda path: os.truncate(path, FILE_BYTES - 1),
    "longer": lambda path: os.truncate(path, FILE_BYTES + 1),
    "garbage of the right size": lambda path: path.write_bytes(os.urandom(FILE_BYTES)),
    "text": lambda path: path.write_bytes(b"\n" * FILE_BYTES),
    "another layout": write_bytes(FINGERPRINT_OFFSET, b"01234567"),
    "garbage after the layout": write_bytes(FINGERPRINT_OFFSET + 8, b"\xff" * 4000),
    "more blocks than fit": lambda path: write_cell(path, USED_BLOCKS, 5000.0),
    "less than no block": lambda path: write_cell(path, USED_BLOCKS, -1.0),
    "a gauge that is no number": lambda path: write_cell(path, FIRST_GAUGE, math.nan),
    "a key that is no text": write_bytes(HEADER_BYTES, b"\xff\xfe"),
    "a key without a version": write_bytes(HEADER_BYTES, b"fraud-1"),
    "a negative count": write_block_cell(FIRST_COUNT, -1.0),
    "an infinite count": write_block_cell(FIRST_COUNT + 3, math.inf),
    "a count that is no number": write_block_cell(FIRST_COUNT + 3, math.nan),
    "a time that is no number": write_block_cell(ACTIVATED_AT, math.nan),
    "retired before it was loaded": write_block_cell(RETIRED_AT, 1.0),
    "a directory": become_a_directory,
    "a pipe without a writer": become_a_pipe,
    "a link": become_a_link,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_and_hides_no_other(slabs: SlabDirectory, damage: Callable[[Path], object]) -> None:
    victim, healthy = slabs.acquire(), slabs.acquire()
    victim.version("fraud", "1")
    victim.close()
    [path] = [slabs.path / gauges.slab for gauges in slabs.gauges() if not gauges.live]
    healthy.version("fraud", "1").answered(OK, 0.1)

    damage(path)

    reading = slabs.read()
    assert reading.damaged == (path.name,)
    assert [slab.blocks[0].counts[OK] for slab in reading.slabs] == [1]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_worker_starts_beside_a_damaged_file(slabs: SlabDirectory, damage: Callable[[Path], object]) -> None:
    slab = slabs.acquire()
    slab.version("fraud", "1")
    slab.close()
    [path] = slabs.path.iterdir()
    damage(path)

    slabs.acquire().version("fraud", "1").answered(OK, 0.1)

    [sound] = slabs.read().slabs
    assert sound.blocks[0].counts[OK] == 1


def test_a_watchdog_sees_the_workers_beside_a_damaged_file(slabs: SlabDirectory) -> None:
    slabs.acquire()
    (slabs.path / "junk.slab").write_bytes(b"junk")

    assert [gauges.live for gauges in slabs.gauges()] == [True]


def test_a_slab_of_other_edges_is_damaged_to_this_reader(slabs: SlabDirectory) -> None:
    slabs.acquire()

    reading = SlabDirectory(slabs.path, Layout((0.1, 1.0))).read()

    assert (len(reading.slabs), len(reading.damaged)) == (0, 1)


def test_other_files_are_neither_read_nor_counted(slabs: SlabDirectory) -> None:
    slabs.acquire()
    (slabs.path / "README").touch()
    (slabs.path / "half.new").touch()

    reading = slabs.read()

    assert (len(reading.slabs), len(reading.damaged)) == (1, 0)


def test_a_directory_that_is_not_there_is_empty(slabs: SlabDirectory) -> None:
    assert slabs.read().slabs == ()
    assert slabs.gauges() == ()


def test_a_block_that_is_just_being_written_is_not_there_yet(slabs: SlabDirectory) -> None:
    slabs.acquire().version("fraud", "1")
    [path] = slabs.path.iterdir()

    write_block_cell(ACTIVATED_AT, 0.0)(path)

    [slab] = slabs.read().slabs
    assert slab.blocks == ()
