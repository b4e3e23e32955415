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
    assert quality.f1 == pytest.approx((0.8 + 2 / 3) / 2)


def test_a_class_that_was_never_labelled_or_never_predicted_has_zeros_and_no_division() -> None:
    quality = read_quality([{'1|cell|["a", "b"]': "3"}])[1]

    assert {each["f1"] for each in quality.classes().values()} == {0.0}
    assert quality.f1 == 0.0


def test_what_no_label_told_is_null_and_not_zero() -> None:
    view = read_quality([FIELDS])[12].as_dict()

    assert (view["accuracy"], view["f1"], view["coverage"], view["log_loss"]) == (None, None, None, None)
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
        ("1|cell|", "1"), ('1|cell|["a"]', "1"), ("1|cell|7", "1"), ("", "1"),
    ],
)  # fmt: skip
def test_a_field_that_is_no_quality_is_left_out(field: str, value: str) -> None:
    assert read_quality([{field: value}]) == {}


def test_every_count_is_zero_before_it_is_counted() -> None:
    assert {Quality({}, {}).count(kind) for kind in COUNTS} == {0}
