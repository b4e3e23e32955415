"""What labels add up to: figures of each version, out of the store's counters."""

from __future__ import annotations

import pytest

from gateway.core.quality import COUNTS, Quality, read_quality

FIELDS = {
    "1|remembered": "10",
    "1|covered": "4",
    "1|labelled": "4",
    "1|classed": "4",
    "1|correct": "3",
    "1|sum_delay": "2",
    '1|cell|["cat", "cat"]': "2",
    '1|cell|["dog", "dog"]': "1",
    '1|cell|["cat", "dog"]': "1",
    "12|rewarded": "2",
    "12|sum_reward": "1.5",
}


def test_the_figures_of_a_version_are_those_of_its_confusion() -> None:
    quality = read_quality([FIELDS])[1]

    assert (quality.accuracy, quality.coverage) == (0.75, 0.4)
    assert quality.classes() == {
        "cat": {"precision": pytest.approx(2 / 3), "recall": 1.0, "f1": pytest.approx(0.8), "labels": 2},
        "dog": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "labels": 2},
    }
    assert quality.macro() == pytest.approx({"precision": (2 / 3 + 1) / 2, "recall": 0.75, "f1": (0.8 + 2 / 3) / 2})
    assert {name: quality.as_dict()[name] for name in quality.macro()} == quality.macro()


def test_a_class_that_was_never_labelled_or_never_predicted_has_zeros_and_no_division() -> None:
    quality = read_quality([{'1|cell|["a", "b"]': "3"}])[1]

    assert {each["f1"] for each in quality.classes().values()} == {0.0}
    assert quality.macro() == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_what_no_label_told_is_null_and_not_zero() -> None:
    view = read_quality([FIELDS])[12].as_dict()

    names = ("accuracy", "precision", "recall", "f1", "coverage", "log_loss", "calibration_error")
    assert {name: view[name] for name in names} == dict.fromkeys(names)
    assert (view["mean_reward"], view["rewards"], view["labels"]) == (0.75, 2, 0)


def test_the_hashes_of_a_window_are_summed_and_versions_ascend() -> None:
    found = read_quality([FIELDS, FIELDS])

    assert list(found) == [1, 12]
    assert found[1].count("labelled") == 8
    assert found[1].cells["cat", "cat"] == 4
    assert found[1].accuracy == 0.75


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("x|labelled", "1"), ("01|labelled", "1"), ("1|labelled", "many"), ("1|labelled", "nan"), ("1|other", "1"),
        ("1|cell|", "1"), ('1|cell|["a"]', "1"), ("1|cell|7", "1"), ("", "1"), ("1|in|split|other", "1"),
        ("1|in|correct", "1"), ("1|in||correct", "1"), ("1|bin|10|rows", "1"), ("1|bin|1|other", "1"),
    ],
)  # fmt: skip
def test_a_field_that_is_no_quality_is_left_out(field: str, value: str) -> None:
    assert read_quality([{field: value}]) == {}


def test_calibration_is_the_distance_of_how_sure_from_how_often_right() -> None:
    quality = read_quality([
        {"1|bin|9|rows": "3", "1|bin|9|right": "3", "1|bin|9|sum_confidence": "2.85", "1|bin|5|rows": "1",
         "1|bin|5|sum_confidence": "0.55", "1|bin|2|right": "1"},
    ])[1]  # fmt: skip

    assert quality.calibration() == [
        {"rows": 1, "confidence": 0.55, "accuracy": 0.0},
        {"rows": 3, "confidence": pytest.approx(0.95), "accuracy": 1.0},
    ]
    assert quality.calibration_error == pytest.approx((1 * 0.55 + 3 * 0.05) / 4)
    assert quality.as_dict()["calibration"] == quality.calibration()
    assert Quality({}, {}).calibration_error is None


def test_each_rule_has_figures_of_its_own() -> None:
    segments = {
        "1|in|split|classed": "4",
        "1|in|split|correct": "1",
        "1|in|rule-1|classed": "2",
        "1|in|a|b|correct": "1",
    }

    view = read_quality([FIELDS, segments])[1].as_dict()

    assert {rule: figures["accuracy"] for rule, figures in view["segments"].items()} == {
        "a|b": None, "rule-1": 0.0, "split": 0.25,
    }  # fmt: skip
    assert view["accuracy"] == 0.75


def test_every_count_is_zero_before_it_is_counted() -> None:
    assert {Quality({}, {}).count(kind) for kind in COUNTS} == {0}
