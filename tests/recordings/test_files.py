"""Recordings on disk: how long they stay, how large they get, who may read them."""

from __future__ import annotations

import fcntl
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import RecordingsUnreadable
from gateway.recordings.files import PARTS, RecordingFiles

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600
BYTES = 8 << 20
LINE = b'{"n":%d}\n'


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(tmp_path: Path, clock: Clock) -> RecordingFiles:
    return RecordingFiles(tmp_path / "recordings", clock)


def write(files: RecordingFiles, *lines: bytes, keep_seconds: int = HOUR, model: str = "fraud") -> None:
    files.append(model, lines, keep_seconds=keep_seconds, max_bytes=BYTES)


def test_what_is_written_is_read_in_its_order(files: RecordingFiles, clock: Clock) -> None:
    write(files, LINE % 1, LINE % 2)
    clock.now += HOUR / 2
    write(files, LINE % 3)

    assert list(files.read("fraud")) == [LINE % 1, LINE % 2, LINE % 3]
    (found,) = files.recordings()
    assert (found.model, found.requests, found.bytes, found.since) == ("fraud", 3, 24, clock.now - HOUR / 2)


def test_nothing_is_there_before_anything_is_recorded(files: RecordingFiles, tmp_path: Path) -> None:
    files.sweep()

    assert (list(files.recordings()), list(files.read("fraud")), files.delete("fraud")) == ([], [], 0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_longer_than_was_said(files: RecordingFiles, clock: Clock, tmp_path: Path) -> None:
    write(files, LINE % 1)
    clock.now += HOUR / 2
    write(files, LINE % 2)

    clock.now += HOUR / 2
    assert list(files.read("fraud")) == [LINE % 2]
    clock.now += HOUR / 2
    assert (list(files.recordings()), list(files.read("fraud"))) == ([], []), "not even before it is swept"
    files.sweep()
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_another_time_to_keep_holds_for_what_is_written_from_then_on(files: RecordingFiles, clock: Clock) -> None:
    write(files, LINE % 1, keep_seconds=2 * HOUR)
    write(files, LINE % 2, keep_seconds=HOUR)

    clock.now += HOUR + 1
    assert list(files.read("fraud")) == [LINE % 1]


def test_the_oldest_goes_where_there_is_too_much(files: RecordingFiles) -> None:
    long = b'{"%s":1}\n' % (b"a" * (BYTES // PARTS - 20))
    write(files, LINE % 1)

    write(files, *[long] * (PARTS + 2))

    (found,) = files.recordings()
    assert BYTES * (PARTS - 2) // PARTS < found.bytes <= BYTES
    assert LINE % 1 not in set(files.read("fraud"))


def test_a_line_that_a_crash_cut_off_is_left_out_and_swallows_no_other(files: RecordingFiles, tmp_path: Path) -> None:
    write(files, LINE % 1)
    (segment,) = tmp_path.rglob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"n":')

    write(files, LINE % 2)

    assert list(files.read("fraud")) == [LINE % 1, LINE % 2]


def test_two_models_do_not_share(files: RecordingFiles) -> None:
    write(files, LINE % 1)
    write(files, LINE % 2, model="iris")

    assert files.delete("fraud") == 8
    assert [each.model for each in files.recordings()] == ["iris"]


def test_writers_of_several_processes_lose_nothing(tmp_path: Path) -> None:
    def work(worker: int) -> None:
        files = RecordingFiles(tmp_path / "recordings")
        for number in range(50):
            write(files, LINE % (worker * 1000 + number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    lines = list(RecordingFiles(tmp_path / "recordings").read("fraud"))
    assert sorted(lines) == sorted(LINE % (worker * 1000 + number) for worker in range(4) for number in range(50))


def test_one_process_at_a_time_writes_and_deletes(files: RecordingFiles, tmp_path: Path) -> None:
    write(files, LINE % 1)

    with (tmp_path / "recordings" / "fraud" / "lock").open() as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        writing = pool.submit(write, files, LINE % 2)
        with pytest.raises(TimeoutError):
            writing.result(0.1)
        fcntl.flock(lock, fcntl.LOCK_UN)
        writing.result(10)

    assert list(files.read("fraud")) == [LINE % 1, LINE % 2]


def test_nobody_else_may_read_a_recording_or_the_key(files: RecordingFiles, tmp_path: Path) -> None:
    files.secret()
    write(files, LINE % 1)

    for path in (tmp_path / "recordings").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((tmp_path / "recordings").stat().st_mode) == 0o700


def test_all_workers_hash_with_one_key_that_lasts(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        drawn = set(pool.map(lambda _: RecordingFiles(tmp_path / "recordings").secret(), range(8)))

    assert len(drawn) == 1
    assert len(drawn.pop()) == 32
    assert [path.name for path in (tmp_path / "recordings").iterdir()] == ["hash-key"]


def test_a_disk_that_fails_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("a file in its place")

    with pytest.raises(RecordingsUnreadable, match="state directory"):
        write(RecordingFiles(tmp_path / "recordings"), LINE % 1)
