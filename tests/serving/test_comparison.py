"""How alike an answer and the answer to its copy are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.signature import FLOATS
from gateway.serving.codec import DTYPES
from gateway.serving.comparison import FARTHEST, Comparison, compare

if TYPE_CHECKING:
    from gateway.ports.engine import Tensor

NAN, INF = float("nan"), float("inf")


def tensor(datatype: str, *values: Any) -> Tensor:
    return np.array(values, DTYPES[datatype])


def one(ours: Tensor, theirs: Tensor, tolerance: float = 0.0) -> Comparison | None:
    return compare({"y": ours}, {"y": theirs}, tolerance)


LABELS = sorted(set(DTYPES) - FLOATS)


@pytest.mark.parametrize("datatype", LABELS)
def test_labels_of_every_datatype_agree_where_all_are_equal(datatype: str) -> None:
    values = ("cat", "dog") if datatype == "BYTES" else (0, 1)
    ours, turned = tensor(datatype, *values), tensor(datatype, *reversed(values))

    assert one(ours, ours.copy()) == Comparison(True)
    assert one(ours, turned) == Comparison(False)
    assert one(ours, ours[:1]) == Comparison(False)


@pytest.mark.parametrize("datatype", sorted(FLOATS))
def test_numbers_of_every_datatype_agree_within_the_tolerance(datatype: str) -> None:
    ours, theirs = tensor(datatype, 1.0, 2.0), tensor(datatype, 1.0, 2.5)

    assert one(ours, ours.copy()) == Comparison(True, 0.0, 0.0)
    assert one(ours, theirs) == Comparison(False, 0.25, 0.5)
    assert one(ours, theirs, 0.5) == Comparison(True, 0.25, 0.5)


def test_the_largest_whole_numbers_are_told_apart() -> None:
    assert one(tensor("UINT64", 2**64 - 1), tensor("UINT64", 2**64 - 2)) == Comparison(False)


@pytest.mark.parametrize("datatype", sorted(FLOATS))
def test_scores_agree_where_each_row_has_its_largest_in_the_same_place(datatype: str) -> None:
    ours = tensor(datatype, [0.25, 0.75], [0.5, 0.25])

    assert one(ours, tensor(datatype, [0.0, 1.0], [0.5, 0.0])) == Comparison(True, 0.1875, 0.25)
    assert one(ours, tensor(datatype, [0.25, 0.75], [0.25, 0.5])) == Comparison(False, 0.125, 0.25)


def test_one_column_holds_numbers_and_no_scores() -> None:
    assert one(tensor("FP32", [1.0], [2.0]), tensor("FP32", [1.0], [3.0])) == Comparison(False, 0.5, 1.0)


def test_a_class_decides_and_scores_are_measured_beside_it() -> None:
    ours = {"scores": tensor("FP32", [0.25, 0.75]), "label": tensor("INT64", 1)}
    theirs = {"label": tensor("INT64", 1), "scores": tensor("FP32", [0.75, 0.25])}

    assert compare(ours, theirs, 0.0) == Comparison(True, 0.5, 0.5)


@pytest.mark.parametrize(
    ("ours", "theirs", "most"),
    [(NAN, NAN, 0.0), (INF, INF, 0.0), (NAN, 1.0, FARTHEST), (INF, -INF, FARTHEST), (1e308, -1e308, FARTHEST)],
)
def test_a_difference_is_always_finite(ours: float, theirs: float, most: float) -> None:
    assert one(tensor("FP64", ours), tensor("FP64", theirs)) == Comparison(most == 0, most, most)


def test_numbers_of_another_shape_differ_and_are_not_measured() -> None:
    assert one(tensor("FP32", 1.0), tensor("FP32", 1.0, 2.0)) == Comparison(False)


def test_empty_answers_agree_and_measure_nothing() -> None:
    assert one(tensor("FP32"), tensor("FP32")) == Comparison(True)


@pytest.mark.parametrize("theirs", [{}, {"z": tensor("FP32", 1.0)}, {"y": tensor("INT64", 1)}])
def test_what_only_one_gives_or_gives_as_something_else_is_not_compared(theirs: dict[str, Tensor]) -> None:
    assert compare({"y": tensor("FP32", 1.0)}, theirs, 0.0) is None
