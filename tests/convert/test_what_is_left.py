"""What the confined process leaves is read as a regular file or not at all, and nothing of it stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from gateway.convert import messages
from gateway.convert.errors import CannotConvert
from gateway.convert.scratch import PREFIX, YOUNG_SECONDS, scratch_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORKS = """
import os, time
from gateway.convert import confinement
if os.geteuid() == 0:
    assert not confinement._limit_processes()
    os.setuid(65534)
assert confinement._limit_processes()
made = []
try:
    while len(made) < 200:
        made.append(os.fork())
        if made[-1] == 0:
            time.sleep(60)
except BlockingIOError:
    pass
for each in made:
    os.kill(each, 9)
print(len(made))
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "secret").write_bytes(b"somebody else's")
    return tmp_path / "scratch"


def as_link(path: Path) -> None:
    path.symlink_to(path.parents[1] / "secret")


def as_hard_link(path: Path) -> None:
    path.hardlink_to(path.parents[1] / "secret")


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("disguise", [as_link, as_hard_link, as_pipe, as_directory])
def test_a_graph_or_answers_that_are_no_file_of_their_own_are_not_read(
    scratch: Path, disguise: Callable[[Path], None], tmp_path: Path
) -> None:
    disguise(scratch / messages.GRAPH)
    disguise(scratch / messages.ANSWERS)

    with pytest.raises(CannotConvert, match="no answer"):
        messages.take_graph(scratch, tmp_path / "taken")
    with pytest.raises(CannotConvert, match="no answer"):
        messages.read_answers(scratch)
    assert not (tmp_path / "taken").exists()


def test_a_graph_is_taken_to_where_the_process_cannot_change_it(scratch: Path, tmp_path: Path) -> None:
    (scratch / messages.GRAPH).write_bytes(b"graph")

    messages.take_graph(scratch, tmp_path / "taken")
    (scratch / messages.GRAPH).write_bytes(b"other")

    assert (tmp_path / "taken").read_bytes() == b"graph"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory for temporary ones."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def old(path: Path) -> Path:
    then = time.time() - 2 * YOUNG_SECONDS
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def test_a_directory_is_gone_after_its_use(place: Path) -> None:
    with scratch_directory() as path:
        assert path.stat().st_mode & 0o077 == 0

    assert list(place.iterdir()) == []


def test_what_a_killed_command_left_is_deleted_by_the_next_one(place: Path) -> None:
    left = place / f"{PREFIX}killed"
    (left / "inside").mkdir(parents=True)
    old(left)

    with scratch_directory():
        assert not left.exists()


def test_what_another_command_uses_or_just_made_is_let_be(place: Path) -> None:
    young = place / f"{PREFIX}young"
    young.mkdir()

    with scratch_directory() as used:
        old(used)
        with scratch_directory():
            assert used.exists()
    assert young.exists()


def test_a_link_is_not_followed_to_what_is_deleted(place: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    link = place / f"{PREFIX}link"
    link.symlink_to(tmp_path / "precious")
    old(link)

    with scratch_directory():
        pass

    assert (tmp_path / "precious").exists()


def test_a_process_that_forks_without_end_is_stopped_soon() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=30, check=True)

    assert int(done.stdout) < 200
