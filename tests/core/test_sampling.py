"""Which of many requests something is said of."""

from __future__ import annotations

import math

import pytest

from gateway.core.sampling import DRAWS, Pace, Sampling, read_sampling, read_share


@pytest.mark.parametrize(
    ("text", "share", "per_second"),
    [("off", 0.0, math.inf), ("1%", 0.01, math.inf), ("0.5%", 0.005, math.inf), ("100%", 1.0, math.inf),
     ("100/s", 1.0, 100.0)],
)  # fmt: skip
def test_a_sampling_is_read(text: str, share: float, per_second: float) -> None:
    assert read_sampling(text) == Sampling(share, per_second)


@pytest.mark.parametrize("text", ["", "on", "1", "101%", "-1%", "1 %", "0/s", "5/m", "1e3/s", "٣%"])
def test_a_sampling_that_cannot_be_read_says_what_it_must_be(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be off, a percentage such as 1%, or so many a second such as 100/s"):
        read_sampling(text)


def test_a_share_is_no_pace() -> None:
    with pytest.raises(ValueError, match="must be a percentage"):
        read_share("5/s")


def test_a_share_draws_what_lies_below_it() -> None:
    half = Sampling(0.5)

    assert half.draws(DRAWS // 2 - 1)
    assert not half.draws(DRAWS // 2)
    assert not Sampling().draws(0)
    assert Sampling(1.0).draws(DRAWS - 1)


def test_a_pace_lets_one_second_s_worth_pass_and_refills_evenly() -> None:
    pace = Pace(2.0)

    passed = [pace.takes(now) for now in (10.0, 10.0, 10.0, 10.4, 10.5, 10.6, 11.0)]

    assert passed == [True, True, False, False, True, False, True]


def test_a_pace_that_was_idle_holds_one_second_s_worth_and_no_more() -> None:
    pace = Pace(2.0)
    pace.takes(0.0)

    assert [pace.takes(1000.0) for _ in range(3)] == [True, True, False]


def test_a_pace_without_a_bound_lets_all_pass() -> None:
    assert all(Pace(math.inf).takes(0.0) for _ in range(1000))
