"""bfloat16 held as float32: nothing is lost on the way in, and the nearest is found on the way out."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.bfloat16 import narrowed, widened

EVERY = np.arange(1 << 16, dtype=np.uint16)
VALUES = widened(EVERY)
IS_NAN = np.isnan(VALUES)


def test_every_number_comes_back_bit_for_bit() -> None:
    assert narrowed(VALUES)[~IS_NAN].tolist() == EVERY[~IS_NAN].tolist()


def test_the_bits_are_the_upper_half_of_those_of_a_float() -> None:
    assert VALUES.view(np.uint32).tolist() == (EVERY.astype(np.uint32) * 65_536).tolist()


def test_what_is_not_a_number_stays_none_and_nothing_else_becomes_one() -> None:
    hidden = np.array([0x7F800001, 0xFF800001, 0xFFFFFFFF], np.uint32).view(np.float32)  # NaN in the lower half alone

    assert np.isnan(widened(narrowed(VALUES))).tolist() == IS_NAN.tolist()
    assert np.isnan(widened(narrowed(hidden))).all()


def test_a_value_between_two_becomes_the_nearer_and_a_tie_the_even_one() -> None:
    step = 2.0**-7
    given = np.array([1 + step * part for part in (0.49, 0.5, 0.51, 1.5, 1.51, -0.1)], np.float32)

    assert widened(narrowed(given)).tolist() == [1, 1, 1 + step, 1 + 2 * step, 1 + 2 * step, 1]


def test_what_is_larger_than_the_largest_becomes_infinite() -> None:
    largest = widened(np.array([0x7F7F], np.uint16))

    assert widened(narrowed(np.array([3.39e38, 3.4e38, -3.4e38], np.float32))).tolist() == [
        float(largest[0]), np.inf, -np.inf
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_shapes_are_kept_scalars_and_what_holds_nothing_among_them(shape: tuple[int, ...]) -> None:
    given = np.ones(shape, np.float32)

    assert narrowed(given).shape == widened(narrowed(given)).shape == shape
    assert narrowed(given.T).dtype == np.uint16
