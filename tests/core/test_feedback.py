"""What callers may say of answers, and what it counts for."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidDocument
from gateway.core.feedback import ITEMS_MOST, Fact, Prediction, fields_of, is_wrong, read_facts, read_prediction, score

CLASSED = Prediction(2, 7, "split", classes=("1",), chances=((0.25, 0.75),), rollout="r-1", point=9)
VALUED = Prediction(2, 7, "split", values=(1.5, -1.0))


def said(**members: Any) -> Fact:
    (fact,) = read_facts({"id": "a", **members})
    return fact


@pytest.mark.parametrize("prediction", [CLASSED, VALUED, Prediction(1, 1, "pinned")])
def test_a_prediction_is_read_as_it_was_written(prediction: Prediction) -> None:
    assert read_prediction(prediction.encoded()) == prediction


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b"{}", b'{"version":1}', b'{"classes":5}', b'{"x":1}', b"\xff"])
def test_what_is_no_prediction_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidDocument, match="delete its key"):
        read_prediction(text)


@given(st.one_of(st.booleans(), st.integers(-(2**63), 2**63), st.floats(-1e9, 1e9), st.just("benign")))
def test_a_label_is_compared_by_what_it_says_and_not_by_how_it_is_written(label: Any) -> None:
    assert said(label=label) == said(label=[label])
    if not isinstance(label, str) and label == int(label):
        assert said(label=label).given == (str(int(label)),)


def test_one_body_may_bring_many_items() -> None:
    facts = read_facts({"feedback": [{"id": "a", "label": "x"}, {"id": "b", "value": 2}, {"id": "c", "reward": 0.5}]})

    assert [(fact.id, fact.kind, fact.given) for fact in facts] == [
        ("a", "label", ("x",)), ("b", "label", ("2",)), ("c", "reward", ("0.5",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        ({}, "id"),
        ({"id": "a"}, ""),
        ({"id": "", "label": 1}, "id"),
        ({"id": 5, "label": 1}, "id"),
        ({"id": "a", "label": 1, "reward": 1}, ""),
        ({"id": "a", "labels": 1}, "labels"),
        ({"id": "a", "label": None}, "label"),
        ({"id": "a", "label": {}}, "label"),
        ({"id": "a", "label": []}, "label"),
        ({"id": "a", "label": [1] * 101}, "label"),
        ({"id": "a", "label": math.inf}, "label"),
        ({"id": "a", "label": 1 << 64}, "label"),
        ({"id": "a", "value": "high"}, "value"),
        ({"id": "a", "value": 1e100}, "value"),
        ({"id": "a", "reward": [1]}, "reward"),
        ({"feedback": []}, "feedback"),
        ({"feedback": {}}, "feedback"),
        ({"feedback": [{"id": "a", "label": 1}] * (ITEMS_MOST + 1)}, "feedback"),
        ({"feedback": [{"id": "a", "label": 1}, {"id": "b"}]}, "feedback[1]"),
        ({"feedback": [{"id": "a", "label": 1}], "id": "b"}, "id"),
    ],
)
def test_what_says_nothing_or_two_things_is_refused_with_its_place(body: object, field: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_facts(body)

    assert caught.value.field == field


def test_a_right_class_counts_as_correct_with_its_probability() -> None:
    counts = score(CLASSED, said(label=1))

    loss, brier = counts.pop("sum_log_loss"), counts.pop("sum_brier")
    assert counts == {
        "labelled": 1, "covered": 1, "classed": 1, "correct": 1, 'cell|["1", "1"]': 1, "scored": 1,
        "bin|7|rows": 1, "bin|7|right": 1, "bin|7|sum_confidence": 0.75,
    }  # fmt: skip
    assert loss == pytest.approx(-math.log(0.75))
    assert brier == pytest.approx(0.25**2 + 0.25**2)


@pytest.mark.parametrize("label", ["2", "benign", "-1", "1" * 30])
def test_a_class_without_a_probability_counts_and_is_not_scored(label: str) -> None:
    counts = score(CLASSED, said(label=label))

    assert counts == {"labelled": 1, "covered": 1, "classed": 1, "correct": 0, f'cell|["1", "{label}"]': 1}


def test_a_class_that_was_called_impossible_costs_a_finite_loss() -> None:
    sure = Prediction(1, 1, "split", classes=("0",), chances=((1.0, 0.0),))

    assert score(sure, said(label=1))["sum_log_loss"] == pytest.approx(-math.log(1e-15))
    assert score(sure, said(label=0))["sum_log_loss"] == 0


def test_each_row_counts() -> None:
    two = Prediction(1, 1, "split", classes=("a", "a", "b"))

    counts = score(two, said(label=["a", "a", "c"]))

    assert (counts["labelled"], counts["correct"], counts["covered"]) == (3, 2, 1)
    assert (counts['cell|["a", "a"]'], counts['cell|["b", "c"]']) == (2, 1)


def test_a_number_counts_by_its_error() -> None:
    assert score(VALUED, said(value=[1, 1])) == {
        "labelled": 2, "covered": 1, "valued": 2, "sum_absolute": 2.5, "sum_squared": 4.25,
    }  # fmt: skip


def test_a_reward_counts_whatever_was_served() -> None:
    counts = score(Prediction(1, 1, "split"), said(reward=-0.5))

    assert counts == {"rewarded": 1, "sum_reward": -0.5, "bounded": 0}


@pytest.mark.parametrize(("reward", "bounded"), [(0, 1), (1, 1), (1.01, 0), (-0.01, 0)])
def test_a_reward_from_0_to_1_is_counted_as_bounded(reward: float, bounded: int) -> None:
    assert score(CLASSED, said(reward=reward))["bounded"] == bounded


def test_each_row_counts_in_the_part_of_its_confidence_and_over_one_is_the_last_part() -> None:
    sure = Prediction(1, 1, "split", classes=("1", "0", "1"), chances=((0.3, 0.7), (0.75, 0.25), (0.0, 1.01)))

    counts = score(sure, said(label=[1, 1, 1]))

    assert {kind: many for kind, many in counts.items() if kind.startswith("bin|")} == {
        "bin|7|rows": 2, "bin|7|right": 1, "bin|7|sum_confidence": pytest.approx(1.45),
        "bin|9|rows": 1, "bin|9|right": 1, "bin|9|sum_confidence": 1.0,
    }  # fmt: skip


def test_what_is_counted_of_a_version_is_counted_of_its_rule_too_but_for_cells_bins_and_zeros() -> None:
    fields = fields_of(Prediction(2, 7, "rule-1", classes=("a",)), said(label="b"), 4.0)

    assert fields == {
        "2|labelled": 1, "2|covered": 1, "2|classed": 1, "2|sum_delay": 4.0, '2|cell|["a", "b"]': 1,
        "2|in|rule-1|labelled": 1, "2|in|rule-1|covered": 1, "2|in|rule-1|classed": 1,
        "2|in|rule-1|sum_delay": 4.0,
    }  # fmt: skip


def test_a_reward_has_no_delay() -> None:
    assert "2|sum_delay" not in fields_of(CLASSED, said(reward=1), 4.0)


@pytest.mark.parametrize(
    ("prediction", "fact"),
    [(VALUED, said(label=1)), (VALUED, said(label=["a", "b"])), (Prediction(1, 1, "split"), said(label=1))],
)
def test_a_label_that_does_not_fit_what_was_served_is_refused(prediction: Prediction, fact: Fact) -> None:
    with pytest.raises(InvalidDocument) as caught:
        score(prediction, fact)

    assert caught.value.field == "label"


@pytest.mark.parametrize(
    ("prediction", "fact", "wrong"),
    [
        (CLASSED, said(label=1), False),
        (CLASSED, said(label=0), True),
        (CLASSED, said(reward=0), None),
        (VALUED, said(value=[1, 1]), None),
    ],
)
def test_only_a_class_can_be_wrong(prediction: Prediction, fact: Fact, wrong: bool | None) -> None:
    assert is_wrong(prediction, fact) is wrong


def test_two_facts_that_say_the_same_have_one_text() -> None:
    assert said(label=1).text == said(label=True).text == said(value=1.0).text != said(label="one").text
