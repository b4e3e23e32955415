"""Versions leave the repository whole, and can be put back until they are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.models.publishing import publish
from gateway.models.removal import hide
from gateway.models.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for _ in range(3):
        publish(tmp_path, "fraud", {"model.onnx": b"graph"})
    return tmp_path


def seen(root: Path) -> list[int]:
    return sorted(Repository(root).scan().versions.get("fraud", ()))


def hidden_in(root: Path) -> list[str]:
    return [each.name for each in (root / "fraud").iterdir() if each.name.startswith(".old-")]


def test_a_version_is_out_of_sight_before_it_is_deleted(root: Path) -> None:
    with hide(root, "fraud", [1, 2]):
        assert seen(root) == [3]
        assert len(hidden_in(root)) == 2

    assert (seen(root), hidden_in(root)) == ([3], [])


def test_a_version_that_is_put_back_is_as_it_was(root: Path) -> None:
    with hide(root, "fraud", [1, 2]) as hidden:
        hidden.put_back(1)

    assert seen(root) == [1, 3]
    assert (root / "fraud" / "1" / "model.onnx").read_bytes() == b"graph"


def test_where_something_goes_wrong_everything_is_put_back(root: Path) -> None:
    with pytest.raises(KeyboardInterrupt), hide(root, "fraud", [1, 2]):
        raise KeyboardInterrupt

    assert seen(root) == [1, 2, 3]


def test_where_one_version_cannot_be_moved_the_others_are_put_back(root: Path) -> None:
    with pytest.raises(FileNotFoundError), hide(root, "fraud", [1, 9]):
        pass

    assert seen(root) == [1, 2, 3]


def test_what_a_killed_command_left_is_deleted_by_the_next_one(root: Path) -> None:
    (root / "fraud" / "1").rename(root / "fraud" / ".old-1")

    with hide(root, "fraud", []):
        pass

    assert hidden_in(root) == []


def test_of_a_directory_that_is_a_link_only_the_link_goes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "fraud" / "1").rename(tmp_path / "elsewhere")
    (root / "fraud" / "1").symlink_to(tmp_path / "elsewhere")

    with hide(root, "fraud", [1]):
        pass

    assert seen(root) == [2, 3]
    assert (tmp_path / "elsewhere" / "model.onnx").exists()
