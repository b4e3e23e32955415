"""Model files on their way into the private directory they are served from."""

from __future__ import annotations

import hashlib
import os
import resource
import stat
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidModel
from gateway.models.loading import fetch, prune

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"the weights of a model" * 1000
NOBODY = 65534
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "state" / "blobs"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(CONTENT)
    return path


def refusal(path: Path, blobs: Path, **options: int | str) -> InvalidModel:
    with pytest.raises(InvalidModel) as caught:
        fetch(path, blobs, **options)  # type: ignore[arg-type]  # a test's shorthand for two options
    return caught.value


def test_the_copy_is_named_by_its_content_and_closed_to_others(source: Path, blobs: Path) -> None:
    blob = fetch(source, blobs)

    assert (blob.digest, blob.size) == (DIGEST, len(CONTENT))
    assert blob.path == blobs / f"{DIGEST}.onnx"
    assert blob.path.read_bytes() == CONTENT
    assert stat.S_IMODE(blobs.stat().st_mode) == 0o700
    assert stat.S_IMODE(blob.path.stat().st_mode) == 0o400


def test_what_is_served_is_what_was_hashed_whatever_the_file_becomes(source: Path, blobs: Path) -> None:  # M6
    blob = fetch(source, blobs)

    source.write_bytes(b"something else")

    assert hashlib.sha256(blob.path.read_bytes()).hexdigest() == blob.digest == DIGEST


def test_equal_files_share_one_copy(source: Path, blobs: Path, tmp_path: Path) -> None:
    first = fetch(source, blobs)
    before = first.path.stat().st_ino
    other = tmp_path / "other.onnx"
    other.write_bytes(CONTENT)

    second = fetch(other, blobs)

    assert second == first
    assert second.path.stat().st_ino == before
    assert len(list(blobs.iterdir())) == 1


def test_files_of_equal_size_do_not_share_a_copy(source: Path, blobs: Path, tmp_path: Path) -> None:
    fetch(source, blobs)
    other = tmp_path / "other.onnx"
    other.write_bytes(CONTENT[::-1])

    second = fetch(other, blobs)

    assert second.path.read_bytes() == CONTENT[::-1]
    assert len(list(blobs.iterdir())) == 2


def test_a_copy_that_was_cut_short_is_made_anew(source: Path, blobs: Path) -> None:
    blob = fetch(source, blobs)
    blob.path.unlink()
    blob.path.write_bytes(CONTENT[:10])

    assert fetch(source, blobs).path.read_bytes() == CONTENT


@pytest.mark.parametrize("declared", [DIGEST, DIGEST.upper(), ""])
def test_a_declared_digest_may_be_written_in_any_case(declared: str, source: Path, blobs: Path) -> None:
    assert fetch(source, blobs, declared=declared).digest == DIGEST


@pytest.mark.parametrize("is_known", [False, True])
def test_another_digest_than_declared_is_refused_with_both(is_known: bool, source: Path, blobs: Path) -> None:
    if is_known:
        fetch(source, blobs)

    found = refusal(source, blobs, declared="ab" * 32)

    assert found.code == "digest"
    assert DIGEST[:12] in found.reason
    assert ("ab" * 6) in found.reason
    assert len(list(blobs.iterdir())) == is_known


def test_a_file_over_the_limit_is_refused_before_it_is_read(source: Path, blobs: Path) -> None:  # M5
    assert refusal(source, blobs, max_bytes=len(CONTENT) - 1).code == "too_large"
    assert fetch(source, blobs, max_bytes=len(CONTENT)).size == len(CONTENT)


def test_a_sparse_file_of_a_terabyte_is_refused_at_once(source: Path, blobs: Path) -> None:  # M5
    with source.open("wb") as file:
        file.truncate(1 << 40)

    assert refusal(source, blobs).code == "too_large"
    assert not blobs.exists()


def test_a_directory_is_no_model(tmp_path: Path, blobs: Path) -> None:  # M2
    (tmp_path / "model.onnx").mkdir()

    assert refusal(tmp_path / "model.onnx", blobs).code == "bad_model"


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path, blobs: Path) -> None:  # M7
    os.mkfifo(tmp_path / "model.onnx")

    assert refusal(tmp_path / "model.onnx", blobs).code == "bad_model"


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "model.bin"])
def test_a_symbolic_link_is_not_followed(target: str, tmp_path: Path, blobs: Path) -> None:  # M7
    (tmp_path / "model.bin").write_bytes(CONTENT)
    (tmp_path / "model.onnx").symlink_to(target)

    found = refusal(tmp_path / "model.onnx", blobs)

    assert found.code == "bad_model"
    assert "symbolic link" in found.reason


def test_a_device_is_refused(blobs: Path) -> None:  # M7
    assert refusal(Path("/dev/zero"), blobs).code == "bad_model"


def test_a_hard_link_to_somebody_elses_file_is_refused(source: Path, blobs: Path, tmp_path: Path) -> None:
    (tmp_path / "link.onnx").hardlink_to(source)

    found = refusal(tmp_path / "link.onnx", blobs)

    assert found.code == "bad_model"
    assert "hard links" in found.reason


def test_a_file_with_more_bytes_than_it_had_when_it_was_opened_is_refused(blobs: Path) -> None:  # M7
    growing = Path("/proc/self/status")  # a regular file of size 0 that has bytes

    found = refusal(growing, blobs)

    assert found.code == "unreadable"
    assert "changed while it was read" in found.reason


def test_a_missing_file_is_unreadable(tmp_path: Path, blobs: Path) -> None:
    assert refusal(tmp_path / "model.onnx", blobs).code == "unreadable"


@contextmanager
def as_somebody() -> Iterator[Path]:
    """Yield a directory of one whom files may be forbidden to: nobody, where this is root."""
    with tempfile.TemporaryDirectory() as name:
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(name, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)


def test_a_file_that_may_not_be_read_is_unreadable() -> None:  # M8
    with as_somebody() as place:
        source = place / "model.onnx"
        source.write_bytes(CONTENT)
        before = fetch(source, place / "blobs").digest
        source.chmod(0)
        found = refusal(source, place / "blobs")

    assert (before, found.code) == (DIGEST, "unreadable")
    assert "Permission denied" in found.reason


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_half_copy(source: Path, blobs: Path) -> None:  # M8
    with disk_full_after(len(CONTENT) // 2):
        found = refusal(source, blobs)

    assert found.code == "unreadable"
    assert list(blobs.iterdir()) == []
    assert fetch(source, blobs).digest == DIGEST


def test_a_directory_for_copies_that_is_a_file_is_no_crash(source: Path, blobs: Path) -> None:
    blobs.parent.mkdir()
    blobs.write_bytes(b"")

    assert refusal(source, blobs).code == "unreadable"


def test_no_path_of_the_machine_is_told(source: Path, blobs: Path, tmp_path: Path) -> None:
    source.unlink()

    assert str(tmp_path) not in refusal(source, blobs).reason


def test_only_copies_that_nobody_used_for_a_day_are_deleted(source: Path, blobs: Path, tmp_path: Path) -> None:
    old = fetch(source, blobs).path
    other = tmp_path / "other.onnx"
    other.write_bytes(b"young")
    young = fetch(other, blobs).path
    half = blobs / ".copy-abc"
    half.write_bytes(b"half")
    long_ago = time.time() - 90_000
    for path in (old, half):
        os.utime(path, (long_ago, long_ago))

    assert prune(blobs) == 2

    assert list(blobs.iterdir()) == [young]


def test_a_copy_that_is_used_again_is_young_again(source: Path, blobs: Path) -> None:
    blob = fetch(source, blobs)
    os.utime(blob.path, (0, 0))

    fetch(source, blobs)

    assert prune(blobs) == 0


def test_deleting_where_nothing_was_copied_yet_is_fine(blobs: Path) -> None:
    assert prune(blobs) == 0
