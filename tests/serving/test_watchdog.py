"""The thread that ends runs on the loop: asleep while nothing runs, awake for the next run."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

import pytest

from gateway.serving.watchdog import BUSY_SECONDS, LOOK_SECONDS, LOOKS_BEFORE_SLEEP, Watchdog
from tests.serving.fakes import FakeSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog()
    yield made
    made.close()


def comes_true(what: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while not what() and time.monotonic() < until:
        time.sleep(0.005)
    return what()


def test_it_sleeps_where_nothing_runs(watchdog: Watchdog) -> None:
    assert comes_true(lambda: watchdog.is_asleep)

    time.sleep(3 * LOOK_SECONDS)

    assert watchdog.is_asleep


def test_a_run_wakes_it_and_is_stopped_when_it_is_over_its_limit(watchdog: Watchdog) -> None:
    session = FakeSession()
    for _ in range(2):
        session.stops.clear()
        assert comes_true(lambda: watchdog.is_asleep)

        watchdog.begin(session, time.perf_counter() + 0.05)
        stopped = session.stops.wait(20)
        watchdog.end()

        assert stopped


def test_a_stop_that_is_under_way_is_over_before_the_next_run(watchdog: Watchdog) -> None:
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    class Slow(FakeSession):
        def stop(self) -> None:
            begun.set()
            go_on.wait(20)
            over.set()

    watchdog.begin(Slow(), time.perf_counter())
    assert begun.wait(20)
    watchdog.end()
    threading.Timer(0.05, go_on.set).start()
    watchdog.settle()

    assert over.is_set()


def spin(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Keep this thread's processor busy for so long of its time, or less."""
    end = time.thread_time() + seconds
    while time.thread_time() < end and not until():
        pass


def test_a_run_that_keeps_the_processor_busy_is_stopped_long_before_its_limit(watchdog: Watchdog) -> None:
    session = FakeSession()

    watchdog.begin(session, time.perf_counter() + 60)
    spin(20, session.stops.is_set)
    watchdog.end()

    assert session.stops.is_set()
    assert watchdog.settle()
    assert not watchdog.settle()


def test_a_run_that_waits_for_a_processor_has_its_time(watchdog: Watchdog) -> None:
    session = FakeSession()

    watchdog.begin(session, time.perf_counter() + 60)
    time.sleep(10 * BUSY_SECONDS)
    watchdog.end()

    assert not session.stops.is_set()
    assert not watchdog.settle()


def test_many_short_runs_are_not_taken_for_a_long_one(watchdog: Watchdog) -> None:
    session = FakeSession()

    for number in range(100):
        watchdog.begin(session, time.perf_counter() + 60 + number)
        spin(BUSY_SECONDS / 10)
        watchdog.end()

    assert not session.stops.is_set()


def test_it_stays_awake_through_a_long_run(watchdog: Watchdog) -> None:
    watchdog.begin(FakeSession(), math.inf)

    time.sleep((LOOKS_BEFORE_SLEEP + 5) * LOOK_SECONDS)

    assert not watchdog.is_asleep
    watchdog.end()


def test_runs_while_it_falls_asleep_leave_it_awake_or_wake_it(watchdog: Watchdog) -> None:
    session = FakeSession()
    for step in range(20):
        time.sleep((LOOKS_BEFORE_SLEEP + step / 10) * LOOK_SECONDS / 4)
        session.stops.clear()
        watchdog.begin(session, time.perf_counter())
        stopped = session.stops.wait(20)
        watchdog.end()

        assert stopped


def test_it_ends_from_its_sleep() -> None:
    made = Watchdog()
    assert comes_true(lambda: made.is_asleep)

    made.close()

    assert not made.is_alive
