"""What a version said, out of its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.labelled import Labelled
from gateway.evaluation.predictions import Classes, Numbers, read_predictions

CHANCES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)


def rows(*target: Any) -> Labelled:
    known = np.array(target, object if isinstance(target[0], str) else None)
    return Labelled({}, known, "target", "rows.csv", len(target), "", ())


def read(answers: dict[str, Any], target: Labelled, *declared: str) -> Any:
    return read_predictions({name: np.array(each) for name, each in answers.items()}, declared, target, called="m/1")


def test_labels_and_probabilities_are_a_classifier_with_classes_in_the_declared_order() -> None:
    answers = {"label": np.array(["b", "a", "b"], object), "probabilities": CHANCES}

    found = read(answers, rows("a", "a", "b"), "b", "a")

    assert isinstance(found, Classes)
    assert (found.names, found.right.tolist(), found.said.tolist()) == (("b", "a"), [1, 1, 0], [0, 1, 0])
    assert found.chances is not None
    assert found.chances.dtype == np.float64


@pytest.mark.parametrize("target", [(0, 1, 1), (0.0, 1.0, 1.0), (False, True, True), ("0", "1", "1")])
def test_labels_are_the_same_whatever_type_a_file_gave_them(target: tuple[Any, ...]) -> None:
    found = read({"label": np.array([0, 1, 0]), "probabilities": CHANCES}, rows(*target))

    assert (found.names, found.right.tolist(), found.said.tolist()) == (("0", "1"), [0, 1, 1], [0, 1, 0])


def test_probabilities_alone_say_the_largest() -> None:
    found = read({"p": CHANCES}, rows("yes", "no", "no"), "yes", "no")

    assert (found.said.tolist(), found.right.tolist()) == ([0, 1, 0], [0, 1, 1])


def test_undeclared_classes_are_in_the_order_of_scikit_learn() -> None:
    found = read({"label": np.array([10, 9, 2])}, rows(10, 9, 2))

    assert found.names == ("2", "9", "10")


def test_probabilities_that_do_not_fit_the_classes_are_left_out_with_the_reason() -> None:
    found = read({"label": np.array([0, 1, 2]), "p": CHANCES}, rows(0, 1, 2))

    assert found.chances is None
    assert "2 probabilities for 3 classes; name `classes`" in found.why_no_chances


def test_one_float_per_row_is_a_number() -> None:
    found = read({"prediction": np.array([[1.5], [2.5], [3.5]], np.float32)}, rows(1, 2, 3))

    assert isinstance(found, Numbers)
    assert (found.right.tolist(), found.said.tolist()) == ([1, 2, 3], [1.5, 2.5, 3.5])


@pytest.mark.parametrize(
    ("answers", "target", "declared", "said"),
    [
        ({"label": np.array([0, 1, 0])}, rows(0, 1, 7), ("0", "1"), "have labels in 'target' that m/1"),
        ({"label": np.array(["a", "b", "a"], object)}, rows(0, 1, 0), ("a", "b"), "know: '0', '1'; it knows 'a'"),
        ({"p": CHANCES}, rows(0, 1, 2), (), "does not know: '2'"),
        ({"p": CHANCES}, rows(0, 1, 0), ("0", "1", "2"), "2 probabilities and its metadata names 3 classes"),
        ({"prediction": np.array([1.0, 2.0, 3.0])}, rows("a", "b", "c"), (), "holds text, such as 'a'"),
        ({"prediction": np.array([1.0, np.nan, np.inf])}, rows(1, 2, 3), (), "to 2 rows, the first is row 1"),
        ({"image": np.zeros((3, 4, 4))}, rows(1, 2, 3), (), "number per row: its outputs are image"),
        ({"label": np.array(5)}, rows(1, 2, 3), (), "neither a class nor a number"),
    ],
)  # fmt: skip
def test_answers_and_labels_that_do_not_fit_are_refused(
    answers: dict[str, Any], target: Labelled, declared: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CannotEvaluate) as caught:
        read(answers, target, *declared)

    assert said in str(caught.value)


def test_a_target_of_thousands_of_classes_is_taken_for_none() -> None:
    many = rows(*range(2000))

    with pytest.raises(CannotEvaluate, match="is this the target"):
        read({"label": np.arange(2000)}, many)
