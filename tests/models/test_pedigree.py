"""Who comes from whom in a directory of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.lineage import Parent, VersionName
from gateway.models.pedigree import Pedigree

if TYPE_CHECKING:
    from pathlib import Path


def put(root: Path, name: str, metadata: str | None = None) -> None:
    directory = root / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.onnx").write_bytes(b"graph")
    if metadata is not None:
        (directory / "metadata.yaml").write_text(metadata, encoding="utf-8")


def test_both_forms_of_a_parent_are_read_and_a_bare_number_is_of_the_same_model(tmp_path: Path) -> None:
    put(tmp_path, "fraud/1")
    put(tmp_path, "fraud/2", "parents: [fraud/1]")
    put(tmp_path, "small/1", "parents: ['fraud/2:quantised-from', 3]")

    found = Pedigree(tmp_path)()

    assert found.parents == {
        VersionName("fraud", 1): (),
        VersionName("fraud", 2): (Parent(VersionName("fraud", 1)),),
        VersionName("small", 1): (Parent(VersionName("fraud", 2), "quantised-from"), Parent(VersionName("small", 3))),
    }


def test_what_names_no_version_is_kept_to_be_shown(tmp_path: Path) -> None:
    put(tmp_path, "fraud/1", "parents: [run-4711, 'fraud/2:copied-from']")

    assert Pedigree(tmp_path)().unread == {VersionName("fraud", 1): ("run-4711", "fraud/2:copied-from")}


def test_metadata_that_cannot_be_read_hides_no_other_version(tmp_path: Path) -> None:
    put(tmp_path, "fraud/1", "parents: {")
    put(tmp_path, "fraud/2", "parents: [fraud/1]")

    assert len(Pedigree(tmp_path)().parents) == 2


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    put(tmp_path, "fraud/1")
    put(tmp_path, "fraud/2")
    pedigree = Pedigree(tmp_path)
    before = pedigree()

    put(tmp_path, "fraud/2", "parents: [fraud/1]")

    assert (before.ancestors([VersionName("fraud", 2)]), pedigree().ancestors([VersionName("fraud", 2)])) == (
        [],
        [VersionName("fraud", 1)],
    )
