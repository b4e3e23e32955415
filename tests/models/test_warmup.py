"""What a version shows before it gets traffic, with real models on the real runtime."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import InvalidModel, ModelFailed
from gateway.core.signature import Signature, TensorSpec
from gateway.engine.onnx import OnnxEngine
from gateway.models.metadata import Serving, WarmUpInput
from gateway.models.warmup import WarmUp, warm_up
from tests.engine import graphs
from tests.engine.graphs import FLOAT, INT64, node, value, weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.ports.engine import Tensor


@pytest.fixture
def shown(tmp_path: Path) -> Callable[..., WarmUp]:
    """Return a function that says what the warm-up of a model shows."""

    def show(content: bytes, **serving: Any) -> WarmUp:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        session = OnnxEngine().load(path, model="fraud", version=1, threads=1)
        return warm_up(session, Serving(**serving))

    return show


@pytest.mark.parametrize("datatype", graphs.KINDS)
def test_rows_of_every_datatype_may_share_a_run(datatype: str, shown: Callable[..., WarmUp]) -> None:
    found = shown(graphs.identity(graphs.KINDS[datatype]))

    assert found.batchable
    assert found.why_not == ""
    assert 0 < found.run_seconds < 0.1


def test_a_model_that_mixes_its_rows_is_not_batched(shown: Callable[..., WarmUp]) -> None:
    found = shown(graphs.mean_over_the_batch())

    assert not found.batchable
    assert "depends on the other rows" in found.why_not


def test_a_sum_that_runs_over_the_batch_is_not_batched(shown: Callable[..., WarmUp]) -> None:
    axis = weights("axis", [0], [], INT64)

    found = shown(graphs.graph(node("CumSum", ["x", "axis"], ["y"]), tensors=[axis]))

    assert not found.batchable


def test_rows_that_come_back_in_another_order_are_not_batched(shown: Callable[..., WarmUp]) -> None:
    tensors = [
        weights(name, [number], [1], INT64) for name, number in (("a", -1), ("b", -(2**62)), ("c", 0), ("d", -1))
    ]

    found = shown(graphs.graph(node("Slice", ["x", "a", "b", "c", "d"], ["y"]), tensors=tensors))

    assert not found.batchable


def test_an_output_without_a_row_per_input_is_not_batched(shown: Callable[..., WarmUp]) -> None:
    found = shown(graphs.graph(node("ReduceMax", ["x"], ["y"], keepdims=0), outputs=[value("y", FLOAT, [])]))

    assert not found.batchable
    assert "not one row per input row" in found.why_not


def test_a_batch_axis_that_is_fixed_is_named(shown: Callable[..., WarmUp]) -> None:
    found = shown(graphs.identity(shape=(4, 3)))

    assert not found.batchable
    assert found.fixed_batch == 4
    assert found.why_not == "the batch axis of input 'x' is fixed at 4"


def test_a_scalar_input_is_not_batched(shown: Callable[..., WarmUp]) -> None:
    assert shown(graphs.identity(shape=())).why_not == "input 'x' is a scalar"


def test_a_model_without_inputs_is_not_batched(shown: Callable[..., WarmUp]) -> None:
    constant = node("Constant", [], ["y"], value=weights("c", [1.0], [1]))
    built = graphs.proto([constant], [], [value("y", FLOAT, [1])])

    assert shown(built.SerializeToString()).why_not == "it has no inputs"


def test_a_second_free_axis_is_one_long(shown: Callable[..., WarmUp]) -> None:
    assert shown(graphs.identity(shape=("n", "tokens", 8))).batchable


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_indices_are_tried_until_the_table_has_them(rows: int, shown: Callable[..., WarmUp]) -> None:
    assert shown(graphs.gather(rows)).run_seconds > 0


def test_a_table_of_one_row_is_served_row_by_row(shown: Callable[..., WarmUp]) -> None:
    assert shown(graphs.gather(1)).why_not == "it fails on a run of two rows"


def test_a_divisor_of_zero_keeps_no_model_from_being_ready(shown: Callable[..., WarmUp]) -> None:
    assert shown(graphs.ten_divided()).run_seconds > 0


def test_nan_is_refused_unless_it_is_meant(shown: Callable[..., WarmUp]) -> None:
    with pytest.raises(InvalidModel) as caught:
        shown(graphs.logarithm())

    assert caught.value.code == "warm_up"
    assert "serving.nonfinite" in caught.value.reason
    assert shown(graphs.logarithm(), nonfinite="null").batchable


def picky() -> bytes:
    """Return a model that takes numbers written as text."""
    return graphs.graph(node("Cast", ["x"], ["y"], to=FLOAT), inputs=[value("x", graphs.STRING)])


def test_a_model_that_takes_no_made_up_input_says_how_to_give_one(shown: Callable[..., WarmUp]) -> None:
    with pytest.raises(InvalidModel) as caught:
        shown(picky())

    assert caught.value.code == "warm_up"
    assert "serving.warm_up" in caught.value.reason


def test_the_metadata_may_name_what_the_model_takes(shown: Callable[..., WarmUp]) -> None:
    assert shown(picky(), warm_up={"x": WarmUpInput(values=("1.5", "2.5"))}).batchable


def test_two_equal_rows_prove_nothing(shown: Callable[..., WarmUp]) -> None:
    found = shown(graphs.mean_over_the_batch(), warm_up={"x": WarmUpInput(values=(1.0, 1.0))})

    assert not found.batchable


def test_the_metadata_may_name_the_shape_of_free_axes(shown: Callable[..., WarmUp]) -> None:
    reshape = graphs.graph(
        node("Reshape", ["x", "shape"], ["y"]),
        inputs=[value("x", FLOAT, ["n", "m"])],
        outputs=[value("y", FLOAT, ["n", 2, 2])],
        tensors=[weights("shape", [-1, 2, 2], [3], INT64)],
    )

    assert shown(reshape, warm_up={"x": WarmUpInput(shape=(1, 4))}).batchable
    with pytest.raises(InvalidModel):
        shown(reshape)


@pytest.mark.parametrize(
    "wish",
    [
        {"q": WarmUpInput()},
        {"x": WarmUpInput(shape=(1, 4))},
        {"x": WarmUpInput(shape=(3,))},
        {"x": WarmUpInput(values=("a", "b"))},
    ],
)
def test_a_wish_that_does_not_fit_the_model_is_bad_metadata(
    wish: Mapping[str, WarmUpInput], shown: Callable[..., WarmUp]
) -> None:
    with pytest.raises(InvalidModel) as caught:
        shown(graphs.identity(), warm_up=wish)

    assert caught.value.code == "bad_metadata"


def test_a_value_that_the_datatype_cannot_hold_is_bad_metadata(shown: Callable[..., WarmUp]) -> None:
    with pytest.raises(InvalidModel) as caught:
        shown(graphs.identity(graphs.KINDS["UINT8"]), warm_up={"x": WarmUpInput(values=(300, 1))})

    assert caught.value.code == "bad_metadata"


def test_an_input_of_a_terabyte_is_not_made(shown: Callable[..., WarmUp]) -> None:
    with pytest.raises(InvalidModel) as caught:
        shown(graphs.identity(shape=("n", 2**20, 2**18)))

    assert caught.value.code == "warm_up"


def test_halves_are_compared_by_their_own_precision(shown: Callable[..., WarmUp]) -> None:
    half = graphs.KINDS["FP16"]
    tensor = weights("w", [0.1] * 12, [3, 4], half)
    content = graphs.graph(
        node("MatMul", ["x", "w"], ["y"]),
        inputs=[value("x", half)],
        outputs=[value("y", half, ["n", 4])],
        tensors=[tensor],
    )

    assert shown(content).batchable


class Rounding:
    """A session whose answers to a batch are off by a share of themselves."""

    warning = ""

    def __init__(self, error: float, datatype: str = "FP32") -> None:
        self.error = error
        self.signature = Signature((TensorSpec("x", datatype, (-1, 3)),), (TensorSpec("y", datatype, (-1, 3)),))

    def stop(self) -> None: ...

    def pool_seconds(self) -> float:
        return 0.0

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        rows = feeds["x"]
        return [rows * np.float32(1 + self.error * (len(rows) - 1))]


def test_rounding_is_no_dependence_and_more_is() -> None:
    assert warm_up(Rounding(3e-6), Serving()).batchable
    assert not warm_up(Rounding(1e-4), Serving()).batchable
    assert warm_up(Rounding(2.0**-7, "BF16"), Serving()).batchable
    assert not warm_up(Rounding(2.0**-5, "BF16"), Serving()).batchable


class Counting(Rounding):
    """A session that counts its runs and fails from one of them on."""

    def __init__(self, fails_from: int = 10**9) -> None:
        super().__init__(0.0)
        self.runs: list[int] = []
        self.fails_from = fails_from

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        self.runs.append(len(feeds["x"]))
        if len(self.runs) > self.fails_from:
            raise ModelFailed("fraud", 1, "planned")
        return super().run(feeds)


def test_one_row_is_run_twice_and_two_rows_once_before_five_runs_are_timed() -> None:
    session = Counting()

    warm_up(session, Serving())

    assert session.runs == [1, 1, 1, 2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("fails_from", range(9))
def test_a_model_that_fails_at_any_run_is_refused_or_not_batched(fails_from: int) -> None:
    session = Counting(fails_from)

    try:
        found = warm_up(session, Serving())
    except InvalidModel as exc:
        code = exc.code
    else:
        code = found.why_not

    assert code in {"warm_up", "it fails on a run of two rows"}


def first_row() -> bytes:
    """y = the first row of x, so that no rows are an error."""
    return graphs.graph(
        node("Gather", ["x", "zero"], ["y"], axis=0),
        outputs=[value("y", shape=[1, 3])],
        tensors=[weights("zero", [0], [1], INT64)],
    )


def counted_rows() -> bytes:
    """y = the number of rows, in one number."""
    return graphs.graph(
        node("Shape", ["x"], ["y"], start=0, end=1), inputs=[value("x")], outputs=[value("y", INT64, ["k"])]
    )


def test_a_version_that_answers_no_rows_with_none_may_get_them(shown: Callable[..., WarmUp]) -> None:
    assert shown(graphs.plus(1), allow_empty=True).batchable


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (first_row(), "fails on a run of no rows"),
        (counted_rows(), "output 'y' of a run of no rows has shape"),
        (graphs.identity(FLOAT, [2, 3]), "the first axis of input 'x' is not free"),
    ],
)
def test_a_version_that_cannot_answer_no_rows_and_says_it_can_is_refused(
    content: bytes, why: str, shown: Callable[..., WarmUp]
) -> None:
    assert shown(content) is not None
    with pytest.raises(InvalidModel, match=re.escape(why)) as caught:
        shown(content, allow_empty=True)

    assert caught.value.code == "warm_up"
    assert "serving.allow_empty" in caught.value.reason
