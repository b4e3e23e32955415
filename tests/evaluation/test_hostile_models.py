"""A version that hangs, crashes, eats memory or is none: a sentence about that version, and the command goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.evaluation.asking import ask
from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.tensors import pack, unpack
from tests.engine.graphs import FLOAT, graph, identity, node, value
from tests.engine.killers import divided, endless, unstoppable

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)  # each asks in a process of its own, which imports the runtime


def refusal(directory: Path, content: bytes, seconds: int = 60, **columns: Any) -> str:
    (directory / "model.onnx").write_bytes(content)
    with pytest.raises(CannotEvaluate) as caught:
        ask(
            directory / "model.onnx",
            {name: np.array(each, np.float64) for name, each in columns.items()},
            called="fraud/3",
            seconds=seconds,
        )
    return str(caught.value)


def test_a_version_that_never_ends_is_ended(tmp_path: Path) -> None:
    assert "fraud/3 took longer than 4 s" in refusal(tmp_path, endless(), 4, x=[1e12])


def test_a_version_that_crashes_ends_its_own_process_only(tmp_path: Path) -> None:
    said = refusal(tmp_path, divided(), x=[[-(2.0**63)]], z=[[-1.0]])

    assert "fraud/3 crashed the process that asked it" in said


def test_a_version_that_wants_more_memory_than_there_may_be_is_refused(tmp_path: Path) -> None:
    assert "it cannot answer the rows" in refusal(tmp_path, unstoppable(), x=[1e6])


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        (b"<html>", {"x": [[1.0, 2.0, 3.0]]}, "it cannot be loaded (bad_model)"),
        (identity(), {"a": [1.0], "b": [2.0]}, "does not fit the input x FP32"),
    ],
)
def test_what_cannot_be_loaded_or_asked_says_why(
    content: bytes, columns: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert said in refusal(tmp_path, content, **columns)


def test_a_version_with_a_fixed_number_of_rows_answers_every_row_once(tmp_path: Path) -> None:
    model = graph(
        node("Add", ["x", "x"], ["y"]), inputs=[value("x", FLOAT, [4, 1])], outputs=[value("y", FLOAT, [4, 1])]
    )
    (tmp_path / "model.onnx").write_bytes(model)

    found = ask(tmp_path / "model.onnx", {"x": np.arange(10.0)}, called="m/1", seconds=60)

    assert found.answers["y"].ravel().tolist() == [2 * each for each in range(10)]
    assert (found.row.rows, found.batch.rows, found.size_bytes) == (4, 4, len(model))
    assert 0 < found.row.p50_ms <= found.row.p99_ms


def test_a_link_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")

    with pytest.raises(CannotEvaluate, match="symbolic link"):
        ask(tmp_path / "model.onnx", {"x": np.ones(1)}, called="m/1", seconds=9)


def test_columns_come_back_as_they_were_sent() -> None:
    sent = {"text": np.array(["a\0", "ü", ""], object), "number": np.array([[1.5], [np.nan]]), "whole": np.arange(3)}

    found = unpack(pack(sent))

    assert list(found) == list(sent)
    for name, each in sent.items():
        np.testing.assert_array_equal(found[name], each)
        assert found[name].dtype == each.dtype


@pytest.mark.parametrize("content", [b"", b"\xc1", pack({"x": np.ones(3)})[:-1], b"\x81\xa1x\x81\xa5shape\x91\x09"])
def test_bytes_that_are_no_columns_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever layer finds it
        unpack(content)
