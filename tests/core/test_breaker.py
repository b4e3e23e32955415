"""The breaker of one canary in one worker: eight in a row, three probes, and a budget of re-runs."""

from __future__ import annotations

import pytest

from gateway.core.breaker import IN_A_ROW, LOCAL_SHARE_OF_ALPHA, PROBES_AFTER_SECONDS, Breaker, may_rerun


def after(failures: int, breaker: Breaker | None = None, *, now: float = 100.0) -> Breaker:
    breaker = breaker or Breaker()
    for _ in range(failures):
        breaker = breaker.after_failure(now)
    return breaker


def test_eight_confirmed_failures_in_a_row_open_it() -> None:
    assert not after(IN_A_ROW - 1).is_open
    assert after(IN_A_ROW).is_open


def test_a_good_answer_ends_the_row() -> None:
    assert not after(IN_A_ROW - 1, after(IN_A_ROW - 1).after_good()).is_open


def test_late_results_neither_close_an_open_breaker_nor_count_as_probes() -> None:
    breaker = after(IN_A_ROW).with_probe().after_good()

    assert breaker.is_open
    assert after(10, breaker, now=101).opened == 100
    assert after(10, breaker, now=101).bad_probes == 0


def test_probes_are_let_through_one_at_a_time_one_two_and_four_seconds_after_it_opened() -> None:
    breaker, opened = after(IN_A_ROW), 100.0

    for number, seconds in enumerate(PROBES_AFTER_SECONDS, start=1):
        assert not breaker.may_probe(opened + seconds - 0.01)
        assert breaker.may_probe(opened + seconds)
        breaker = breaker.with_probe()
        assert not breaker.may_probe(opened + seconds)
        breaker = breaker.after_probe(good=False)
        assert breaker.is_tripped == (number == 3)

    assert breaker.is_open
    assert not breaker.may_probe(opened + 1000)


def test_a_good_probe_closes_it_and_the_row_begins_anew() -> None:
    breaker = after(IN_A_ROW).with_probe().after_probe(good=False).with_probe().after_probe(good=True)

    assert breaker == Breaker()
    assert not breaker.may_probe(1e9)


def test_a_probe_that_says_nothing_is_asked_again() -> None:
    breaker = after(IN_A_ROW).with_probe().after_probe(good=None)

    assert breaker.may_probe(101)
    assert breaker.bad_probes == 0


def test_this_workers_own_evidence_opens_it_until_the_revision_changes() -> None:
    breaker = Breaker().after_verdict(7)

    assert breaker.at_revision(7).is_open
    assert not breaker.at_revision(7).may_probe(1e9)
    assert not breaker.at_revision(8).is_open
    assert Breaker().at_revision(7) == Breaker()
    assert not after(IN_A_ROW).after_verdict(7).may_probe(1e9)


def test_many_workers_may_each_look_because_each_takes_a_hundredth_of_alpha() -> None:
    assert LOCAL_SHARE_OF_ALPHA == 0.01


@pytest.mark.parametrize(
    ("running", "active", "may"),
    [
        (0, 1, True),
        (63, 1, True),
        (64, 1, False),
        (64, 320, False),
        (64, 325, True),
        (99, 500, True),
        (100, 500, False),
    ],
)
def test_reruns_are_those_of_one_run_or_a_fifth_of_what_is_active(running: int, active: int, *, may: bool) -> None:
    assert may_rerun(running, active) is may
