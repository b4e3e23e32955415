"""What the walk over an ONNX file finds before the runtime sees the file."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.errors import InvalidModel
from gateway.engine.onnx_file import OnnxFacts, inspect
from tests.engine import graphs
from tests.engine.graphs import FLOAT, STRING, external, node, proto, value

from onnx import AttributeProto, SparseTensorProto, helper  # isort: skip - once `graphs` has seen that it is there

if TYPE_CHECKING:
    from pathlib import Path


def facts_of(content: bytes, directory: Path) -> OnnxFacts:
    path = directory / "model.onnx"
    path.write_bytes(content)
    return inspect(path)


def whole(**changes: Any) -> Any:
    return proto([node("Identity", ["x"], ["y"])], [value("x")], [value("y")], **changes)


def in_an_initializer() -> Any:
    return whole(tensors=[external("w", location="w.bin")])


def in_a_constant() -> Any:
    constant = node("Constant", [], ["w"], value=external("w", location="w.bin"))
    return proto([constant, node("Add", ["x", "w"], ["y"])], [value("x")], [value("y")])


def in_a_list_of_tensors() -> Any:
    built = whole()
    attribute = built.graph.node[0].attribute.add(name="many", type=AttributeProto.TENSORS)
    attribute.tensors.append(external("w", location="w.bin"))
    return built


def in_a_branch_of_a_branch() -> Any:
    def branch(*nodes: Any) -> Any:
        return helper.make_graph(list(nodes), "branch", [], [value("b", FLOAT, None)])

    leaf = branch(node("Constant", [], ["b"], value=external("w", location="w.bin")))
    inner = branch(node("If", ["c"], ["b"], then_branch=leaf, else_branch=leaf))
    return proto([node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)], [value("x")], [value("y")])


def in_a_function() -> Any:
    built = whole()
    body = [node("Constant", [], ["b"], value=external("w", location="w.bin"))]
    opset = [helper.make_opsetid("", 21)]
    built.functions.append(helper.make_function("com.example", "F", [], ["b"], body, opset))
    return built


def in_a_sparse_initializer() -> Any:
    built = whole()
    sparse = SparseTensorProto(values=external("w", location="w.bin"), dims=[3])
    built.graph.sparse_initializer.append(sparse)
    return built


def in_training_information() -> Any:
    built = whole()
    built.training_info.add().algorithm.initializer.append(external("w", location="w.bin"))
    return built


def without_a_location() -> Any:
    return whole(tensors=[external("w")])


def in_this_process() -> Any:
    return whole(tensors=[external("w", location="*/_ORT_MEM_ADDR_/*", offset="140000000000", length="12")])


@pytest.mark.parametrize(
    "build",
    [
        in_an_initializer,
        in_a_constant,
        in_a_list_of_tensors,
        in_a_branch_of_a_branch,
        in_a_function,
        in_a_sparse_initializer,
        in_training_information,
        without_a_location,
        in_this_process,
    ],
)
def test_external_data_is_found_wherever_a_tensor_can_stand(build: Any, tmp_path: Path) -> None:
    content = build().SerializeToString()

    found = facts_of(content, tmp_path)

    assert found.has_external_data


def test_external_data_is_found_in_a_second_copy_of_a_field_that_parsers_merge(tmp_path: Path) -> None:
    content = graphs.plus(1.0) + in_an_initializer().SerializeToString()

    found = facts_of(content, tmp_path)

    assert found.has_external_data


@pytest.mark.parametrize(
    "content", [graphs.plus(1.0), graphs.identity(), graphs.gather(3), graphs.mean_over_the_batch()]
)
def test_a_whole_model_has_nothing_to_refuse(content: bytes, tmp_path: Path) -> None:
    assert facts_of(content, tmp_path) == OnnxFacts()


def test_a_million_numbers_of_a_tree_model_are_passed_over(tmp_path: Path) -> None:
    built = in_an_initializer()
    built.graph.node[0].attribute.append(helper.make_attribute("thresholds", [0.5] * 300_000))
    built.graph.node[0].attribute.append(helper.make_attribute("nodes", [-1, 0, 1, 2**40] * 75_000))
    built.graph.node[0].attribute.append(helper.make_attribute("after", external("v", location="v.bin")))
    del built.graph.initializer[:]

    found = facts_of(built.SerializeToString(), tmp_path)

    assert found.has_external_data


def test_a_negative_dimension_is_found(tmp_path: Path) -> None:
    found = facts_of(graphs.identity(shape=(-5, 3)), tmp_path)

    assert found.has_negative_dimension


def test_an_input_without_a_shape_is_found_and_a_scalar_is_not_one(tmp_path: Path) -> None:
    unranked = graphs.graph(node("Identity", ["x"], ["y"]), inputs=[value("x", FLOAT, None)])

    assert facts_of(unranked, tmp_path).has_unranked_input
    assert not facts_of(graphs.identity(shape=()), tmp_path).has_unranked_input


def test_a_text_input_is_found(tmp_path: Path) -> None:
    assert facts_of(graphs.identity(STRING), tmp_path).has_text_input
    assert not facts_of(graphs.identity(FLOAT), tmp_path).has_text_input


def refusals_of(contents: list[bytes], directory: Path) -> list[str]:
    codes: list[str] = []
    for content in contents:
        try:
            facts_of(content, directory)
        except InvalidModel as exc:
            codes.append(exc.code)
    return codes


def test_a_cut_file_is_read_or_is_a_bad_model(tmp_path: Path) -> None:
    content = in_a_branch_of_a_branch().SerializeToString()

    codes = refusals_of([content[:length] for length in range(len(content))], tmp_path)

    assert len(codes) > len(content) / 2
    assert set(codes) == {"bad_model"}


def test_bytes_at_random_are_read_or_are_a_bad_model(tmp_path: Path) -> None:
    draw = random.Random(7)

    codes = refusals_of([draw.randbytes(draw.randrange(1, 400)) for _ in range(300)], tmp_path)

    assert len(codes) > 200
    assert set(codes) == {"bad_model"}


def test_messages_nested_without_end_are_refused(tmp_path: Path) -> None:
    content = b""
    for _ in range(400):  # node, attribute, graph, node …
        for key in (b"\x32", b"\x2a", b"\x0a"):
            content = key + varint(len(content)) + content

    with pytest.raises(InvalidModel):
        facts_of(b"\x3a" + varint(len(content)) + content, tmp_path)


def varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
