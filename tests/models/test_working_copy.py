"""A command works on an object store as on a directory: what it makes arrives whole, and undoes nobody else's work.

Every rule over fsspec's memory and over a real S3 server (moto's) on a port of this machine.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("s3fs", reason="object stores need the `s3` extra")
pytest.importorskip("moto", reason="S3 is played by moto, of the `test` extra")

from gateway.models.mirror import Mirror
from gateway.models.objects import ObjectStore, StoreAway
from gateway.models.pedigree import Pedigree
from gateway.models.shared import publish_shared, versions_in
from gateway.models.shared_removal import hide_shared
from gateway.models.working_copy import ChangedMeanwhile, Directory, Fetched
from tests.models.buckets import bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {"model.onnx": b"graph", "metadata.yaml": b"parents: [fraud/7]\n"}


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
def copy(store: ObjectStore, tmp_path: Path) -> Fetched:
    return Fetched(store, tmp_path / "copy")


@pytest.fixture
def other(store: ObjectStore, tmp_path: Path) -> Fetched:
    return Fetched(store, tmp_path / "other")


def test_a_version_is_fetched_with_what_was_said_of_it_since(store: ObjectStore, copy: Fetched) -> None:
    publish_shared(store, "fraud", FILES)
    store.create("fraud/1/metadata.yaml", b"notes: later\n")

    assert copy.fetch("fraud", 1)
    assert (copy.root / "fraud/1/model.onnx").read_bytes() == b"graph"
    assert (copy.root / "fraud/1/metadata.yaml").read_bytes() == b"notes: later\n"


def test_a_version_that_was_copied_by_hand_is_fetched_too(store: ObjectStore, copy: Fetched) -> None:
    store.create("fraud/4/model.onnx", b"graph")

    assert copy.fetch("fraud", 4)
    assert (copy.root / "fraud/4/model.onnx").read_bytes() == b"graph"


def test_what_is_no_version_is_not_fetched(store: ObjectStore, copy: Fetched) -> None:
    store.create("fraud/1/tags.json", b"{}")

    assert not copy.fetch("fraud", 1)
    assert not copy.fetch("fraud", 2)


def test_a_version_that_is_not_what_its_manifest_says_is_refused(store: ObjectStore, copy: Fetched) -> None:
    publish_shared(store, "fraud", FILES)
    (key,) = [key for key in store.keys() if key.endswith("/model.onnx")]  # noqa: SIM118 - it is no mapping
    store.remove(key)
    store.create(key, b"other")

    with pytest.raises(StoreAway, match="its manifest says"):
        copy.fetch("fraud", 1)


def test_the_lineage_is_known_without_any_model(store: ObjectStore, copy: Fetched) -> None:
    for _ in range(2):
        publish_shared(store, "fraud", FILES)

    copy.fetch_lineage()

    assert {str(name): [str(each.name) for each in said] for name, said in Pedigree(copy.root)().parents.items()} == {
        "fraud/1": ["fraud/7"], "fraud/2": ["fraud/7"]
    }  # fmt: skip
    assert (copy.root / "fraud/1/model.onnx").stat().st_size == 0


def test_what_is_published_gets_the_number_of_the_store(store: ObjectStore, copy: Fetched, other: Fetched) -> None:
    copy.fetch_lineage()
    other.publish(other.root, "fraud", FILES)

    assert copy.publish(copy.root, "fraud", FILES) == 2
    assert sorted(versions_in(store.keys())["fraud"]) == [1, 2]


@pytest.mark.parametrize("there", [True, False])
def test_of_two_who_write_the_same_file_the_second_is_told(
    there: bool, store: ObjectStore, copy: Fetched, other: Fetched
) -> None:
    publish_shared(store, "fraud", FILES)
    if there:
        store.create("fraud/1/tags.json", b"{}")
    for each in (copy, other):
        each.fetch("fraud", 1)
        (each.root / "fraud/1/tags.json").write_bytes(each.root.name.encode())

    other.send("fraud", 1, ["tags.json"])

    with pytest.raises(ChangedMeanwhile, match=r"tags\.json of version 1 of fraud in .* run the command again"):
        copy.send("fraud", 1, ["tags.json"])
    assert store.read("fraud/1/tags.json") == b"other"


def test_who_replaces_what_is_gone_is_told(store: ObjectStore, copy: Fetched) -> None:
    publish_shared(store, "fraud", {**FILES, "tags.json": b"{}"})
    store.create("fraud/1/tags.json", b"{}")
    copy.fetch("fraud", 1)
    store.remove("fraud/1/tags.json")

    with pytest.raises(ChangedMeanwhile):
        copy.send("fraud", 1, ["tags.json"])


def test_what_was_fetched_again_may_be_written_again(store: ObjectStore, copy: Fetched, other: Fetched) -> None:
    publish_shared(store, "fraud", FILES)
    for each in (copy, other):
        each.fetch("fraud", 1, ["tags.json"])
        (each.root / "fraud/1/tags.json").write_bytes(b"x")
    other.send("fraud", 1, ["tags.json"])
    copy.fetch("fraud", 1, ["tags.json"])

    copy.send("fraud", 1, ["tags.json"])

    assert (copy.root / "fraud/1/tags.json").read_bytes() == b"x"


def test_what_was_written_later_reaches_every_gateway(store: ObjectStore, copy: Fetched, tmp_path: Path) -> None:
    publish_shared(store, "fraud", FILES)
    mirror = Mirror(store, tmp_path / "mirror")
    mirror.refresh()
    copy.fetch("fraud", 1)
    for name in ("golden.jsonl", "metadata.yaml"):
        (copy.root / "fraud/1" / name).write_bytes(name.encode())

    copy.send("fraud", 1, ["golden.jsonl", "metadata.yaml"])
    mirror.refresh()

    place = tmp_path / "mirror" / "fraud" / "1"
    assert {each: (place / each).read_bytes() for each in ("model.onnx", "golden.jsonl", "metadata.yaml")} == {
        "model.onnx": b"graph", "golden.jsonl": b"golden.jsonl", "metadata.yaml": b"metadata.yaml"
    }  # fmt: skip


def test_removed_versions_go_with_their_files_and_no_number_is_given_twice(store: ObjectStore, copy: Fetched) -> None:
    for _ in range(3):
        publish_shared(store, "fraud", FILES)
    store.create("fraud/1/tags.json", b"{}")
    files_before = len(store.keys())

    with copy.hide("fraud", [1, 2]):
        during = set(versions_in(store.keys())["fraud"])

    assert during == {3}
    assert (files_before, len(store.keys())) == (10, 3)
    assert publish_shared(store, "fraud", FILES) == 4


def test_a_version_that_came_into_use_is_put_back_whole(store: ObjectStore, copy: Fetched, other: Fetched) -> None:
    for _ in range(2):
        publish_shared(store, "fraud", FILES)
    store.create("fraud/1/tags.json", b"{}")

    with copy.hide("fraud", [1]) as hidden:
        hidden.put_back(1)

    assert other.fetch("fraud", 1)
    assert {each.name for each in (other.root / "fraud/1").iterdir()} == {*FILES, "tags.json"}


def test_a_removal_that_is_given_up_puts_everything_back(store: ObjectStore, copy: Fetched, other: Fetched) -> None:
    for _ in range(2):
        publish_shared(store, "fraud", FILES)

    with pytest.raises(RuntimeError), copy.hide("fraud", [1, 2]):
        raise RuntimeError

    assert [other.fetch("fraud", version) for version in (1, 2)] == [True, True]


def test_what_a_killed_removal_left_is_deleted_by_the_next_one(store: ObjectStore) -> None:
    for _ in range(2):
        publish_shared(store, "fraud", FILES)
    store.copy("fraud/1/manifest.json", "fraud/.old/1/manifest.json")
    store.remove("fraud/1/manifest.json")  # killed here

    with hide_shared(store, "fraud", []):
        pass

    assert len(store.keys()) == 3
    assert set(versions_in(store.keys())["fraud"]) == {2}


def test_a_removal_that_was_killed_before_the_version_went_leaves_it_whole(store: ObjectStore, copy: Fetched) -> None:
    publish_shared(store, "fraud", FILES)
    store.copy("fraud/1/manifest.json", "fraud/.old/1/manifest.json")  # killed here

    with hide_shared(store, "fraud", []):
        pass

    assert copy.fetch("fraud", 1)
    assert len(store.keys()) == 3


def test_a_hidden_manifest_that_is_damaged_goes_alone(store: ObjectStore) -> None:
    publish_shared(store, "fraud", FILES)
    store.create("fraud/.old/9/manifest.json", b"{")

    with hide_shared(store, "fraud", []):
        pass

    assert len(store.keys()) == 3


def test_what_is_gone_already_is_no_failure(store: ObjectStore) -> None:
    store.create("fraud/x", b"")

    store.remove("fraud/x")
    store.remove("fraud/x")

    assert not store.keys()


def test_a_directory_is_its_own_copy(tmp_path: Path) -> None:
    copy = Directory(tmp_path)
    number = copy.publish(tmp_path, "fraud", FILES)
    copy.fetch_lineage()
    copy.send("fraud", number, ["tags.json"])

    assert (copy.fetch("fraud", number), copy.fetch("fraud", 2)) == (True, False)
    with copy.hide("fraud", [1]):
        pass
    assert not copy.fetch("fraud", 1)
