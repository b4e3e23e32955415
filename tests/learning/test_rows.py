"""What of a labelled answer becomes rows, and which serving versions can be learned further."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway.core.labelled import Labelled
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.learning.document import read
from gateway.learning.errors import CannotLearn
from gateway.learning.rows import Columns, NotLearned, columns_of, rows_of
from tests.learning.world import learner_yaml

CLASSES = read(learner_yaml())
_numbers = learner_yaml(task="regression", gate={"by": "1%", "error_scale": 2})
NUMBERS = read({name: each for name, each in _numbers.items() if name != "classes"})
MATRIX = Columns((), 2)
LABEL = TensorSpec("label", "INT64", (FREE,))


def tensor(*data: Any, shape: tuple[int, ...] = (1, 2), datatype: str = "FP32") -> dict[str, Any]:
    return {"datatype": datatype, "shape": list(shape), "data": list(data)}


def answer(
    said: tuple[Any, ...] = ("1",), predicted: tuple[Any, ...] = ("0",), kind: str = "label", **inputs: Any
) -> Labelled:
    return Labelled("1-0", "a", 1, kind, said, predicted, 0, inputs or {"input": tensor(0.5, 2.0)})


def test_an_answer_of_several_rows_is_several_rows() -> None:
    found = rows_of(answer(("1", "0"), ("1", "1"), input=tensor(1, 2, 3, 4, shape=(2, 2))), MATRIX, CLASSES)

    assert found.inputs.tolist() == [[1, 2], [3, 4]]
    assert (found.said.tolist(), found.served.tolist()) == (["1", "0"], ["1", "1"])


def test_columns_are_joined_in_the_order_of_the_serving_version() -> None:
    given = {"b": tensor(2, shape=(1, 1), datatype="INT64"), "a": tensor(1, shape=(1, 1))}

    assert rows_of(dataclasses.replace(answer(), inputs=given), Columns(("a", "b"), 2), CLASSES).inputs.tolist() == [
        [1, 2]
    ]


def test_numbers_are_learned_as_the_model_saw_them_in_32_bits() -> None:
    found = rows_of(answer(input=tensor(0.1, 16_777_217)), MATRIX, CLASSES)

    assert found.inputs.tolist() == [[0.10000000149011612, 16_777_216]]


def test_an_answer_that_predicted_nothing_teaches_and_is_compared_with_nothing() -> None:
    assert rows_of(answer(predicted=()), MATRIX, CLASSES).served.tolist() == [""]
    assert rows_of(answer(("2.5",), ()), MATRIX, NUMBERS).served.tolist() != [2.5]


def test_numbers_may_be_said_as_text() -> None:
    found = rows_of(answer(("2.5",), (2.0,), "value"), MATRIX, NUMBERS)

    assert (found.said.tolist(), found.served.tolist()) == ([2.5], [2.0])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (answer(kind="reward"), "reward"),
        (answer(input=tensor("x", "y", datatype="BYTES")), "inputs"),
        (answer(input=tensor("3f", "a0")), "inputs"),
        (answer(input=tensor(1, None)), "inputs"),
        (answer(input=tensor(1, 2, 3)), "inputs"),
        (answer(input=tensor(1, 2, 3, shape=(1, 3))), "inputs"),
        (answer(input=tensor(1, 2, shape=(2,))), "inputs"),
        (answer(input=tensor(1e39, 2)), "inputs"),
        (answer(other=tensor(1, 2)), "inputs"),
        (answer(("1", "0")), "rows"),
        (answer(("7",)), "label"),
    ],
)
def test_what_teaches_nothing_says_why(given: Labelled, reason: str) -> None:
    with pytest.raises(NotLearned) as refused:
        rows_of(given, MATRIX, CLASSES)

    assert refused.value.reason == reason


@pytest.mark.parametrize("said", ["nan", "inf", "cat"])
def test_what_is_no_finite_number_is_no_label_of_a_regression(said: str) -> None:
    with pytest.raises(NotLearned) as refused:
        rows_of(answer((said,), (1.0,)), MATRIX, NUMBERS)

    assert refused.value.reason == "label"


def test_a_version_reads_one_matrix_or_a_column_of_each_name() -> None:
    matrix = Signature((TensorSpec("input", "FP32", (FREE, 30)),), (LABEL,))
    named = Signature(tuple(TensorSpec(name, "FP32", (FREE, 1)) for name in "ab"), (LABEL,))

    assert columns_of(matrix) == Columns((), 30)
    assert columns_of(named) == Columns(("a", "b"), 2)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (TensorSpec("image", "FP32", (FREE, 3, 8, 8)), "'image' of the serving version is no column"),
        (TensorSpec("x", "FP32", (FREE, 4)), "'x' of the serving version is no column"),
        (TensorSpec("input", "FP32", (FREE, FREE)), "'input' of the serving version is no column"),
        (TensorSpec("words", "BYTES", (FREE, 1)), "'words' of the serving version is text"),
    ],
)
def test_a_version_that_no_learner_could_follow_is_refused_by_its_input(spec: TensorSpec, said: str) -> None:
    with pytest.raises(CannotLearn, match=said):
        columns_of(Signature((spec,), (LABEL,)))
