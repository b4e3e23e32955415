"""The member ``optimize`` of a route: what may be said, and what no split beside it can break."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.document import parse
from gateway.core.errors import InvalidDocument
from gateway.core.optimize import Optimize, read_optimize

WHOLE = {"by": "reward", "versions": ["2", "10"], "floor": "2.5%", "step": "20%", "every": "5m", "min_labels": 50,
         "half_life": "24h"}  # fmt: skip


def route(split: dict[str, int], **optimize: Any) -> Any:
    return {"model": "fraud", "split": split, "optimize": {"by": "accuracy", **optimize}}


def refused(data: object) -> tuple[str, str]:
    with pytest.raises(InvalidDocument) as caught:
        parse(data)
    return caught.value.field, caught.value.reason


def test_weights_follow_no_labels_unless_the_route_says_so() -> None:
    assert parse({"model": "fraud", "split": {"1": 1}}).optimize is None


def test_it_is_read_as_it_is_written() -> None:
    assert read_optimize(WHOLE).as_dict() == WHOLE
    assert read_optimize(WHOLE) == Optimize("reward", (2, 10), 250, 2000, 300, 50, 86400)


def test_what_is_left_out_is_a_floor_of_5_a_step_of_10_and_a_look_each_minute() -> None:
    assert read_optimize({"by": "reward"}).as_dict() == {
        "by": "reward", "floor": "5%", "step": "10%", "every": "1m", "min_labels": 100,
    }  # fmt: skip


def test_the_versions_are_those_with_weight_where_none_are_named() -> None:
    document = parse(route({"1": 90, "2": 10, "3": 0}))

    assert document.optimize is not None
    assert document.optimize.arms(document.split) == (1, 2)
    assert parse(document.as_dict()) == document


@pytest.mark.parametrize(
    ("optimize", "field", "reason"),
    [
        ({"by": "clicks"}, "by", "accuracy, reward"),
        ({"by": ["reward"]}, "by", "accuracy, reward"),
        ({"versions": "1, 2"}, "versions", "no list"),
        ({"versions": []}, "versions", "two at least"),
        ({"versions": ["1", "1"]}, "versions", "each version once"),
        ({"versions": ["1", "x"]}, "versions[1]", "no version"),
        ({"versions": ["1"]}, "versions", "2 to 10 versions"),
        ({"versions": ["1", "3"]}, "versions", "lack version 2"),
        ({"versions": ["1", "2", "3"]}, "floor", "version 3 has 0"),
        ({"floor": "20%"}, "floor", "version 2 has 10"),
        ({"floor": 0}, "floor", "0.01 to 100"),
        ({"step": "0.5%"}, "step", "1% or more"),
        ({"every": "1s"}, "every", "5s or more"),
        ({"every": 60}, "every", "60s, 5m"),
        ({"min_labels": 9}, "min_labels", "10 or more"),
        ({"min_labels": True}, "min_labels", "10 or more"),
        ({"half_life": "90m"}, "half_life", "whole hours"),
        ({"speed": 1}, "speed", "allowed are by"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_place(optimize: dict[str, Any], field: str, reason: str) -> None:
    found = refused(route({"1": 90, "2": 10}, **optimize))

    assert found[0] == f"optimize.{field}"
    assert reason in found[1]


def test_by_has_to_be_said() -> None:
    assert refused({"model": "fraud", "split": {"1": 1, "2": 1}, "optimize": {}})[0] == "optimize.by"


def test_no_split_takes_a_version_below_the_floor() -> None:
    document = parse(route({"1": 90, "2": 10}))

    with pytest.raises(InvalidDocument, match="lower the floor"):
        document.with_split({1: 96, 2: 4})
