"""How many requests may wait: falls when they come late, grows when they come in time, and is never 0."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.queue_limit import CUT, QueueLimit, open_limit

TARGET = 0.25
RUN = 0.0625

limits = st.builds(
    lambda target, most, part: QueueLimit(target, most, 1 + part * (most - 1)),
    st.floats(1e-4, 600), st.integers(1, 10_000), st.floats(0, 1),
)  # fmt: skip
seconds = st.floats(0, 1e4)


def after(
    limit: QueueLimit, *, took: float, run: float = RUN, answered: int = 1, waiting: int = 1_000, now: float = 100.0
) -> QueueLimit:
    """Return *limit* after a run that ended at *now*, of requests of which the oldest *took* so long."""
    return limit.after_run(arrived=now - took, began=now - run, ended=now, answered=answered, waiting=waiting)


def test_a_version_that_has_run_nothing_may_have_all_waiting_that_is_allowed() -> None:
    assert open_limit(TARGET, 1024).requests == 1024


def test_requests_that_come_late_leave_no_more_waiting_than_the_target_holds_at_the_speed_of_their_run() -> None:
    late = after(open_limit(TARGET, 1024), took=1.0)

    assert late.room == 3  # and one that runs: four runs are the target


def test_of_a_run_of_many_requests_as_many_more_may_wait() -> None:
    assert after(open_limit(TARGET, 1024), took=1.0, answered=32).room == 96


def test_the_cut_is_a_tenth_where_more_would_fit() -> None:
    late = after(open_limit(TARGET, 100), took=0.26, answered=64)

    assert late.room == CUT * 100


def test_requests_that_were_let_in_before_a_change_do_not_bring_another() -> None:
    late = after(open_limit(TARGET, 1024), took=1.0, now=100.0)

    assert after(late, took=0.9, now=100.5) is late
    assert after(late, took=0.9, now=101.0).room == CUT * late.room


def test_a_run_that_is_late_by_itself_changes_nothing() -> None:
    limit = open_limit(TARGET, 1024)

    assert after(limit, took=0.30, run=0.29) is limit
    assert after(limit, took=0.44, run=0.29).requests == 1


def test_room_that_was_needed_grows_by_one_request_and_by_a_tenth_where_that_is_more() -> None:
    small, large = QueueLimit(TARGET, 1024, 3.5), QueueLimit(TARGET, 1024, 50.0)

    assert after(small, took=0.2, answered=8).room == 4.5
    assert after(large, took=0.2, answered=64).room == 55.0


def test_room_that_was_not_needed_does_not_grow() -> None:
    limit = QueueLimit(TARGET, 1024, 50.0)

    assert after(limit, took=0.2, answered=24, waiting=24) is limit
    assert after(limit, took=0.2, answered=24, waiting=25).room == 55.0
    assert after(limit, took=0.2, answered=25, waiting=0).room == 55.0


def test_room_grows_no_further_than_the_target_holds() -> None:
    limit = QueueLimit(TARGET, 1024, 2.5)

    assert after(limit, took=0.2).room == 3
    assert after(replace(limit, room=3.0), took=0.2) == replace(limit, room=3.0)


def test_room_grows_no_further_than_the_operator_allows() -> None:
    limit = QueueLimit(TARGET, 10, 9.5)

    assert after(limit, took=0.2, answered=64).room == 10
    assert after(replace(limit, room=10.0), took=0.2, answered=64) == replace(limit, room=10.0)


def test_a_clock_that_shows_no_time_is_no_fault() -> None:
    limit = QueueLimit(TARGET, 1024, 3.5)

    assert after(limit, took=0.0, run=0.0).room == 4.5


@pytest.mark.parametrize(
    ("target", "most", "room"),
    [(0.0, 8, 8.0), (-1.0, 8, 8.0), (math.inf, 8, 8.0), (math.nan, 8, 8.0), (1.0, 8, 0.5), (1.0, 8, 9.0), (1.0, 0, 1)],
)
def test_a_limit_that_cannot_be_is_not_made(target: float, most: int, room: float) -> None:
    with pytest.raises(ValueError, match="a target over 0 s, and room from 1 to its most"):
        QueueLimit(target, most, room)


@given(limits, st.lists(st.tuples(seconds, seconds, st.integers(1, 4096), st.integers(0, 10_000))))
def test_whatever_runs_show_it_stays_between_one_request_and_what_is_allowed(
    limit: QueueLimit, runs: list[tuple[float, float, int, int]]
) -> None:
    now = 0.0
    for wait, run, answered, waiting in runs:
        now += run
        limit = after(limit, took=wait + run, run=run, answered=answered, waiting=waiting, now=now)

        assert 1 <= limit.requests <= limit.most


@given(limits, seconds, seconds, st.integers(1, 4096), st.integers(0, 10_000))
def test_a_run_in_time_never_lowers_it_and_a_late_one_never_raises_it(
    limit: QueueLimit, wait: float, run: float, answered: int, waiting: int
) -> None:
    next_one = after(limit, took=wait + run, run=run, answered=answered, waiting=waiting, now=2e4)

    if 2e4 - (2e4 - wait - run) <= limit.target_seconds:
        assert next_one.room >= limit.room
    else:
        assert next_one.room <= limit.room


@given(limits, st.integers(1, 64))
def test_it_falls_to_one_request_within_two_hundred_late_rounds_and_comes_back_all_the_way(
    limit: QueueLimit, answered: int
) -> None:
    first, now = limit, 0.0
    for _ in range(200):  # 10,000 requests are 1 after 88 cuts of a tenth
        now += 4 * limit.target_seconds
        limit = after(limit, took=3 * limit.target_seconds, run=limit.target_seconds, answered=answered, now=now)
    fallen = limit.requests
    for _ in range(200):
        now += limit.target_seconds
        limit = after(
            limit, took=limit.target_seconds / 2, run=limit.target_seconds / 1e6, answered=answered, waiting=10**6,
            now=now,
        )  # fmt: skip

    assert fallen == 1
    assert limit.requests == first.most
