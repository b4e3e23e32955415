"""Which integer divisions are found before they can crash a worker, and that the runtime is as it was measured."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import helper

from gateway.core.errors import InputRefused, ModelFailed, RunStopped
from gateway.engine import divisions
from gateway.engine.onnx import OnnxEngine
from gateway.engine.onnx_file import inspect
from tests.engine.graphs import BOOL, FLOAT, INT64, KINDS, gather, graph, node, ten_divided, value, weights
from tests.engine.killers import divided, endless

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.engine.onnx import OnnxSession


def found(tmp_path: Path, content: bytes) -> tuple[str, ...]:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return inspect(path).divisions


def by(divisor: list[int], op: str = "Div", kind: int = INT64, **attributes: Any) -> bytes:
    """y = x / a constant."""
    return graph(
        node(op, ["x", "d"], ["y"], **attributes),
        inputs=[value("x", kind, ["n", len(divisor)])],
        outputs=[value("y", kind, ["n", len(divisor)])],
        tensors=[weights("d", divisor, [len(divisor)], kind)],
    )


def inside_if() -> bytes:
    """y = x / z in one branch of an If."""
    branches = {
        name: helper.make_graph([node(op, ["x", "z"], ["o"], name=name)], name, [], [value("o", INT64, ["n"])])
        for name, op in (("then_branch", "Div"), ("else_branch", "Add"))
    }
    return graph(
        node("If", ["c"], ["y"], **branches),
        inputs=[value("x", INT64, ["n"]), value("z", INT64, ["n"]), value("c", BOOL, [])],
        outputs=[value("y", INT64, ["n"])],
    )


def after_cast(kind: int) -> bytes:
    """Whether the division is one of integers is known from the Cast before it only."""
    return graph(
        node("Cast", ["x"], ["a"], to=kind),
        node("Neg", ["a"], ["b"]),
        node("Div", ["a", "b"], ["c"]),
        node("Cast", ["c"], ["y"], to=FLOAT),
    )


@pytest.mark.parametrize("op", ["Div", "Mod"])
@pytest.mark.parametrize("kind", ["INT32", "INT64"])
def test_a_division_by_what_a_caller_sends_is_named(tmp_path: Path, op: str, kind: str) -> None:
    assert found(tmp_path, divided(op, KINDS[kind])) == ("divide",)


@pytest.mark.parametrize("kind", ["INT8", "INT16", "FP32", "FP64", "UINT32"])
def test_a_division_of_what_does_not_trap_is_not(tmp_path: Path, kind: str) -> None:
    assert found(tmp_path, divided("Div", KINDS[kind])) == ()


@pytest.mark.parametrize(("divisor", "dangerous"), [([2, 3], False), ([0, 5], False), ([2, -1], True)])
@pytest.mark.parametrize("kind", ["INT32", "INT64"])
def test_a_constant_divisor_is_dangerous_only_where_it_holds_minus_one(
    tmp_path: Path, kind: str, divisor: list[int], dangerous: bool
) -> None:
    assert bool(found(tmp_path, by(divisor, kind=KINDS[kind]))) == dangerous


def test_a_constant_in_raw_bytes_is_read_too(tmp_path: Path) -> None:
    for numbers, dangerous in (([7], False), ([-1], True)):
        tensor = helper.make_tensor("d", INT64, [1], np.array(numbers, "<i8").tobytes(), raw=True)
        shape: dict[str, Any] = {"inputs": [value("x", INT64, ["n"])], "outputs": [value("y", INT64, ["n"])]}
        as_initializer = graph(node("Div", ["x", "d"], ["y"]), tensors=[tensor], **shape)
        as_node = graph(node("Constant", [], ["d"], value=tensor), node("Div", ["x", "d"], ["y"]), **shape)

        assert bool(found(tmp_path, as_initializer)) == bool(found(tmp_path, as_node)) == dangerous


def test_a_division_in_a_branch_and_one_whose_type_a_cast_gives_are_found(tmp_path: Path) -> None:
    assert found(tmp_path, inside_if()) == ("then_branch",)
    assert found(tmp_path, after_cast(INT64)) == ("Div that makes c",)
    assert found(tmp_path, after_cast(FLOAT)) == ()


def test_a_constant_dividend_and_the_remainder_of_floats_make_no_difference(tmp_path: Path) -> None:
    assert found(tmp_path, ten_divided()) == ("Div that makes y",)
    assert found(tmp_path, by([-1], "Mod", KINDS["FP32"], fmod=1)) == ()


def load(tmp_path: Path, content: bytes) -> OnnxSession:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return OnnxEngine().load(path, model="m", version=1, threads=1)


def test_a_version_with_such_a_division_is_loaded_and_says_so(tmp_path: Path) -> None:
    assert "(divide)" in load(tmp_path, divided()).warning
    assert load(tmp_path, gather(3)).warning == ""


TRAP = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
session = onnxruntime.InferenceSession(sys.argv[1], options)
kind = numpy.dtype(sys.argv[2])
feeds = {"x": numpy.array([[numpy.iinfo(kind).min]], kind), "z": numpy.array([[-1]], kind)}
session.run(None, feeds)
"""


@pytest.mark.parametrize(("kind", "code"), [("INT8", 0), ("INT16", 0), ("INT32", -8), ("INT64", -8)])
def test_the_runtime_traps_on_32_and_64_bits_and_not_on_fewer(tmp_path: Path, kind: str, code: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(divided("Div", KINDS[kind]))

    ended = subprocess.run([sys.executable, "-c", TRAP, path, kind.lower()], check=False, capture_output=True)

    assert ended.returncode == code


def test_a_division_by_zero_and_an_index_out_of_range_are_failures_of_two_kinds(tmp_path: Path) -> None:
    one = np.array([[1]], np.int64)

    with pytest.raises(ModelFailed) as by_zero:
        load(tmp_path, divided()).run({"x": one, "z": one * 0})
    with pytest.raises(InputRefused):
        load(tmp_path, gather(3)).run({"x": np.array([99], np.int64)})

    assert not isinstance(by_zero.value, InputRefused)


def test_a_loop_that_is_stopped_ends_soon_and_the_next_run_is_as_ever(tmp_path: Path) -> None:
    session = load(tmp_path, endless())
    threading.Timer(0.1, session.stop).start()

    with pytest.raises(RunStopped):
        session.run({"x": np.array([10**12], np.int64)})

    assert session.run({"x": np.array([3], np.int64)})[0].tolist() == [3]


def test_weights_are_not_searched_for_divisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*_: object) -> list[str]:
        pytest.fail("the file was searched")

    monkeypatch.setattr(divisions, "find", find)
    word = np.frombuffer(b"\x22\x03Div\x22\x03Mod\0\0" * 4, np.float32)

    assert found(tmp_path, gather_of(word)) == ()


def gather_of(table: np.ndarray[Any, Any]) -> bytes:
    """y = x + a row of *table*, which stands in the file as it is in memory."""
    rows = helper.make_tensor("table", FLOAT, [len(table), 1], table.tobytes(), raw=True)
    return graph(node("Gather", ["table", "x"], ["y"]), inputs=[value("x", INT64, ["n"])], tensors=[rows])
