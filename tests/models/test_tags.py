"""Tags are kept beside a version, whole, whoever else writes, and no worker takes notice."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.core.tags import InvalidTag
from gateway.models.publishing import publish
from gateway.models.repository import Repository
from gateway.models.tags import InvalidTags, change_tags, read_tags, tags_of

if TYPE_CHECKING:
    from pathlib import Path

WRITES = """
import sys
from pathlib import Path
from gateway.models.tags import change_tags
for each in range(20):
    change_tags(Path(sys.argv[1]), "fraud", 1, {f"{sys.argv[2]}{each}": "x"}, ())
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    publish(tmp_path, "fraud", {"model.onnx": b"graph", "metadata.yaml": b""})
    return tmp_path


def test_a_version_without_a_file_has_no_tags(models: Path) -> None:
    assert read_tags(models / "fraud" / "1") == {}


def test_what_was_set_is_read_and_what_was_removed_is_not(models: Path) -> None:
    change_tags(models, "fraud", 1, {"stage": "production", "owner": "risk"}, ())

    assert change_tags(models, "fraud", 1, {"stage": "archived"}, ["owner"]) == {"stage": "archived"}
    assert read_tags(models / "fraud" / "1") == {"stage": "archived"}


def test_a_tag_changes_nothing_that_a_worker_looks_at(models: Path) -> None:
    before = Repository(models).scan().versions["fraud"][1].stamp

    change_tags(models, "fraud", 1, {"stage": "production"}, ())

    assert Repository(models).scan().versions["fraud"][1].stamp == before


def test_of_several_writers_at_once_none_is_lost(models: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITES, str(models), name]) for name in "abc"]

    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(read_tags(models / "fraud" / "1")) == 60


def test_a_refused_change_changes_nothing(models: Path) -> None:
    change_tags(models, "fraud", 1, {"a": "1"}, ())

    with pytest.raises(InvalidTag):
        change_tags(models, "fraud", 1, {"b": "2"}, ["c"])

    assert read_tags(models / "fraud" / "1") == {"a": "1"}


@pytest.mark.parametrize(("model", "version"), [("fraud", 2), ("other", 1), ("../fraud", 1), ("..", 1)])
def test_only_a_version_that_is_there_gets_tags(models: Path, model: str, version: int) -> None:
    with pytest.raises(InvalidTag, match="no version"):
        change_tags(models, model, version, {"a": "1"}, ())


@pytest.mark.parametrize("content", [b"{", b'{"a": 1}', b'{"a b": "x"}', b'["a"]', b"x" * 300_000])
def test_a_damaged_file_is_told_and_is_not_overwritten(models: Path, content: bytes) -> None:
    file = models / "fraud" / "1" / "tags.json"
    file.write_bytes(content)

    with pytest.raises(InvalidTags, match="mend it"):
        change_tags(models, "fraud", 1, {"a": "1"}, ())

    assert file.read_bytes() == content
    assert tags_of(models, "fraud", [1]) == {1: {}}


def test_a_link_is_not_followed(models: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"a": "b"}')
    (models / "fraud" / "1" / "tags.json").symlink_to(tmp_path / "secret")

    with pytest.raises(InvalidTags, match="symbolic link"):
        read_tags(models / "fraud" / "1")
