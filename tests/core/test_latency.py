"""How long runs may take: what the baseline's run times freeze, and what a run is held against."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidDocument
from gateway.core.evidence import Counter, Evidence, read_counter
from gateway.core.latency import (
    EDGES,
    FROZEN_FROM,
    ROWS,
    SLOW,
    TIME_KINDS,
    bounds_of,
    bucket,
    check_limits,
    frozen,
    read_limits,
    rows_class,
    told,
    written_limits,
)
from gateway.core.plan import read_plan
from gateway.core.rollout import Rollout, start
from gateway.core.stored_rollout import as_dict, read_rollout

LIMITS = st.dictionaries(
    st.integers(0, len(ROWS) - 1),
    st.lists(st.integers(0, len(EDGES) - 1), min_size=3, max_size=3).map(lambda edges: tuple(sorted(edges))),
)


def histogram(**runs: int) -> list[int]:
    """Return the counts of one class; ``b3=10`` are ten runs in bucket 3."""
    return [runs.get(f"b{number}", 0) for number in range(len(EDGES))]


def times(**of_class: list[int]) -> list[list[int]]:
    return [of_class.get(f"c{rows}", histogram()) for rows in range(len(ROWS))]


def rollout(**guards: Any) -> Rollout:
    plan = read_plan({"steps": [{"weight": 5, "for": "1m"}]} | ({"guards": guards} if guards else {}))
    return start("r", candidates=(2,), baseline=1, plan=plan, before={1: 1}, baseline_rate=0.0, now=0.0)


def test_runs_are_compared_with_runs_of_about_as_many_rows() -> None:
    classes = [rows_class(rows) for rows in (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 4096)]

    assert [ROWS[each] for each in classes] == [
        "1", "1", "2–3", "2–3", "4–7", "4–7", "8–15", "8–15", "16–31", "16–31", "32+", "32+", "32+",
    ]  # fmt: skip


def test_a_bucket_ends_with_its_edge_and_the_last_has_no_end() -> None:
    assert EDGES[:3] == pytest.approx((0.0001, 0.000125, 0.00015625))
    assert [bucket(each) for each in (0.0, EDGES[0], EDGES[0] * 1.001, EDGES[9])] == [0, 0, 1, 9]
    assert bucket(EDGES[-1] * 100) == len(EDGES) - 1


@given(st.floats(0.0, 120.0))
def test_a_run_is_never_slower_than_the_edge_of_its_bucket(seconds: float) -> None:
    number = bucket(seconds)

    assert seconds <= EDGES[number]
    assert not number or seconds > EDGES[number - 1]


def test_limits_are_the_edges_at_or_above_the_baselines_quantiles() -> None:
    counts = histogram(b3=500, b4=400, b7=90, b20=10)

    assert frozen({}, times(c0=counts)) == {0: (3, 4, 7)}
    assert frozen({}, times(c0=histogram(b3=499, b4=402, b7=88, b20=11))) == {0: (4, 4, 20)}


def test_a_class_is_frozen_by_a_thousand_runs_and_never_again() -> None:
    few, enough = histogram(b3=FROZEN_FROM - 1), histogram(b3=FROZEN_FROM)
    before = {0: (1, 2, 3)}

    assert frozen(before, times(c0=enough, c1=few)) is before
    assert frozen(before, times(c0=enough, c1=few, c5=enough)) == {0: (1, 2, 3), 5: (3, 3, 3)}


def test_a_run_is_slow_above_each_quantile_and_the_canary_only_above_what_is_tolerated() -> None:
    baseline, canary = bounds_of({1: (0, 5, 9)})[1], bounds_of({1: (0, 5, 9)}, 0.25)[1]

    assert baseline is not None
    assert canary is not None
    assert [baseline.kinds(each) for each in (EDGES[0], EDGES[1], EDGES[6], EDGES[10])] == [
        (), SLOW[:1], SLOW[:2], SLOW,
    ]  # fmt: skip
    assert canary.slow == pytest.approx([edge * 1.25 for edge in baseline.slow])
    assert canary.kinds(EDGES[9] * 1.2) == SLOW[:2]


def test_the_longest_that_a_run_may_take_is_the_same_for_both_arms() -> None:
    limits = {0: (1, 2, 8)}

    for bounds in (bounds_of(limits), bounds_of(limits, 0.25)):
        assert bounds[0] is not None
        assert bounds[0].most == 3 * EDGES[8]
        assert bounds[1:] == (None,) * 5


@pytest.mark.parametrize(
    ("guards", "excess"), [({}, 1.25), ({"latency": {"tolerate": "50%"}}, 1.5), ({"errors": {}}, 1.0)]
)
def test_a_rollout_tolerates_of_its_canary_what_its_plan_says(guards: dict[str, Any], excess: float) -> None:
    seen = Evidence({Counter(3, 1, TIME_KINDS[0][4]): FROZEN_FROM}, {3: {1: 9500, 2: 500}})

    after = rollout(**guards).after_evidence(seen)

    canary, baseline = after.bounds(2)[0], after.bounds(1)[0]
    assert canary is not None
    assert baseline is not None
    assert dict(after.limits) == {0: (4, 4, 4)}
    assert baseline.slow == (EDGES[4],) * 3
    assert canary.slow == pytest.approx((EDGES[4] * excess,) * 3)


def test_without_enough_runs_of_the_baseline_nothing_changes() -> None:
    before = rollout()
    seen = Evidence(
        {Counter(3, 1, TIME_KINDS[0][4]): FROZEN_FROM - 1, Counter(3, 2, TIME_KINDS[0][4]): FROZEN_FROM},
        {3: {1: 9500, 2: 500}},
    )

    assert before.after_evidence(seen) is before
    assert before.bounds(2) == (None,) * 6


def test_run_times_of_all_revisions_are_one_histogram() -> None:
    shares = {1: 9500, 2: 500}
    seen = Evidence(
        {Counter(3, 1, "took_2_7"): 5, Counter(4, 1, "took_2_7"): 6, Counter(4, 1, "took_5_63"): 1},
        {3: shares, 4: shares},
    )

    found = seen.run_times(1)

    assert (found[2][7], found[5][63], sum(map(sum, found))) == (11, 1, 12)


@pytest.mark.parametrize("name", ["3|1|took_6_0", "3|1|took_0_64", "3|1|took_0", "3|1|took_00_1", "3|1|took_0_1|2"])
def test_a_run_time_of_no_bucket_is_refused(name: str) -> None:
    with pytest.raises(InvalidDocument):
        read_counter(name)


@given(LIMITS)
def test_limits_are_read_as_they_are_written(limits: dict[int, tuple[int, int, int]]) -> None:
    assert dict(read_limits(written_limits(check_limits(limits)))) == limits


def test_a_stored_rollout_keeps_its_limits() -> None:
    seen = Evidence({Counter(3, 1, TIME_KINDS[1][4]): FROZEN_FROM}, {3: {1: 9500, 2: 500}})
    before = rollout().after_evidence(seen)

    assert read_rollout(as_dict(before)) == before


@pytest.mark.parametrize(
    ("data", "culprit"),
    [
        ([], ""),
        ({"6": [1, 2, 3]}, "6"),
        ({"00": [1, 2, 3]}, "00"),
        ({0: [1, 2, 3]}, "0"),
        ({"0": 7}, "0"),
        ({"0": [1, 2]}, "0"),
        ({"0": [1, 2, 3.0]}, "0"),
        ({"0": [1, 2, True]}, "0"),
        ({"0": [3, 2, 4]}, "0"),
        ({"0": [-1, 2, 4]}, "0"),
        ({"0": [1, 2, 64]}, "0"),
    ],
)
def test_limits_that_are_none_are_refused_with_their_class(data: Any, culprit: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        read_limits(data)

    assert refused.value.field == culprit


@pytest.mark.parametrize("rows", [6, -1, "0"])
def test_a_rollout_cannot_be_built_with_limits_of_no_class(rows: Any) -> None:
    with pytest.raises(InvalidDocument, match="no class of rows"):
        check_limits({rows: (1, 2, 3)})


def test_history_says_the_limits_in_milliseconds() -> None:
    assert told({0: (0, 3, 10), 5: (10, 10, 10)}) == (
        "0.1/0.195/0.931 ms for runs of 1 rows, 0.931/0.931/0.931 ms for runs of 32+ rows"
    )
