"""Turns in which the workers of a gateway load large files, one or a few at a time."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.models import turns as module
from gateway.models.loader import Loader
from gateway.models.repository import Repository
from gateway.models.turns import LARGE_BYTES, Turns
from tests.models.fakes import GOOD, FakeEngine, FakeSession, House

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gateway.models.repository import VersionFiles

HOLDER = """
import sys, time
from pathlib import Path
from gateway.models.turns import LARGE_BYTES, Turns
turns = Turns(Path(sys.argv[1]), 1)
turns.begin()
with turns.turn("theirs", LARGE_BYTES):
    print("held", flush=True)
    time.sleep(60)
"""


def begun(directory: Path, at_once: int = 1, *, patience: float = 10.0) -> Turns:
    """Return the turns of one worker that answers already."""
    turns = Turns(directory, at_once, patience=patience)
    turns.begin()
    return turns


@contextmanager
def asked(turns: Turns, size: int = LARGE_BYTES) -> Iterator[threading.Event]:
    """Ask for a turn on a thread, and lend the event that is set once it came."""
    came, may_end = threading.Event(), threading.Event()

    def take() -> None:
        with turns.turn("ours", size):
            came.set()
            may_end.wait(10)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield came
    finally:
        may_end.set()
        thread.join()


def test_a_large_file_waits_until_another_worker_gave_its_turn_up(tmp_path: Path) -> None:
    held = begun(tmp_path).turn("theirs", LARGE_BYTES)
    held.__enter__()

    with asked(begun(tmp_path)) as came:
        waited = not came.wait(0.2)
        held.__exit__(None, None, None)

        assert waited
        assert came.wait(5)


def test_as_many_large_files_are_loaded_at_once_as_may_be(tmp_path: Path) -> None:
    first, second, third = (begun(tmp_path, 2, patience=seconds) for seconds in (10.0, 10.0, 0.5))

    with asked(first) as one, asked(second) as two:
        assert one.wait(5)
        assert two.wait(5)
        with first.turn("small", 0), asked(third) as three:
            assert not three.wait(0.2)


def test_a_small_file_waits_for_nobody(tmp_path: Path) -> None:
    with begun(tmp_path).turn("theirs", LARGE_BYTES), asked(begun(tmp_path), LARGE_BYTES - 1) as came:
        assert came.wait(5)


def test_a_worker_that_answers_nobody_yet_waits_for_nobody(tmp_path: Path) -> None:
    with begun(tmp_path).turn("theirs", LARGE_BYTES), asked(Turns(tmp_path, 1)) as came:
        assert came.wait(5)


def test_a_turn_ends_with_the_process_that_was_killed_over_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with asked(begun(tmp_path)) as came:
            waited = not came.wait(0.2)
            holder.kill()

            assert waited
            assert came.wait(5)


def test_a_turn_that_nobody_gives_up_is_not_waited_for_without_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with begun(tmp_path).turn("theirs", LARGE_BYTES), begun(tmp_path, patience=0.1).turn("ours", LARGE_BYTES):
        pass

    assert "ours had no turn in 0.1 s and is loaded without" in caplog.text


def test_a_wait_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    with begun(tmp_path).turn("theirs", LARGE_BYTES), begun(tmp_path, patience=0.3).turn("ours", LARGE_BYTES):
        pass

    assert caplog.text.count("ours waits for its turn") == 1


def test_a_worker_that_ends_waits_for_no_turn(tmp_path: Path) -> None:
    ours = begun(tmp_path)

    with begun(tmp_path).turn("theirs", LARGE_BYTES), asked(ours) as came:
        waited = not came.wait(0.2)
        ours.close()

        assert waited
        assert came.wait(5)


def test_a_directory_that_takes_no_file_stops_no_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "turns").write_text("a file")

    with begun(tmp_path / "turns").turn("ours", LARGE_BYTES):
        pass

    assert "ours is loaded without a turn" in caplog.text


class OneAtATime(FakeEngine):
    """Counts how many load at the same time."""

    now = most = 0

    def load(
        self, path: Path, *, model: str, version: int, threads: int, providers: Sequence[str] = ("cpu",)
    ) -> FakeSession:
        """Load slowly."""
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.1)
        self.now -= 1
        return super().load(path, model=model, version=version, threads=threads, providers=providers)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VersionFiles:
    """A version that counts as large."""
    monkeypatch.setattr(module, "LARGE_BYTES", 1)
    House(tmp_path / "models", tmp_path / "blobs").put("fraud/1", GOOD)
    return Repository(tmp_path / "models").scan().versions["fraud"][1]


def test_only_one_worker_builds_a_session_from_a_large_file_at_a_time(tmp_path: Path, files: VersionFiles) -> None:
    engine = OneAtATime()
    loaders = [Loader(engine, tmp_path / "blobs", turns=begun(tmp_path / "turns")) for _ in range(3)]

    threads = [threading.Thread(target=loader.load, args=(files,)) for loader in loaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert engine.loads == ["fraud/1"] * 3
    assert engine.most == 1


def test_a_file_that_is_refused_gives_its_turn_up(tmp_path: Path, files: VersionFiles) -> None:
    files.path.write_bytes(b"bad")

    Loader(FakeEngine(), tmp_path / "blobs", turns=begun(tmp_path / "turns")).load(files)

    with asked(begun(tmp_path / "turns")) as came:
        assert came.wait(5)
