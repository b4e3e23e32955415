"""What a scan of the model repository finds, and when a file counts as complete."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidSettings
from gateway.models.repository import SETTLED_AFTER_SECONDS, UNCHANGED_SECONDS, Repository, VersionFiles

if TYPE_CHECKING:
    from pathlib import Path


class Clocks:
    """Wall and monotonic time, moved by the test."""

    def __init__(self) -> None:
        self.passed = 0.0

    def wall(self) -> float:
        return 1_000_000.0 + self.passed

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def repository(tmp_path: Path, clocks: Clocks) -> Repository:
    return Repository(tmp_path, clock=clocks.wall, monotonic=clocks.monotonic)


def put(root: Path, name: str, content: bytes = b"model", *, at: float = 0.0) -> Path:
    path = root / name / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def only(repository: Repository) -> VersionFiles:
    ((versions),) = repository.scan().versions.values()
    (files,) = versions.values()
    return files


def test_models_and_versions_are_found_by_their_directories(repository: Repository, tmp_path: Path) -> None:
    for name in ("fraud/1", "fraud/12", "iris/3"):
        put(tmp_path, name)

    scan = repository.scan()

    assert {model: sorted(found) for model, found in scan.versions.items()} == {"fraud": [1, 12], "iris": [3]}
    assert scan.versions["iris"][3].path == tmp_path / "iris" / "3" / "model.onnx"
    assert scan.notes == ()


def test_an_empty_repository_has_no_models(repository: Repository) -> None:
    assert repository.scan().versions == {}


@pytest.mark.parametrize("name", ["stats/1", "a b/1", "-x/1", "é/1", "fraud/01", "fraud/0", "fraud/v2", "fraud/latest"])
def test_a_name_that_is_not_allowed_is_ignored_and_told_once(name: str, repository: Repository, tmp_path: Path) -> None:
    put(tmp_path, name)

    first, second = repository.scan(), repository.scan()

    assert first.versions == {}
    assert len(first.notes) == 1
    assert "is ignored" in first.notes[0]
    assert second.notes == ()


def test_a_note_that_comes_back_is_told_again(repository: Repository, tmp_path: Path) -> None:
    path = put(tmp_path, "fraud/v2")
    repository.scan()
    path.unlink()
    path.parent.rmdir()
    repository.scan()

    put(tmp_path, "fraud/v2")

    assert len(repository.scan().notes) == 1


def test_hidden_directories_and_loose_files_are_passed_over_in_silence(repository: Repository, tmp_path: Path) -> None:
    put(tmp_path, ".git/1")
    put(tmp_path, "fraud/.trash")
    (tmp_path / "README.md").write_text("models")
    (tmp_path / "fraud" / "notes.txt").write_text("notes")

    scan = repository.scan()

    assert (scan.versions, scan.notes) == ({}, ())


def test_a_version_without_its_file_is_none_yet(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "fraud" / "1").mkdir(parents=True)

    scan = repository.scan()

    assert scan.versions == {}
    assert scan.notes == ("fraud/1 holds no model.onnx",)


def test_directories_may_be_links_so_that_a_publisher_can_switch_them(repository: Repository, tmp_path: Path) -> None:
    put(tmp_path, ".releases/2026-01-31")
    (tmp_path / "fraud").mkdir()
    (tmp_path / "fraud" / "1").symlink_to(tmp_path / ".releases" / "2026-01-31")
    (tmp_path / "alias").symlink_to("fraud")

    assert {model: list(found) for model, found in repository.scan().versions.items()} == {"alias": [1], "fraud": [1]}


def test_a_link_or_a_directory_in_place_of_the_file_is_found_so_that_its_refusal_can_be_seen(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "fraud" / "1").mkdir(parents=True)
    (tmp_path / "fraud" / "1" / "model.onnx").symlink_to("/dev/zero")
    (tmp_path / "fraud" / "2" / "model.onnx").mkdir(parents=True)

    assert list(repository.scan().versions["fraud"]) == [1, 2]


def test_a_missing_root_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="--models"):
        Repository(tmp_path / "nowhere").scan()


@pytest.mark.parametrize("target", ["loop", "nowhere", "/proc/1/root/nowhere"])
def test_a_link_that_leads_nowhere_leaves_the_others(target: str, repository: Repository, tmp_path: Path) -> None:
    put(tmp_path, "iris/1")
    (tmp_path / "loop").symlink_to(target)

    assert list(repository.scan().versions) == ["iris"]


# When a file is complete


def test_an_old_file_is_complete_at_first_sight(repository: Repository, tmp_path: Path, clocks: Clocks) -> None:
    put(tmp_path, "fraud/1", at=clocks.wall() - SETTLED_AFTER_SECONDS)

    assert only(repository).settled


def test_a_young_file_is_complete_once_it_stays_as_it_is(
    repository: Repository, tmp_path: Path, clocks: Clocks
) -> None:
    put(tmp_path, "fraud/1", at=clocks.wall())

    first = only(repository)
    clocks.passed += UNCHANGED_SECONDS
    second = only(repository)

    assert not first.settled
    assert second.settled


def test_two_looks_in_one_moment_prove_nothing(repository: Repository, tmp_path: Path, clocks: Clocks) -> None:
    put(tmp_path, "fraud/1", at=clocks.wall())

    only(repository)
    clocks.passed += UNCHANGED_SECONDS / 10

    assert not only(repository).settled


def test_a_file_that_grows_is_not_complete(repository: Repository, tmp_path: Path, clocks: Clocks) -> None:
    for size in range(1, 10):
        put(tmp_path, "fraud/1", b"m" * size, at=clocks.wall())
        assert not only(repository).settled
        clocks.passed += 1.0

    clocks.passed += 1.0

    assert only(repository).settled


def test_metadata_that_is_still_written_holds_its_version_back(
    repository: Repository, tmp_path: Path, clocks: Clocks
) -> None:
    path = put(tmp_path, "fraud/1", at=0.0)
    metadata = path.with_name("metadata.yaml")
    metadata.write_text("notes: half")
    os.utime(metadata, (clocks.wall(), clocks.wall()))

    files = only(repository)

    assert not files.settled
    assert files.metadata_path == metadata


def test_a_file_from_the_future_is_complete_once_it_stays_as_it_is(
    repository: Repository, tmp_path: Path, clocks: Clocks
) -> None:
    put(tmp_path, "fraud/1", at=clocks.wall() + 3600)

    only(repository)
    clocks.passed += UNCHANGED_SECONDS

    assert only(repository).settled


@pytest.mark.parametrize("change", ["content", "time", "inode", "metadata"])
def test_every_change_of_the_files_shows(change: str, repository: Repository, tmp_path: Path) -> None:
    path = put(tmp_path, "fraud/1", b"model")
    before = only(repository)

    match change:
        case "content":
            put(tmp_path, "fraud/1", b"longer model")
        case "time":
            put(tmp_path, "fraud/1", b"other", at=1.0)
        case "inode":
            other = put(tmp_path, ".new/1", b"other")
            other.replace(path)
        case _:
            path.with_name("metadata.yaml").write_text("notes: new")

    assert only(repository).stamp != before.stamp


def test_600_versions_are_scanned_in_a_moment(tmp_path: Path) -> None:
    for model in range(200):
        for version in (1, 2, 3):
            put(tmp_path, f"m{model}/{version}")
    repository = Repository(tmp_path)
    repository.scan()

    start = time.process_time()
    found = repository.scan()

    assert sum(len(versions) for versions in found.versions.values()) == 600
    assert time.process_time() - start < 0.5


def test_a_directory_called_stats_is_ignored_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "stats" / "1").mkdir(parents=True)
    (tmp_path / "stats" / "1" / "model.onnx").write_bytes(b"x")

    scan = Repository(tmp_path).scan()

    assert scan.versions == {}
    assert "/v2/models/stats is a path of the inference port" in scan.notes[0]
