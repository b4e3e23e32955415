"""Hidden units that hardly count leave, and what hardly counts is hardly missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from gateway.engine.rewriting import CannotRewrite
from gateway.optimization.units import prune_units
from tests.engine.graphs import FLOAT, node, proto, value, weights

UNITS = 8
DEAD = 3


def layers(form: str = "matmul", *, dead: float = 0.0, activation: str = "Relu", extra: Any = ()) -> Any:
    """Return 4 → UNITS → 2 as an ONNX graph; the last DEAD units' weights are *dead* times what they were."""
    draw = np.random.default_rng(0)
    first, bias = draw.normal(size=(4, UNITS)) + 2, draw.normal(size=UNITS)
    second = draw.normal(size=(UNITS, 2)) + 2
    second[UNITS - DEAD :] *= dead
    nodes = {
        "matmul": [node("MatMul", ["x", "w"], ["p"]), node("Add", ["p", "b"], ["s"]), node(activation, ["s"], ["h"]),
                   node("MatMul", ["h", "v"], ["y"])],
        "turned": [node("MatMul", ["x", "w"], ["p"]), node("Add", ["b", "p"], ["s"]), node(activation, ["s"], ["h"]),
                   node("MatMul", ["h", "v"], ["y"])],
        "no bias": [node("MatMul", ["x", "w"], ["p"]), node(activation, ["p"], ["h"]),
                    node("MatMul", ["h", "v"], ["y"])],
        "gemm": [node("Gemm", ["x", "w", "b"], ["p"]), node(activation, ["p"], ["h"]), node("Gemm", ["h", "v"], ["y"])],
        "gemm across": [node("Gemm", ["x", "w", "b"], ["p"], transB=1), node(activation, ["p"], ["h"]),
                        node("Gemm", ["h", "v"], ["y"], transB=1)],
    }[form]  # fmt: skip
    across = form == "gemm across"
    matrices = {"w": first.T if across else first, "b": bias, "v": second.T if across else second}
    tensors = [weights(name, each.ravel().tolist(), each.shape) for name, each in matrices.items()]
    outputs = [value("y", FLOAT, ["n", 2]), *extra]
    return proto(nodes, [value("x", FLOAT, ["n", 4])], outputs, tensors=tensors)


def answered(model: Any) -> Any:
    rows = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": rows})[0]


@pytest.mark.parametrize("form", ["matmul", "turned", "no bias", "gemm", "gemm across"])
def test_units_that_count_for_nothing_leave_and_no_answer_changes(form: str) -> None:
    model = layers(form)
    before = answered(model)

    gone = prune_units(model, 0.01)

    assert gone == DEAD
    assert {each.name: max(each.dims) for each in model.graph.initializer}["v"] == UNITS - DEAD
    np.testing.assert_allclose(answered(model), before, rtol=1e-5, atol=1e-5)


def test_the_threshold_is_a_share_of_the_unit_that_counts_most() -> None:
    with pytest.raises(CannotRewrite, match=r"every hidden unit counts at least 0\.0\d+ of the most"):
        prune_units(layers(dead=0.1), 0.001)
    assert prune_units(layers(dead=0.1), 0.2) == DEAD


@pytest.mark.parametrize(
    "model",
    [
        layers(activation="Softmax"),
        layers(extra=[value("h", FLOAT, ["n", UNITS])]),
        proto([node("Relu", ["x"], ["y"])], [value("x")], [value("y")]),
    ],
    ids=["units that depend on one another", "units that somebody else reads", "no layer"],
)
def test_units_that_something_else_needs_stay(model: Any) -> None:
    with pytest.raises(CannotRewrite, match="no hidden layer"):
        prune_units(model, 1.0)


def test_weights_that_two_products_share_stay() -> None:
    model = layers()
    model.graph.node.append(node("MatMul", ["x", "w"], ["z"]))
    model.graph.output.append(value("z", FLOAT, ["n", UNITS]))

    with pytest.raises(CannotRewrite, match="no hidden layer"):
        prune_units(model, 1.0)
