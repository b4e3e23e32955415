"""What the store hands out as a labelled answer: whole, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.feedback import Prediction, read_facts
from gateway.core.labelled import FIELDS, example_of, read_labelled

TENSOR = {"datatype": "FP32", "shape": [1, 2], "data": [0.5, 2.0]}
WHOLE = {
    "id": "a", "version": "3", "kind": "label", "said": '["1"]', "predicted": '["0"]', "at": "1700000000000",
    "inputs": json.dumps({"x": TENSOR}),
}  # fmt: skip


def test_an_example_is_read_from_exactly_its_fields() -> None:
    found = read_labelled("5-0", WHOLE)

    assert tuple(WHOLE) == FIELDS
    assert found is not None
    assert (found.entry, found.id, found.version, found.kind) == ("5-0", "a", 3, "label")
    assert found.at_ms == 1_700_000_000_000
    assert (found.said, found.predicted, found.inputs) == (("1",), ("0",), {"x": TENSOR})


def test_numbers_are_floats_whatever_they_were_written_as() -> None:
    found = read_labelled("5-0", {**WHOLE, "kind": "value", "said": "[1, 2.5]", "predicted": "[]"})

    assert found is not None
    assert (found.said, found.predicted) == ((1.0, 2.5), ())


@pytest.mark.parametrize("name", FIELDS)
def test_an_entry_that_lacks_a_field_is_no_example(name: str) -> None:
    assert read_labelled("5-0", {field: text for field, text in WHOLE.items() if field != name}) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("version", "x"), ("kind", "opinion"), ("said", "1"), ("said", '[1, "a"]'), ("said", "[null]"),
        ("predicted", "{}"), ("predicted", "["), ("at", ""), ("inputs", "[]"), ("inputs", '{"x": 1}'),
        ("inputs", '{"x": {"data": [1]}}'), ("inputs", "[" * 100_000),
    ],
)  # fmt: skip
def test_a_field_that_is_none_of_ours_makes_no_example(name: str, text: str) -> None:
    assert read_labelled("5-0", {**WHOLE, name: text}) is None


@pytest.mark.parametrize(
    ("prediction", "item", "kind", "said", "predicted"),
    [
        (Prediction(1, 1, "split", classes=("0",)), {"label": True}, "label", ("1",), ("0",)),
        (Prediction(1, 1, "split", classes=("0",)), {"value": 1}, "value", ("1",), ("0",)),
        (Prediction(1, 1, "split", values=(0.5, 2.0)), {"label": [1, 2]}, "label", (1.0, 2.0), (0.5, 2.0)),
        (Prediction(1, 1, "split", classes=("0",)), {"reward": 0.25}, "reward", (0.25,), ("0",)),
        (Prediction(1, 1, "split"), {"reward": 3}, "reward", (3.0,), ()),
    ],
)
def test_what_is_said_has_the_kind_of_what_was_predicted(
    prediction: Prediction, item: dict[str, Any], kind: str, said: tuple[object, ...], predicted: tuple[object, ...]
) -> None:
    fields = example_of(prediction, read_facts({"id": "a", **item})[0])

    found = read_labelled("5-0", {**WHOLE, **fields})

    assert found is not None
    assert (found.kind, found.said, found.predicted) == (kind, said, predicted)
