"""A version is published whole, under a number of its own, whoever else writes and whoever dies."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidModel
from gateway.models.loader import Loader
from gateway.models.publishing import publish
from gateway.models.repository import Repository
from tests.models.fakes import FakeEngine

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"model.onnx": b"graph", "metadata.yaml": b"notes: hello\n"}

DIES = """
import os, signal, sys
from pathlib import Path
from gateway.models import publishing
publishing.{step} = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
publishing.publish(Path(sys.argv[1]), "fraud", {{"model.onnx": b"half", "metadata.yaml": b""}})
"""

WRITES = """
import sys
from pathlib import Path
from gateway.models.publishing import publish
for each in range(10):
    print(publish(Path(sys.argv[1]), "fraud", {"model.onnx": sys.argv[2].encode(), "metadata.yaml": b""}), flush=True)
"""


def test_versions_are_numbered_from_one_without_a_gap(tmp_path: Path) -> None:
    assert [publish(tmp_path / "models", "fraud", FILES) for _ in range(3)] == [1, 2, 3]


def test_what_is_published_is_what_was_given_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    publish(tmp_path, "fraud", FILES)

    assert {path.name: path.read_bytes() for path in (tmp_path / "fraud" / "1").iterdir()} == FILES
    assert {path.name for path in (tmp_path / "fraud").iterdir()} == {"1", ".lock"}
    assert list(Repository(tmp_path).scan().versions["fraud"]) == [1]


def test_the_number_is_one_more_than_the_highest(tmp_path: Path) -> None:
    (tmp_path / "fraud" / "7").mkdir(parents=True)
    (tmp_path / "fraud" / "not-a-version").mkdir()

    assert publish(tmp_path, "fraud", FILES) == 8


def test_writers_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    words = [[sys.executable, "-c", WRITES, str(tmp_path), name] for name in "abc"]
    writers = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in words]

    said = [writer.communicate(timeout=60)[0].split() for writer in writers]

    assert sorted(int(number) for numbers in said for number in numbers) == list(range(1, 31))
    for name, numbers in zip("abc", said, strict=True):
        assert all((tmp_path / "fraud" / each / "model.onnx").read_text() == name for each in numbers)


@pytest.mark.parametrize("step", ["_write", "_take_number"])
def test_a_writer_that_is_killed_leaves_no_version_and_is_tidied_up_after(tmp_path: Path, step: str) -> None:
    done = subprocess.run([sys.executable, "-c", DIES.format(step=step), str(tmp_path)], check=False)
    half = list((tmp_path / "fraud").glob(".new-*"))
    seen = Repository(tmp_path).scan().versions

    number = publish(tmp_path, "fraud", FILES)

    assert (done.returncode, len(half), dict(seen)) == (-signal.SIGKILL, 1, {})
    assert number == 1
    assert {path.name for path in (tmp_path / "fraud").iterdir()} == {"1", ".lock"}


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        publish(tmp_path, "fraud", {"model.onnx": b"x", "no/such/place": b"x"})

    assert {path.name for path in (tmp_path / "fraud").iterdir()} == {".lock"}


def test_a_version_that_was_published_as_failed_is_not_loaded_and_says_why(tmp_path: Path) -> None:
    publish(tmp_path, "fraud", {**FILES, "metadata.yaml": b"failed: it answers otherwise\n"})
    files = Repository(tmp_path).scan().versions["fraud"][1]

    loaded = Loader(FakeEngine(), tmp_path / "blobs").load(files)

    assert isinstance(loaded, InvalidModel)
    assert loaded.code == "unproven"
    assert "it answers otherwise" in loaded.reason
