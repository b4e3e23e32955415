"""Whether a tensor holds NaN or infinity: numpy's answer, at every size and datatype, however it is found."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.serving.finite import FEW, is_finite

SIZES = (1, 2, FEW, FEW + 1, 1_000)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
def test_the_largest_numbers_of_a_datatype_are_finite(size: int, kind: type[np.floating]) -> None:
    assert is_finite(np.full((1, size), np.finfo(kind).max, kind))
    assert is_finite(np.full(size, np.finfo(kind).smallest_subnormal, kind))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", SIZES)
def test_one_element_that_is_not_finite_is_found_wherever_it_is(
    size: int, value: float, kind: type[np.floating]
) -> None:
    for place in {0, size // 2, size - 1}:
        tensor = np.zeros((size, 1), kind)
        tensor[place] = value

        assert not is_finite(tensor)


def test_infinities_of_both_signs_do_not_make_up_for_each_other() -> None:
    assert not is_finite(np.array([np.inf, -np.inf]))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 2, 2)])
def test_a_tensor_of_any_shape_is_looked_at(shape: tuple[int, ...]) -> None:
    assert is_finite(np.zeros(shape, np.float32))


def test_every_element_of_a_view_is_looked_at_and_none_beside_it() -> None:
    whole = np.zeros((4, 4), np.float32)
    whole[1, 2] = np.nan

    assert is_finite(whole[:, ::3])
    assert not is_finite(whole.T[2])
