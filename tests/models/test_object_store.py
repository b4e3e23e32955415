"""Versions in an object store: numbered without a gap, copied whole, and kept while the store is away.

Every rule over fsspec's memory and over a real S3 server (moto's) on a port of this machine.
"""

from __future__ import annotations

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("s3fs", reason="object stores need the `s3` extra")
pytest.importorskip("moto", reason="S3 is played by moto, of the `test` extra")

from gateway.core.errors import InvalidSettings
from gateway.models.mirror import Follower, Mirror
from gateway.models.objects import ObjectStore, StoreAway
from gateway.models.publishing import publish
from gateway.models.repository import Repository
from gateway.models.shared import publish_shared
from gateway.models.tags import read_tags
from tests.models.buckets import bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {"model.onnx": b"graph", "metadata.yaml": b"notes: hello\n"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server with an empty bucket."""
    with bucket() as address:
        yield address


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    base = request.getfixturevalue("s3") if request.param == "s3" else "memory:/"
    return ObjectStore(f"{base}/{uuid.uuid4().hex}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def test_versions_are_numbered_from_one_without_a_gap(store: ObjectStore) -> None:
    assert [publish_shared(store, "fraud", FILES) for _ in range(3)] == [1, 2, 3]


def test_writers_at_once_get_numbers_of_their_own(store: ObjectStore) -> None:
    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(lambda _: publish_shared(store, "fraud", FILES), range(8)))

    assert sorted(numbers) == list(range(1, 9))


def test_a_version_is_copied_whole_and_as_it_is(store: ObjectStore, root: Path) -> None:
    publish_shared(store, "fraud", FILES)

    Mirror(store, root).refresh()

    assert {each: (root / "fraud" / "1" / each).read_bytes() for each in FILES} == FILES
    assert {model: list(found) for model, found in Repository(root).scan().versions.items()} == {"fraud": [1]}


def test_a_writer_that_is_killed_leaves_no_version_and_no_gap(store: ObjectStore, root: Path) -> None:
    store.create("fraud/.files/dead/model.onnx", b"half")

    Mirror(store, root).refresh()

    assert list(root.iterdir()) == []
    assert publish_shared(store, "fraud", FILES) == 1


def test_a_version_copied_by_hand_is_taken_once_two_looks_find_it_the_same(store: ObjectStore, root: Path) -> None:
    mirror = Mirror(store, root)
    store.create("fraud/7/model.onnx", b"graph")
    mirror.refresh()
    store.create("fraud/7/metadata.yaml", b"")
    mirror.refresh()
    early = (root / "fraud").exists()

    mirror.refresh()

    assert not early
    assert {each.name for each in (root / "fraud" / "7").iterdir()} == {"model.onnx", "metadata.yaml", ".tags"}


def test_tags_that_are_written_later_arrive_and_the_model_stays(store: ObjectStore, root: Path) -> None:
    mirror = Mirror(store, root)
    publish_shared(store, "fraud", FILES)
    mirror.refresh()
    before = (root / "fraud" / "1" / "model.onnx").stat()

    store.create("fraud/1/tags.json", b'{"stage": "production"}')
    mirror.refresh()

    assert read_tags(root / "fraud" / "1") == {"stage": "production"}
    assert (root / "fraud" / "1" / "model.onnx").stat() == before


def test_an_object_that_is_not_what_its_manifest_says_is_never_shown(
    store: ObjectStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = (
        b'{"format": 1, "files": {"model.onnx": {"key": "fraud/.files/a/model.onnx", "sha256": "00", "bytes": 1}}}'
    )
    store.create("fraud/.files/a/model.onnx", b"x")
    store.create("fraud/1/manifest.json", manifest)

    Mirror(store, root).refresh()

    assert not (root / "fraud" / "1").exists()
    assert "its manifest says 00" in caplog.text


@pytest.mark.parametrize(
    "manifest",
    [
        b"{",
        b'{"format": 2, "files": {}}',
        b'{"format": 1, "files": {"model.onnx": {"key": "other/.files/a/model.onnx", "sha256": "", "bytes": 1}}}',
        b'{"format": 1, "files": {"../model.onnx": {"key": "fraud/.files/a/m", "sha256": "", "bytes": 1}}}',
        b'{"format": 1, "files": {"model.onnx": {"key": "fraud/.files/../../m", "sha256": "", "bytes": 1}}}',
        b" " * 70_000,
    ],
)
def test_a_damaged_manifest_is_told_and_harms_no_other_version(
    store: ObjectStore, root: Path, manifest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    publish_shared(store, "fraud", FILES)
    store.create("fraud/2/manifest.json", manifest)

    Mirror(store, root).refresh()

    assert sorted(each.name for each in (root / "fraud").iterdir()) == [".lock", "1"]
    assert len([each for each in caplog.records if each.name.startswith("gateway")]) == 1


def test_what_does_not_fit_is_told_and_the_newest_come_first(
    store: ObjectStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        publish_shared(store, "fraud", {"model.onnx": b"x" * 1000})

    Mirror(store, root, max_bytes=1500).refresh()

    assert sorted(each.name for each in (root / "fraud").iterdir()) == [".lock", "2"]
    assert "version 1 of fraud is not fetched" in caplog.text


def test_what_left_the_store_is_taken_away_but_never_everything(store: ObjectStore, root: Path) -> None:
    mirror = Mirror(store, root)
    for _ in range(2):
        publish_shared(store, "fraud", FILES)
    mirror.refresh()

    store._files.rm(f"{store._root}/fraud/1/manifest.json")
    mirror.refresh()
    after_one = sorted(each.name for each in (root / "fraud").iterdir())
    store._files.rm(f"{store._root}/fraud", recursive=True)

    assert after_one == [".lock", "2"]
    with pytest.raises(StoreAway, match="not believed"):
        mirror.refresh()
    assert (root / "fraud" / "2" / "model.onnx").exists()


def test_the_copy_is_there_only_once_everything_was_fetched(store: ObjectStore, root: Path) -> None:
    publish_shared(store, "fraud", FILES)
    manifest = b'{"format": 1, "files": {"model.onnx": {"key": "gone/.files/a/model.onnx", "sha256": "", "bytes": 1}}}'
    store.create("gone/1/manifest.json", manifest)

    with pytest.raises(StoreAway):
        Mirror(store, root).refresh()

    assert not root.exists()


def test_a_store_that_is_away_is_told_once_and_what_was_fetched_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    root = tmp_path / "copy"
    publish(root, "fraud", FILES)
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "http://127.0.0.1:1")
    follower = Follower(f"s3://{uuid.uuid4().hex}/models", root)

    follower.tick()
    follower.tick()

    (told,) = [each.message for each in caplog.records if each.name.startswith("gateway")]
    assert told.startswith("what was fetched serves on: s3://")
    assert "Could not connect" in told
    assert (root / "fraud" / "1" / "model.onnx").exists()


def test_a_store_that_cannot_tell_two_writers_apart_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="two writers"):
        publish_shared(ObjectStore(f"local://{tmp_path}"), "fraud", FILES)


def test_an_address_that_no_library_reads_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="no address"):
        ObjectStore("nowhere://bucket")
