"""Which worker is replaced for what it holds: the heaviest that grew over the limit, and none that cannot be helped."""

from __future__ import annotations

import os

import pytest

from gateway.models.memory import anonymous_bytes
from gateway.processes.scales import REST_SECONDS, WEIGH_SECONDS, Scales

LIMIT = 100
SMALL = {1: 50, 2: 60}


def weighing(held: dict[int, int]) -> Scales:
    """Return scales that have met the workers while they were small; what they hold is read from *held*."""
    now = dict(held)
    held.update(SMALL)
    scales = Scales(LIMIT, held.__getitem__)
    assert scales.too_heavy(held.keys(), 0.0) is None
    held.update(now)
    return scales


def test_the_heaviest_of_those_that_grew_over_the_limit_is_named() -> None:
    scales = weighing(held := {1: 101, 2: 150})

    assert scales.too_heavy(held, WEIGH_SECONDS) == 2


def test_what_is_at_the_limit_stays() -> None:
    scales = weighing(held := {1: 100, 2: 99})

    assert scales.too_heavy(held, WEIGH_SECONDS) is None


def test_nobody_is_weighed_more_often_than_every_two_seconds() -> None:
    scales = weighing(held := {1: 101, 2: 50})

    assert scales.too_heavy(held, WEIGH_SECONDS / 2) is None
    assert scales.too_heavy(held, WEIGH_SECONDS) == 1


def test_a_worker_that_was_over_the_limit_from_its_start_is_left_alone_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = {1: 101}
    scales = Scales(LIMIT, held.__getitem__)

    named = [scales.too_heavy(held, turn * WEIGH_SECONDS) for turn in range(1, 4)]

    assert named == [None, None, None]
    (record,) = caplog.records
    assert "raise the limit, or load fewer versions" in record.getMessage()


def test_a_number_that_is_used_again_is_another_process() -> None:
    scales = weighing(held := {1: 101, 2: 50})
    scales.too_heavy([2], WEIGH_SECONDS)

    assert scales.too_heavy(held, 2 * WEIGH_SECONDS) is None


def test_without_a_limit_nobody_is_weighed() -> None:
    def weigh(pid: int) -> int:
        raise AssertionError(pid)

    assert Scales(0, weigh).too_heavy([1], 0.0) is None


def test_after_a_successor_that_failed_it_rests() -> None:
    scales = weighing(held := {1: 101, 2: 50})
    scales.rest(WEIGH_SECONDS)

    assert scales.too_heavy(held, REST_SECONDS) is None
    assert scales.too_heavy(held, WEIGH_SECONDS + REST_SECONDS) == 1


def test_another_process_is_weighed_as_this_one_is() -> None:
    assert anonymous_bytes(os.getpid()) == pytest.approx(anonymous_bytes(), rel=0.1)
