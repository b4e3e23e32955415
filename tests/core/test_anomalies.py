"""What is out of a version's own ordinary: told in words, seldom by chance, and for as long as it lasts."""

from __future__ import annotations

import random
from math import comb

import pytest

from gateway.core.anomalies import HISTORY, LEAST_HISTORY, NEWEST, SERIES, VersionWatch, Watch

LATENCY, ERRORS, TRAFFIC = SERIES


def watch_of(series: object = LATENCY, values: tuple[float, ...] = (0.009, 0.014, 0.011)) -> Watch:
    """Return a watch with a full history of these values."""
    assert series in SERIES
    found = Watch(series)
    for number in range(HISTORY + NEWEST):
        found.look(values[number % len(values)])
    return found


def test_a_slow_version_is_told_of_with_what_is_usual() -> None:
    watch = watch_of()
    for _ in range(NEWEST):
        watch.look(0.041)

    found = watch.anomaly("fraud/3")

    assert found is not None
    assert found.text == "p95 of fraud/3 is 41 ms, usually 9-14 ms"
    assert (found.series, found.value, found.usual) == ("latency_p95", 0.041, (0.009, 0.014))


def test_one_strange_window_is_none() -> None:
    watch = watch_of()
    for value in (0.041, 0.041, 0.010):
        watch.look(value)

    assert watch.anomaly("fraud/3") is None


def test_nothing_is_told_before_there_is_a_history() -> None:
    watch = Watch(LATENCY)
    for _ in range(LEAST_HISTORY + NEWEST - 4):
        watch.look(0.010)
    for _ in range(NEWEST):
        watch.look(0.5)

    assert watch.anomaly("fraud/3") is None


@pytest.mark.parametrize("value", [0.0145, 0.0005])
def test_what_is_strange_and_small_or_better_is_none(value: float) -> None:
    watch = watch_of()
    for _ in range(NEWEST):
        watch.look(value)

    assert watch.anomaly("fraud/3") is None


def test_a_difference_below_the_floor_is_none_however_large_its_ratio() -> None:
    watch = watch_of(ERRORS, (0.0,))
    for _ in range(NEWEST):
        watch.look(0.01)

    assert watch.anomaly("fraud/3") is None


@pytest.mark.parametrize(("value", "said"), [(500.0, "500 requests/s"), (1.0, "1 requests/s")])
def test_traffic_is_strange_in_both_directions(value: float, said: str) -> None:
    watch = watch_of(TRAFFIC, (90.0, 100.0, 110.0))
    for _ in range(NEWEST):
        watch.look(value)

    found = watch.anomaly("fraud/3")

    assert found is not None
    assert found.text == f"the traffic of fraud/3 is {said}, usually 90-110 requests/s"


def test_traffic_that_is_low_among_low_windows_is_none() -> None:
    watch = watch_of(TRAFFIC, (1.0, 100.0, 110.0))
    for _ in range(NEWEST):
        watch.look(2.0)

    assert watch.anomaly("fraud/3") is None


def test_what_is_strange_stays_told_until_it_ends_or_is_the_new_ordinary() -> None:
    ended, stayed = watch_of(), watch_of()
    for _ in range(HISTORY - 1):
        ended.look(0.041)
        stayed.look(0.041)
        lasting = ended.anomaly("fraud/3")
    assert lasting is not None
    ended.look(0.010)
    for _ in range(NEWEST + NEWEST):
        stayed.look(0.041)

    assert ended.anomaly("fraud/3") is None
    assert stayed.anomaly("fraud/3") is None


def test_of_exchangeable_windows_the_newest_are_the_largest_as_seldom_as_is_stated() -> None:
    """The order of windows alone, without the distance: what the stated rate is about."""
    draw, history, looks, runs = random.Random(4), LEAST_HISTORY, 0, 60_000
    for _ in range(runs):
        values = [draw.random() for _ in range(history + 2)]
        looks += min(values[-2:]) > max(values[:-2])

    assert looks / runs == pytest.approx(1 / comb(history + 2, 2), rel=0.4)


def test_an_ordinary_version_is_never_told_of() -> None:
    draw, told = random.Random(8), 0
    for _ in range(10):
        version = VersionWatch()
        for _ in range(300):
            requests = round(draw.gauss(1000, 60))
            failures = sum(draw.random() < 0.002 for _ in range(20))
            version.look(requests, failures, 0.010 * draw.lognormvariate(0, 0.15), 10.0)
            told += len(version.anomalies("fraud/3"))

    assert told == 0


def test_a_version_is_watched_in_all_its_series() -> None:
    version = VersionWatch()
    for _ in range(LEAST_HISTORY + NEWEST):
        version.look(1000, 1, 0.010, 10.0)
    for _ in range(NEWEST):
        version.look(5000, 2500, 0.050, 10.0)

    found = {each.series: each.text for each in version.anomalies("fraud/3")}

    assert set(found) == {"latency_p95", "error_share", "traffic"}
    assert found["error_share"] == "the share of errors of fraud/3 is 50 %, usually 0.1-0.1 %"


def test_windows_with_few_requests_say_nothing_of_latency_and_errors() -> None:
    version = VersionWatch()
    for _ in range(HISTORY):
        version.look(1000, 0, 0.010, 10.0)
    for _ in range(NEWEST):
        version.look(5, 5, 9.0, 10.0)
    for _ in range(NEWEST):
        version.look(0, 0, None, 10.0)

    assert {each.series for each in version.anomalies("fraud/3")} == {"traffic"}
