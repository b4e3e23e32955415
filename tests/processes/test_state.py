"""The state directory: one gateway's at a time, and what outlives it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidSettings, StateDirectoryInUse
from gateway.processes.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A state directory that is not there yet; what it has in memory goes with the test."""
    root = tmp_path / "a" / "state"
    yield root
    StateDirectory(root).leave()


def test_taking_it_makes_all_of_it_for_the_owner_alone(root: Path) -> None:
    state = StateDirectory(root)

    state.take()

    for directory in (state.root, state.run, state.reports, state.slabs, state.blobs):
        assert directory.stat().st_mode & 0o777 == 0o700
    state.leave()


def test_a_second_gateway_is_refused_and_told_who_has_it(root: Path) -> None:
    first = StateDirectory(root)
    first.take()

    with pytest.raises(StateDirectoryInUse) as caught:
        StateDirectory(root).take()

    assert caught.value.holder == str(os.getpid())
    assert "--state-dir" in str(caught.value)
    first.leave()


def test_a_disk_without_room_is_named_and_the_directory_is_free_again(root: Path) -> None:
    size, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, size[1]))  # the kernel refuses every byte, as a full disk does
    try:
        with pytest.raises(InvalidSettings, match=r"cannot be used .* make room there"):
            StateDirectory(root).take()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, size)
        signal.signal(signal.SIGXFSZ, action)

    again = StateDirectory(root)
    again.take()
    assert (root / "lock").read_text() == str(os.getpid())
    again.leave()


def test_a_second_gateway_takes_nothing_from_the_first(root: Path) -> None:
    first = StateDirectory(root)
    first.take()
    kept = [first.reports / "worker-0-1.json", first.slabs / "slab"]
    for path in kept:
        path.touch()

    with pytest.raises(StateDirectoryInUse):
        StateDirectory(root).take()

    assert all(path.exists() for path in kept)
    first.leave()


def test_it_can_be_taken_again_after_it_was_left(root: Path) -> None:
    first = StateDirectory(root)
    first.take()
    first.leave()

    second = StateDirectory(root)
    second.take()

    assert second.reports.is_dir()
    second.leave()


def test_a_gateway_that_was_killed_holds_nothing(root: Path) -> None:
    script = f"""
from pathlib import Path
import os, signal
from gateway.processes.state import StateDirectory
StateDirectory(Path({str(root)!r})).take()
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)

    state = StateDirectory(root)
    state.take()

    assert (root / "lock").read_text() == str(os.getpid())
    state.leave()


def test_what_belongs_to_a_run_goes_and_the_rest_stays(root: Path) -> None:
    state = StateDirectory(root)
    state.take()
    (state.reports / "worker-0-1.json").touch()
    (state.slabs / "slab").touch()
    (state.blobs / "blob").touch()
    (root / "routes.snapshot").touch()

    state.leave()

    assert not state.run.exists()
    assert not state.slabs.exists()
    assert (state.blobs / "blob").exists()
    assert (root / "routes.snapshot").exists()


def test_what_a_killed_run_left_is_gone_for_the_next(root: Path) -> None:
    killed = StateDirectory(root)
    killed.take()
    (killed.reports / "worker-0-1.json").touch()
    (killed.slabs / "slab").touch()
    assert killed._lock is not None
    killed._lock.close()

    state = StateDirectory(root)
    state.take()

    assert list(state.reports.iterdir()) == list(state.slabs.iterdir()) == []
    state.leave()


def test_two_state_directories_share_nothing(tmp_path: Path) -> None:
    states = [StateDirectory(tmp_path / name) for name in ("a", "b")]

    for state in states:
        state.take()

    assert states[0].slabs != states[1].slabs
    for state in states:
        state.leave()


def test_a_directory_that_cannot_be_made_is_told_with_the_flag(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InvalidSettings, match="--state-dir"):
        StateDirectory(tmp_path / "file" / "state").take()
