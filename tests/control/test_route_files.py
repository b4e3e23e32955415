"""Route files: what they say, and that a broken one hides no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.control.route_files import read_directory, read_file
from gateway.core.errors import InvalidDocument, InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

GOOD = 'model: fraud\nsplit: {"1": 95, "2": 5}\n'


def write(directory: Path, name: str, content: str | bytes) -> Path:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.json"])
def test_a_file_of_each_kind_is_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, '{"model": "fraud", "split": {"1": 95, "2": 5}}')

    assert read_directory(tmp_path).documents["fraud"].split == {1: 95, 2: 5}


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("README.md", ".hidden.yaml", "a.yaml~", "a.txt"):
        write(tmp_path, name, "::: not a route")

    files = read_directory(tmp_path)

    assert (files.documents, files.errors) == ({}, {})


def test_a_file_may_hold_several_documents(tmp_path: Path) -> None:
    path = write(tmp_path, "all.yaml", GOOD + "---\nmodel: digits\nsplit: {1: 1}\n---\n")

    assert [document.model for document in read_file(path)] == ["fraud", "digits"]


@pytest.mark.parametrize(
    "content",
    [
        'model: fraud\nsplit: {"1": 5, "1": 7}\n',
        'model: fraud\nsplit: {"1": 5, 1: 7}\n',
        'model: fraud\nsplit: {"1": 5, 01: 7}\n',
        "model: fraud\nsplit: {1: 5, 01: 7}\n",
        'model: fraud\nmodel: digits\nsplit: {"1": 5}\n',
    ],
)
def test_a_key_written_twice_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidDocument, match=r"a\.yaml"):
        read_file(write(tmp_path, "a.yaml", content))


@pytest.mark.parametrize("number", ["010", "0x10", "0b1", "1_0", "1:30"])
def test_a_number_that_yaml_reads_in_its_own_way_is_refused(tmp_path: Path, number: str) -> None:
    with pytest.raises(InvalidDocument, match="decimal"):
        read_file(write(tmp_path, "a.yaml", f"model: fraud\nsplit: {{1: {number}}}\n"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing\n",
        "- a list\n",
        "model: [",
        "a: &a [*a]\n",
        "model: !!python/object/apply:os.system [ls]\n",
        "? [1, 2]\n: x\n",
        b"\xff\xfe\x00",
        "model: fraud\nsplit: {1: .nan}\n",
        "model: fraud\nsplit: 2020-13-45\n",
        "[" * 5000,
        "x" * ((1 << 20) + 1),
    ],
    ids=range(12),
)
def test_what_is_no_route_is_refused_with_the_name_of_the_file(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(InvalidDocument) as refused:
        read_file(write(tmp_path, "broken.yaml", content))

    assert refused.value.field.startswith("broken.yaml")


def test_a_broken_file_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "model: [")
    write(tmp_path, "b.yaml", GOOD)

    files = read_directory(tmp_path)

    assert list(files.documents) == ["fraud"]
    assert [path.name for path in files.errors] == ["a.yaml"]


def test_a_broken_file_claims_the_models_that_it_may_be_about(tmp_path: Path) -> None:
    write(tmp_path, "digits.yaml", "model: [")
    write(tmp_path, "other.yaml", "model: iris\nsplit: {1: 0}\n")

    assert read_directory(tmp_path).claimed == {"digits", "iris", "other"}


def test_two_files_for_one_model_are_an_error_of_the_second(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", GOOD)
    write(tmp_path, "b.yaml", 'model: fraud\nsplit: {"3": 1}\n')

    files = read_directory(tmp_path)

    assert files.documents["fraud"].split == {1: 95, 2: 5}
    assert "a.yaml" in str(files.errors[tmp_path / "b.yaml"])
    assert files.claimed == {"b"}


def test_a_directory_that_is_not_there_is_a_setting_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="--routes"):
        read_directory(tmp_path / "nowhere")
