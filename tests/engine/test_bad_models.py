"""Files that are no model, or none for this runtime: which code they are refused with, and in whose words."""

from __future__ import annotations

import pickle
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import InvalidModel
from gateway.engine.onnx import OnnxEngine, OnnxSession
from tests.engine import graphs
from tests.engine.graphs import BFLOAT16, BOOL, FLOAT, INT4, INT64, STRING, node, proto, value, weights

from onnx import AttributeProto, helper  # isort: skip - once `graphs` has seen that it is there

if TYPE_CHECKING:
    from pathlib import Path


def load(content: bytes, directory: Path) -> OnnxSession:
    path = directory / "model.onnx"
    path.write_bytes(content)
    return OnnxEngine().load(path, model="fraud", version=3, threads=1)


def refusal(content: bytes, directory: Path) -> InvalidModel:
    with pytest.raises(InvalidModel) as caught:
        load(content, directory)
    return caught.value


# M1, M2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        graphs.plus(1.0)[: len(graphs.plus(1.0)) // 2],
        graphs.plus(1.0)[:-1],
        random.Random(1).randbytes(3000),
        b"<!doctype html><html><body>404</body></html>",
        pickle.dumps({"model": [1.0, 2.0]}),
    ],
    ids=["empty", "1 byte", "cut at half", "last byte missing", "random", "HTML", "pickle"],
)
def test_what_is_no_model_is_a_bad_model(content: bytes, tmp_path: Path) -> None:
    assert refusal(content, tmp_path).code == "bad_model"


def test_a_git_lfs_pointer_is_called_one(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n"

    found = refusal(pointer, tmp_path)

    assert found.code == "bad_model"
    assert "git lfs pull" in found.reason


# M3


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (graphs.graph(node("Nope", ["x"], ["y"])), "Nope"),
        (graphs.graph(node("Foo", ["x"], ["y"], domain="com.example")), "com.example:Foo"),
        (graphs.graph(node("Foo", ["x"], ["y"], domain="org.other")), "org.other"),
        (graphs.graph(node("Identity", ["x"], ["y"]), opset=99), "Opset 99"),
        (graphs.graph(node("Identity", ["x"], ["y"]), ir=99), "IR version: 99"),
        (graphs.identity(INT4), "Identity"),
    ],
)
def test_what_is_not_for_this_runtime_is_unsupported_and_named(content: bytes, named: str, tmp_path: Path) -> None:
    found = refusal(content, tmp_path)

    assert found.code == "unsupported"
    assert named in found.reason


def test_probabilities_as_dictionaries_are_refused_with_the_cure(tmp_path: Path) -> None:
    zipmap = node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, [])))
    built = proto([zipmap], [value("x")], [helper.make_value_info("y", maps)])
    built.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))

    found = refusal(built.SerializeToString(), tmp_path)

    assert found.code == "unsupported"
    assert "zipmap=False" in found.reason


def test_a_type_that_numpy_cannot_hold_is_unsupported(tmp_path: Path) -> None:
    assert refusal(graphs.identity(INT4), tmp_path).code == "unsupported"


@pytest.mark.parametrize("kind", [BFLOAT16, FLOAT], ids=["input", "output"])
def test_texts_beside_bfloat16_are_refused_with_the_cure(kind: int, tmp_path: Path) -> None:
    nodes = [node("Identity", ["x"], ["y"]), node("Cast", ["number"], ["other"], to=BFLOAT16)]
    inputs = [value("x", STRING), value("number", kind)]
    outputs = [value("y", STRING), value("other", BFLOAT16)]

    found = refusal(graphs.graph(*nodes, inputs=inputs, outputs=outputs), tmp_path)

    assert found.code == "unsupported"
    assert "cast to and from float" in found.reason


def test_an_input_without_a_shape_is_unsupported(tmp_path: Path) -> None:
    content = graphs.graph(node("Identity", ["x"], ["y"]), inputs=[value("x", shape=None)])

    assert refusal(content, tmp_path).code == "unsupported"


# M4


def cycle() -> bytes:
    return graphs.graph(node("Add", ["x", "b"], ["a"]), node("Add", ["a", "x"], ["b"]), node("Neg", ["a"], ["y"]))


def broken_weights(**changes: Any) -> bytes:
    tensor = weights("w", [1.0, 2.0, 3.0], [3])
    tensor.ClearField("float_data")
    tensor.raw_data = changes.pop("raw_data", bytes(12))
    for name, change in changes.items():
        if name == "dims":
            tensor.dims[:] = change
        else:
            setattr(tensor, name, change)
    return graphs.graph(node("Add", ["x", "w"], ["y"]), tensors=[tensor])


@pytest.mark.parametrize(
    "content",
    [
        cycle(),
        graphs.graph(node("Add", ["x", "nobody"], ["y"])),
        graphs.identity(shape=(2**62, 3)),
        graphs.identity(shape=(-5, 3)),
        graphs.identity(shape=(0, 3)),
        broken_weights(raw_data=bytes(8)),
        broken_weights(dims=[2**62]),
        broken_weights(dims=[-3]),
        broken_weights(data_type=77),
    ],
    ids=["cycle", "dangling", "2^62", "negative", "zero", "short", "weights 2^62", "weights negative", "datatype 77"],
)
def test_a_broken_graph_is_a_bad_model(content: bytes, tmp_path: Path) -> None:
    assert refusal(content, tmp_path).code == "bad_model"


def test_a_tensor_name_without_end_is_refused_without_being_repeated(tmp_path: Path) -> None:
    name = "x" * 5000

    found = refusal(graphs.graph(node("Identity", [name], ["y"]), inputs=[value(name)]), tmp_path)

    assert found.code == "bad_model"
    assert len(found.reason) < 200


def test_the_words_of_the_runtime_stay_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = refusal(broken_weights(data_type=77), tmp_path)

    assert "onnxruntime_src" in caplog.text
    assert "onnxruntime_src" not in found.reason
    assert str(tmp_path) not in found.reason


# M13's mutants


def mutants(count: int, seed: int) -> list[bytes]:
    """Return models with one to four bytes changed, cut out or put in."""
    draw = random.Random(seed)
    originals = [graphs.plus(1.0), graphs.gather(3), graphs.mean_over_the_batch(), graphs.identity(STRING), cycle()]
    found = []
    for _ in range(count):
        content = bytearray(draw.choice(originals))
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(len(content))
            change = draw.randrange(3)
            content[at : at + (change != 0)] = b"" if change == 1 else draw.randbytes(1)
        found.append(bytes(content))
    return found


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.long)])
def test_a_mutant_is_loaded_or_refused_and_nothing_else(count: int, tmp_path: Path) -> None:
    refusals: list[str] = []

    for content in mutants(count, seed=13):
        try:
            load(content, tmp_path)
        except InvalidModel as exc:
            refusals.append(exc.reason)

    assert 0 < len(refusals) < count
    assert not [reason for reason in refusals if "onnxruntime_src" in reason]


# M22


def test_a_graph_of_6000_nodes_is_loaded(tmp_path: Path) -> None:
    chain = [node("Neg", ["x" if each == 0 else f"n{each}"], [f"n{each + 1}"]) for each in range(5999)]
    session = load(graphs.graph(*chain, node("Neg", ["n5999"], ["y"])), tmp_path)

    (answer,) = session.run({"x": np.ones((1, 3), np.float32)})

    assert answer.tolist() == [[1.0, 1.0, 1.0]]


def nested(depth: int) -> bytes:
    """Return a model of Ifs inside Ifs, joined as bytes: the Python protobuf would not build it."""

    def leaf(name: str) -> Any:
        return helper.make_graph([node("Identity", ["x"], [name])], name, [], [value(name)])

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2]) + varint(len(content)) + content

    inner = leaf("b0").SerializeToString()
    for level in range(1, depth + 1):
        then = AttributeProto(name="then_branch", type=AttributeProto.GRAPH).SerializeToString() + field(6, inner)
        choice = node("If", ["c"], [f"b{level}"], else_branch=leaf(f"e{level}")).SerializeToString() + field(5, then)
        last = level == depth
        inputs = [value("x"), value("c", BOOL, [])] if last else []
        around = helper.make_graph([], f"level {level}", inputs, [value(f"b{level}")])
        inner = around.SerializeToString() + field(1, choice)
    head = helper.make_model(
        helper.make_graph([], "", [], []), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    head.ClearField("graph")
    content: bytes = head.SerializeToString() + field(7, inner)
    return content


def varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def test_branches_nested_30_deep_are_loaded(tmp_path: Path) -> None:
    assert load(nested(30), tmp_path).signature.inputs[0].name == "x"


def test_branches_nested_60_deep_are_refused(tmp_path: Path) -> None:
    assert refusal(nested(60), tmp_path).code == "bad_model"
