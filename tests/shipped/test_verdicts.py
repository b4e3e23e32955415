"""A figure keeps a promise, reaches its aim, misses it, or says why there is none; a report shows all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("sklearn", reason="the rows of the benchmark come with the `convert` extra")

from load_tests import ourselves
from load_tests.measure import Measurement
from load_tests.report import markdown, text
from load_tests.results import GATEWAY, REFERENCE, Point, Resources, Results
from load_tests.turns import Series, Subject, in_turns
from load_tests.verdicts import (
    CPU,
    GRPC,
    IMAGE,
    LOADING,
    MEMORY,
    P50,
    PROMISES,
    RATE,
    Finding,
    Promise,
    Verdict,
    measured,
    shown,
    verdict,
)

ROUND = Measurement(GATEWAY, 64, 1000, 0, 1000.0, 1.0, 2.0, 50.0)


def series(mine: list[float], theirs: list[float], names: tuple[str, str] = (GATEWAY, REFERENCE)) -> Series:
    rates = zip(names, (mine, theirs), strict=True)
    return Series("rows", {name: [replace(ROUND, server=name, requests_per_second=rate, cpu_us=1e6 / rate)
                                  for rate in found] for name, found in rates})  # fmt: skip


def results(*, errors: int = 0) -> Results:
    found = Results("wrk", (0, 1))
    found.series.append(series([100, 100], [200, 200]))
    found.series.append(Series("more", {GATEWAY: [replace(ROUND, errors=errors)]}))
    found.findings = {RATE.key: Finding(0.5, "100 and 200 req/s"), GRPC.key: Finding(None, "no peer")}
    found.resources[GATEWAY] = Resources(100 << 20, 1.25, 0.01)
    found.curve.append(Point(GATEWAY, 1000, 2000, 0, 0.25, 1.5, 3.0))
    return found


@pytest.mark.parametrize(
    ("promise", "value", "expected"),
    [
        (RATE, 1.5, Verdict.AIM), (RATE, 1.49, Verdict.KEPT), (RATE, 0.65, Verdict.KEPT), (RATE, 0.64, Verdict.MISSED),
        (CPU, 0.6, Verdict.AIM), (CPU, 0.61, Verdict.KEPT), (CPU, 1.6, Verdict.KEPT), (CPU, 1.61, Verdict.MISSED),
    ],
)  # fmt: skip
def test_a_figure_is_judged_on_both_sides_of_floor_and_aim(promise: Promise, value: float, expected: Verdict) -> None:
    assert verdict(promise, Finding(value)) is expected


def test_nothing_measured_is_neither_kept_nor_missed() -> None:
    assert verdict(RATE, Finding(None, "no peer")) is Verdict.NOT_MEASURED


def test_an_aim_in_a_unit_of_its_own_is_held_to_its_own_figure() -> None:
    verdicts = [verdict(LOADING, Finding(ratio, towards=added)) for ratio, added in ((4, 5), (2, 6), (2.1, 5.1))]

    assert verdicts == [Verdict.AIM, Verdict.KEPT, Verdict.MISSED]


def test_every_aim_is_at_or_beyond_its_floor_and_every_key_is_its_own() -> None:
    assert all(promise.holds(promise.aim, promise.floor) for promise in PROMISES if promise.aim_unit is None)
    assert len({promise.key for promise in PROMISES}) == len(PROMISES) == 13


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.2857, "1/", "1/3.5"),
        (0.0, "1/", "1/1e+09"),
        (2, "×", "×2"),
        (143.84, "MiB", "144 MiB"),
        (0.8725, "", "0.873"),
    ],
)
def test_a_figure_is_shown_as_its_promise_is(value: float, unit: str, expected: str) -> None:
    assert shown(value, unit) == expected


def test_floors_and_aims_are_shown_with_their_direction() -> None:
    shown_limits = [(each.shown_floor(), each.shown_aim()) for each in (RATE, P50, IMAGE, LOADING, MEMORY)]

    assert shown_limits == [
        ("≥ 0.65", "1.5"), ("≤ 1/3.5", "1/4.5"), ("≤ 1/4", "1/5"), ("≤ ×2", "5 ms more"), ("≤ 150 MiB", "110 MiB"),
    ]  # fmt: skip
    assert measured(LOADING, Finding(3.0, towards=4.0)) == "×3, 4 ms more"


def test_a_ratio_is_noted_with_the_medians_it_is_of_and_only_where_both_were_measured() -> None:
    found = Results("wrk", (0, 1))
    both = series([100, 50, 10], [200, 100, 20])

    found.judge(RATE, both, GATEWAY, REFERENCE, "requests_per_second")
    found.judge(GRPC, both, GATEWAY, "MLServer", "requests_per_second")

    assert found.findings == {RATE.key: Finding(0.5, "50 and 100 req/s")}


def test_what_was_measured_is_not_overwritten_by_a_later_failure() -> None:
    found = results()

    found.fail((RATE, CPU), RuntimeError("it ended:\nits log"))

    assert (found.findings[RATE.key].value, found.findings[CPU.key].note) == (0.5, "it ended")
    assert found.faults == ["it ended:\nits log"]


def test_requests_that_failed_are_counted_over_all_series_and_the_gateway_s_curve() -> None:
    found = results(errors=2)
    found.curve += [Point(GATEWAY, 2000, 10, 3, 1, 1, 1), Point("MLServer", 2000, 10, 4, 1, 1, 1)]

    assert found.errors() == 5


def test_a_report_says_of_each_promise_what_it_is_what_was_found_and_why_not() -> None:
    written = markdown(results())

    assert "| req/s : raw uvicorn, 64 connections | ≥ 0.65 | 1.5 | 0.5 | MISSED; 100 and 200 req/s |" in written
    assert "| gRPC, req/s : MLServer | ≥ 3 | 6 | - | not measured: no peer |" in written
    assert "| gateway : raw uvicorn | 0.5 | 2 | 1 | 1 |  |" in written
    assert "| gateway | 100.0 | 1.25 | 1.0% |" in written
    assert "| gateway | 1000 | 2000 | 0 | 0.25 | 1.50 | 3.00 |" in written


def test_the_same_cells_are_in_the_text_and_in_the_markdown() -> None:
    lines = [line.strip(" |") for line in markdown(results()).splitlines() if line.startswith("|") and "--" not in line]

    shown_text = " ".join(text(results()).split())
    assert lines
    assert all(" ".join(line.replace("|", " ").split()) in shown_text for line in lines)


def test_json_holds_every_round_and_every_verdict() -> None:
    written = results().as_dict()

    assert written["promises"][RATE.key]["verdict"] == "MISSED"
    assert [each["requests_per_second"] for each in written["series"]["rows"][REFERENCE]] == [200, 200]


def test_every_other_round_is_in_the_opposite_order(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Load:
        def on(self, server: Server, connections: int, seconds: int) -> Measurement:
            loaded.append(server.name)
            return replace(ROUND, connections=connections)

    class Server:
        def __init__(self, name: str) -> None:
            self.name = name

    subjects = [Subject(Server(name), Load(), 8) for name in ("a", "b")]  # type: ignore[arg-type]  # what is asked of both here

    found = in_turns("title", subjects, 1, 3)

    assert loaded == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(rounds) for name, rounds in found.rounds.items()} == {"a": 3, "b": 3}


def test_two_workers_are_compared_by_their_own_processor_time_where_the_load_has_no_core() -> None:
    names = (ourselves.ONE_WORKER, ourselves.TWO_WORKERS)
    found = series([100], [90], names)

    crowded, roomy = (ourselves.scaling(found, has_room=has_room) for has_room in (False, True))

    assert crowded.value == pytest.approx(2 * 0.9)
    assert "req/s 0.9 with the load on the same cores" in crowded.note
    assert roomy.value == pytest.approx(0.9)
