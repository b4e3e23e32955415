"""The evaluation beside a version: whole, bounded, the newest, and never about other bytes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.models import evaluations
from gateway.models.evaluations import Evaluation, GateResult, InvalidEvaluation, has_passed
from gateway.models.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path

SHA = "ab" * 32
GOOD = Evaluation(format=1, sha256=SHA, created="2026-11-21T00:00:00Z", passed=True, gates=(
    GateResult("f1 >= 0.9", 0.95, passed=True),), scores={"f1": 0.95}, data={"rows": 9}, baseline=1)  # fmt: skip
BAD = msgspec.structs.replace(GOOD, passed=False, gates=(
    GateResult("f1 >= 0.9", 0.5, passed=False), GateResult("roc_auc >= 1", None, passed=False, why="not known"),
))  # fmt: skip


def test_what_was_written_is_read_and_the_newest_wins(tmp_path: Path) -> None:
    assert evaluations.read_evaluation(tmp_path) is None

    evaluations.write_evaluation(tmp_path, BAD)
    evaluations.write_evaluation(tmp_path, GOOD)

    assert evaluations.read_evaluation(tmp_path) == GOOD
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


def test_it_is_no_part_of_the_version(tmp_path: Path) -> None:
    directory = tmp_path / "fraud" / "1"
    directory.mkdir(parents=True)
    (directory / "model.onnx").write_bytes(b"x")
    before = Repository(tmp_path).scan().versions["fraud"][1].stamp

    evaluations.write_evaluation(directory, GOOD)

    assert Repository(tmp_path).scan().versions["fraud"][1].stamp == before


def test_a_write_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations.write_evaluation(tmp_path, GOOD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        evaluations.write_evaluation(tmp_path, BAD)

    assert evaluations.read_evaluation(tmp_path) == GOOD
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


def test_one_that_would_be_too_large_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="may have 262144"):
        evaluations.write_evaluation(tmp_path, msgspec.structs.replace(GOOD, data={"name": "x" * 300_000}))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b'{"format": 1}', b"x" * 300_000, msgspec.json.encode(GOOD).replace(b"1", b"2", 1)],
    ids=["empty", "bare", "list", "binary", "part", "large", "of the future"],
)
def test_what_is_no_evaluation_says_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_bytes(content)

    with pytest.raises(InvalidEvaluation, match=r"evaluation\.json"):
        evaluations.read_evaluation(tmp_path)
    assert not has_passed(tmp_path, SHA)[0]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").symlink_to("/nowhere")

    with pytest.raises(InvalidEvaluation, match="symbolic link"):
        evaluations.read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("written", "sha256", "passed", "why"),
    [
        (None, SHA, False, "was not evaluated"),
        (GOOD, SHA, True, ""),
        (GOOD, SHA.upper(), True, ""),
        (GOOD, "cd" * 32, False, "of another model file"),
        (msgspec.structs.replace(GOOD, passed=None, gates=()), SHA, False, "without gates"),
        (BAD, SHA, False, "it failed 'f1 >= 0.9' (0.5), 'roc_auc >= 1' (not known)"),
    ],
)
def test_only_gates_that_this_file_passed_are_a_pass(
    written: Evaluation | None, sha256: str, passed: bool, why: str, tmp_path: Path
) -> None:
    if written is not None:
        evaluations.write_evaluation(tmp_path, written)

    found = has_passed(tmp_path, sha256)

    assert (found[0], why in found[1], bool(found[1])) == (passed, True, not passed)
