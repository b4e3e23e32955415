"""Publishing onto a full disk, where it may not write, and under kill -9: nothing half shows, no number is lost.

Full is a real file system of 64 KiB where this is root, and a real limit on the size of files elsewhere.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.models.evaluations import FORMAT, Evaluation, write_evaluation
from gateway.models.publishing import publish, refusal
from gateway.models.repository import Repository
from gateway.models.tags import change_tags, read_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL = r"No space left on device|File too large"
SMALL = {"model.onnx": b"graph", "metadata.yaml": b"notes: hello\n"}
LARGE = {"metadata.yaml": b"notes: large\n", "model.onnx": b"x" * 200_000}

PUBLISHES = """
import sys
from pathlib import Path
from gateway.models.publishing import publish
content = sys.argv[2].encode() * 100_000
while True:
    publish(Path(sys.argv[1]), "fraud", {"model.onnx": content, "metadata.yaml": content})
"""

AS_NOBODY = """
import os, sys
from pathlib import Path
from gateway.models.publishing import publish, refusal
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    publish(Path(sys.argv[1]), "fraud", {"model.onnx": b"x"})
except OSError as exc:
    print(refusal(Path("models"), exc))
"""


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A repository with one version, on a disk without room for a large one."""
    root = tmp_path / "models"
    root.mkdir()
    if os.geteuid() == 0 and _mounted(root):
        publish(root, "fraud", SMALL)
        yield root
        subprocess.run(["umount", str(root)], check=True)
        return
    publish(root, "fraud", SMALL)
    before, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, before[1]))
    yield root
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, action)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody may look into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _mounted(root: Path) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(root)]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def names(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()}


def test_a_full_disk_shows_nothing_half_says_what_to_do_and_loses_no_number(full: Path) -> None:
    with pytest.raises(OSError, match=FULL) as caught:
        publish(full, "fraud", LARGE)

    assert "make some, such as with `gateway models prune`; no number is lost" in refusal(full, caught.value)
    assert names(full / "fraud") == {"1", ".lock"}
    assert list(Repository(full).scan().versions["fraud"]) == [1]
    assert publish(full, "fraud", SMALL) == 2


def test_a_full_disk_leaves_what_was_said_of_a_version(full: Path) -> None:
    change_tags(full, "fraud", 1, {"stage": "production"}, ())
    large = Evaluation(format=FORMAT, sha256="ab", created="", passed=None, data={"name": "x" * 200_000})

    with pytest.raises(OSError, match=FULL):
        write_evaluation(full / "fraud" / "1", large)

    assert read_tags(full / "fraud" / "1") == {"stage": "production"}
    assert names(full / "fraud" / "1") == {*SMALL, "tags.json"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("lock_mode", [0o666, 0o600], ids=["into the directory", "its lock"])
def test_who_may_not_write_is_told_and_leaves_nothing(open_place: Path, lock_mode: int) -> None:
    root = open_place / "models"
    publish(root, "fraud", SMALL)
    (root / "fraud" / ".lock").chmod(lock_mode)

    done = subprocess.run([sys.executable, "-c", AS_NOBODY, str(root)], capture_output=True, text=True, check=False)

    assert "Permission denied; may this user write there? run it as who owns the directory" in done.stdout, done.stderr
    assert names(root / "fraud") == {"1", ".lock"}
    assert publish(root, "fraud", SMALL) == 2


def test_an_error_without_a_rule_says_where_to_look(tmp_path: Path) -> None:
    assert refusal(tmp_path, OSError(errno.EIO, "Input/output error")).endswith(
        f"below {tmp_path}: Input/output error; look at the disk, and run it again; no number is lost"
    )
    assert "read only? name another" in refusal(tmp_path, OSError(errno.EROFS, "Read-only file system"))


def test_writers_that_are_killed_at_any_moment_leave_whole_versions_and_no_gap(tmp_path: Path) -> None:
    draw, letters = random.Random(7), "abcdefghij"
    for letter in letters:
        words = [sys.executable, "-c", PUBLISHES, str(tmp_path), letter]
        with subprocess.Popen(words) as writer:
            _wait_for_a_version_of(tmp_path, letter)
            time.sleep(draw.uniform(0.0, 0.03))
            writer.send_signal(signal.SIGKILL)

    found = Repository(tmp_path).scan().versions["fraud"]
    number = publish(tmp_path, "fraud", SMALL)

    assert sorted(found) == list(range(1, len(found) + 1))
    for files in found.values():
        contents = [(files.directory / name).read_bytes() for name in ("model.onnx", "metadata.yaml")]
        assert contents[0] == contents[1]
        assert (len(contents[0]), len(set(contents[0]))) == (100_000, 1)
    assert number == len(found) + 1
    assert names(tmp_path / "fraud") == {".lock", *(str(each) for each in range(1, number + 1))}


def _wait_for_a_version_of(root: Path, letter: str) -> None:
    """Return once the newest version is one that the writer of *letter* made."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = max((int(each.name) for each in root.glob("fraud/[0-9]*")), default=0)
        newest = root / "fraud" / str(found) / "model.onnx"
        if found and newest.read_bytes()[:1] == letter.encode():
            return
        time.sleep(0.001)
    raise AssertionError(f"the writer of {letter} published nothing in 30 s")


def test_what_a_killed_writer_of_an_evaluation_left_goes_with_the_next(tmp_path: Path) -> None:
    publish(tmp_path, "fraud", SMALL)
    place = tmp_path / "fraud" / "1"
    (place / ".evaluation.json.new").write_bytes(b'{"format"')

    write_evaluation(place, Evaluation(format=FORMAT, sha256="ab", created="", passed=None))

    assert names(place) == {*SMALL, "evaluation.json"}
