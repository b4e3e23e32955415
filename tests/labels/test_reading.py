"""What is read out of the outputs of a version: a class, a number, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.signature import Signature, TensorSpec
from gateway.labels.reading import Said, said_by

if TYPE_CHECKING:
    from collections.abc import Sequence

F32 = np.float32


def read(*outputs: tuple[str, str, Any]) -> Said | None:
    specs = tuple(TensorSpec(name, datatype, (-1,)) for name, datatype, _ in outputs)
    return said_by(Signature((), specs), [tensor for _, _, tensor in outputs])


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([("c", "INT64", np.array([3, 4]))], Said(classes=("3", "4"))),
        ([("c", "BOOL", np.array([[True], [False]]))], Said(classes=("1", "0"))),
        ([("c", "BYTES", np.array(["cat"], object))], Said(classes=("cat",))),
        ([("c", "BYTES", np.array([b"cat"], object))], Said(classes=("cat",))),
        ([("n", "INT64", np.array([9])), ("label", "BYTES", np.array(["a"], object))], Said(classes=("a",))),
        (
            [("p", "FP32", np.array([[0.25, 0.75]], F32))],
            Said(classes=("1",), chances=((0.25, 0.75),)),
        ),
        (
            [("label", "BYTES", np.array(["a"], object)), ("p", "FP32", np.array([[1, 0]], F32))],
            Said(classes=("a",), chances=((1.0, 0.0),)),
        ),
        ([("y", "FP64", np.array([[1.5], [2.0]]))], Said(values=(1.5, 2.0))),
        ([("y", "FP32", np.array([[1.5, 2.0]], F32))], Said()),
        ([("y", "FP32", np.array([[1.5, -0.5]], F32))], Said()),
        ([("y", "FP32", np.array(1.5, F32))], Said()),
        ([("y", "FP32", np.zeros((0, 1), F32))], Said()),
        ([("y", "INT64", np.zeros((101,), np.int64))], None),
    ],
)
def test_a_prediction_is_a_class_before_it_is_a_number(
    outputs: Sequence[tuple[str, str, Any]], said: Said | None
) -> None:
    assert read(*outputs) == said


def test_many_classes_are_remembered_without_their_probabilities() -> None:
    assert read(("p", "FP32", np.full((1, 128), 1 / 128, F32))) == Said(classes=("0",))
