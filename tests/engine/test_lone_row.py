"""Single rows through bound tensors: the same answers, bit for bit; where that is not proven, the ordinary way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from gateway.core.signature import Signature, TensorSpec
from gateway.engine.lone_row import MOST_ELEMENTS, LoneRow, has_lone_row
from gateway.engine.onnx import OnnxEngine
from tests.engine import graphs
from tests.engine.graphs import FLOAT, INT64, node, value, weights
from tests.rest.door import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.ports.engine import Tensor

X = TensorSpec("x", "FP32", (-1, 3))
Y = TensorSpec("y", "FP32", (-1, 3))
OPTIONS = onnxruntime.RunOptions()


class Lone:
    """A graph, and how often the ordinary way was gone."""

    def __init__(self, content: bytes, *outputs: TensorSpec) -> None:
        self.native = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self.names = [spec.name for spec in outputs]
        self.ordinary = 0
        self.lone = LoneRow(self.native, Signature((X,), outputs), self._run)

    def _run(self, names: Sequence[str], feeds: Mapping[str, Tensor], options: Any) -> list[Tensor]:
        self.ordinary += 1
        answer: list[Tensor] = self.native.run(names, feeds, options)
        return answer

    def ask(self, *numbers: float, rows: int = 1, kind: type = np.float32) -> Tensor:
        return self.lone.run(self.names, {"x": np.array([numbers] * rows, kind)}, OPTIONS)[0]


def doubled() -> Lone:
    return Lone(graphs.graph(node("Add", ["x", "x"], ["y"])), Y)


def test_only_the_first_row_goes_the_ordinary_way() -> None:
    lone = doubled()

    assert [lone.ask(n, 2, 3)[0, 0] for n in range(5)] == [0, 2, 4, 6, 8]

    assert lone.ordinary == 1


def test_what_is_not_one_row_of_float32_goes_the_ordinary_way() -> None:
    lone = doubled()
    lone.ask(1, 2, 3)

    assert lone.ask(1, 2, 3, rows=2).tolist() == [[2, 4, 6]] * 2
    with pytest.raises(Exception, match="tensor"):
        lone.ask(1, 2, 3, kind=np.float64)

    assert lone.ordinary == 3


def test_an_answer_stays_as_it_was_while_others_are_made() -> None:
    lone = doubled()

    answers = [lone.ask(n, n, n) for n in range(4)]

    assert [answer[0].tolist() for answer in answers] == [[2.0 * n] * 3 for n in range(4)]


def test_rows_that_are_run_at_the_same_time_get_their_own_answers() -> None:
    lone = doubled()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: lone.ask(n, -n, 1), range(2_000)))

    assert [answer.tolist() for answer in answers] == [[[2.0 * n, -2.0 * n, 2.0]] for n in range(2_000)]


def test_a_model_that_answers_otherwise_each_time_goes_the_ordinary_way() -> None:
    lone = Lone(graphs.graph(node("RandomUniformLike", ["x"], ["y"])), Y)

    assert len({lone.ask(1, 2, 3)[0, 0] for _ in range(5)}) == 5

    assert lone.ordinary == 5


def test_an_output_that_does_not_depend_on_the_row_is_answered_each_time() -> None:
    content = graphs.graph(
        node("Identity", ["w"], ["y"]), outputs=[value("y", shape=["n", 3])], tensors=[weights("w", [1, 2, 3], [1, 3])]
    )

    lone = Lone(content, Y)

    assert [lone.ask(n, n, n).tolist() for n in range(3)] == [[[1, 2, 3]]] * 3


def test_a_row_that_fails_fails_in_the_runtimes_words_and_the_next_is_answered() -> None:
    content = graphs.graph(
        node("Cast", ["x"], ["i"], to=INT64), node("Gather", ["w", "i"], ["y"]), tensors=[weights("w", [7, 8], [2])]
    )
    lone = Lone(content, Y)
    lone.ask(0, 1, 0)

    with pytest.raises(Exception, match="indices element out of data bounds"):
        lone.ask(0, 9, 0)

    assert lone.ask(1, 1, 0).tolist() == [[8, 8, 7]]
    assert lone.ordinary == 2, "the first, and the one that failed"


def test_a_model_whose_answer_changes_its_size_goes_the_ordinary_way_from_then_on() -> None:
    content = graphs.graph(
        node("NonZero", ["x"], ["places"]),
        node("Transpose", ["places"], ["rows"]),
        node("Cast", ["rows"], ["y"], to=FLOAT),
        outputs=[value("y", shape=["m", 2])],
    )
    lone = Lone(content, TensorSpec("y", "FP32", (-1, 2)))

    sizes = [len(lone.ask(*numbers)) for numbers in ((1, 0, 0), (0, 1, 0), (1, 1, 1), (1, 1, 0), (0, 0, 1))]

    assert sizes == [1, 1, 3, 2, 1]
    assert lone.ordinary == 4


@pytest.mark.parametrize("model", ["breast-cancer", "digits"])
def test_shipped_models_answer_a_row_as_the_runtime_does(model: str) -> None:
    path = SHIPPED / model / "1" / "model.onnx"
    session = OnnxEngine().load(path, model=model, version=1, threads=1)
    native = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (spec,) = session.signature.inputs
    assert has_lone_row(session.signature)

    for row in np.random.default_rng(1).normal(size=(50, 1, spec.shape[1])).astype(np.float32):
        answers = zip(session.run({spec.name: row}), native.run(None, {spec.name: row}), strict=True)
        assert all(ours.tobytes() == theirs.tobytes() and ours.dtype == theirs.dtype for ours, theirs in answers)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ((X, X), (Y,)),
        ((TensorSpec("x", "FP64", (-1, 3)),), (Y,)),
        ((TensorSpec("x", "FP32", (-1, -1)),), (Y,)),
        ((TensorSpec("x", "FP32", (1, 3)),), (Y,)),
        ((TensorSpec("x", "FP32", (-1, MOST_ELEMENTS + 1)),), (Y,)),
        ((X,), (Y, TensorSpec("y", "BYTES", (-1,)))),
        ((X,), (TensorSpec("y", "BF16", (-1, 3)),)),
        ((X,), (TensorSpec("y", "FP32", ()),)),
    ],
)
def test_other_signatures_have_no_lone_row(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    assert has_lone_row(Signature((X,), (Y,)))
    assert not has_lone_row(Signature(inputs, outputs))
