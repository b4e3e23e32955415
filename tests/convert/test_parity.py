"""Two models' answers are compared output by output, row by row, and nothing is passed over."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.convert.parity import compare

ONES = np.array([[1.0], [1.0]])


@pytest.mark.parametrize(
    ("original", "converted", "beyond"),
    [
        ([0.5, 0.5], [0.5, 0.50005], 0),
        ([0.5, 0.5], [0.5, 0.5002], 1),
        ([1000.0, 1000.0], [1000.05, 1000.2], 1),
        ([np.nan, np.inf], [np.nan, np.inf], 0),
        ([np.nan, 1.0], [0.0, np.nan], 2),
        ([np.inf, 1.0], [-np.inf, np.inf], 2),
    ],
)
def test_numbers_may_differ_by_the_tolerance(original: list[float], converted: list[float], beyond: int) -> None:
    found = compare({"y": np.array(original)}, {"y": np.array(converted, np.float32).astype(float)}, tolerance=1e-4)

    assert found.outputs[0].beyond == beyond
    assert found.holds == (beyond == 0)


@pytest.mark.parametrize(
    ("original", "converted", "holds"),
    [
        ([True, False], [1, 0], True),
        ([1.0, 2.0], [1, 2], True),
        (["a", "b"], np.array(["a", "b"], object), True),
        (["a", "b"], np.array(["a", "c"], object), False),
        ([1, 2], [1, 3], False),
    ],
)
def test_labels_may_not_differ(original: list[object], converted: list[object], holds: bool) -> None:
    assert compare({"label": np.array(original)}, {"label": np.asarray(converted)}).holds is holds


def test_rows_that_may_lie_beyond_are_allowed_and_still_told() -> None:
    found = compare({"y": ONES}, {"y": np.array([[1.0], [1.5]])}, allowed=1)

    assert (found.holds, found.outputs[0].beyond, found.outputs[0].where) == (True, 1, (1,))
    assert found.outputs[0].largest_absolute == 0.5


def test_an_output_that_is_missing_or_has_another_shape_differs_however_many_rows_may() -> None:
    for converted, said in (({}, "no such output"), ({"y": ONES.T}, "its shape [2, 1] became [1, 2]")):
        found = compare({"y": ONES}, converted, allowed=99)

        assert not found.holds
        assert said in found.reason


@pytest.mark.parametrize(("converted", "holds"), [(["a", "b"], True), (["a", "c"], False)])
def test_texts_may_not_differ(converted: list[str], holds: bool) -> None:
    original = {"text": np.array(["a", "b"])}

    assert compare(original, {"text": np.array(converted, dtype=object)}).holds is holds
