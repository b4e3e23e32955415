"""The totals of a rollout: a pure function of the store's hash, and what is told apart in them."""

from __future__ import annotations

from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidDocument
from gateway.core.evidence import (
    CLASSES,
    KINDS,
    RUN_KINDS,
    Arms,
    Counter,
    Evidence,
    Runs,
    Stratum,
    batch_class,
    read_counter,
    read_evidence,
)
from gateway.core.outputs import BINS

ARMS = Arms(canary=2, baseline=1)
SLOTS = {3: {1: 9500, 2: 500}, 4: {1: 5000, 2: 5000}}

COUNTERS = st.builds(
    Counter, st.sampled_from([3, 4]), st.integers(1, 12), st.sampled_from(KINDS), st.just(0)
) | st.builds(
    Counter, st.sampled_from([3, 4]), st.integers(1, 12), st.sampled_from(RUN_KINDS), st.integers(0, CLASSES - 1)
)
COUNTS = st.dictionaries(COUNTERS, st.integers(0, 10**9), max_size=8)


def evidence(*counts: tuple[int, int, str, int]) -> Evidence:
    return Evidence({Counter(revision, version, kind): n for revision, version, kind, n in counts}, SLOTS)


@given(COUNTS)
def test_evidence_is_read_from_the_fields_that_it_is_written_as(counts: dict[Counter, int]) -> None:
    one = Evidence(counts, SLOTS)

    fields = one.as_fields()

    assert read_evidence(fields) == one
    assert read_evidence(dict(reversed(fields.items()))).as_fields() == fields


@given(COUNTS, COUNTS, COUNTS)
def test_deltas_may_come_in_any_order(first: dict[Counter, int], a: dict[Counter, int], b: dict[Counter, int]) -> None:
    start = Evidence(first, SLOTS)

    assert start.plus(a).plus(b) == start.plus(b).plus(a)


def test_a_field_says_revision_version_kind_and_class() -> None:
    assert str(Counter(3, 2, "error")) == "3|2|error"
    assert str(Counter(3, 2, "error", 5)) == "3|2|error|5"
    assert read_counter("3|2|error|5") == Counter(3, 2, "error", 5)
    assert read_evidence({"3|slots": "1:9500,2:500", "seq|worker-7": "12"}) == Evidence({}, {3: SLOTS[3]})


@pytest.mark.parametrize(
    "name",
    [
        "", "3", "3|2", "3|2|error|5|1", "3|2|crash", "0|2|error", "3|0|error", "03|2|error", "-3|2|error",
        "3|+2|error", "3|2|error|0", "3|2|error|14", "3|2|error|", "3|2|n|1", "3|2|error|x", "3| 2|error", "x|slots|y",
        f"3|2|out_{BINS}",
    ],
)  # fmt: skip
def test_a_field_that_is_written_otherwise_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read_evidence({"3|slots": "1:10000", name: "1"})

    assert caught.value.field == name


@pytest.mark.parametrize("value", ["", "-1", "1.0", "01", "x", "1" * 19, 1])
def test_a_count_is_a_whole_number(value: str) -> None:
    with pytest.raises(InvalidDocument, match=r"3\|2\|n: .* no whole number"):
        read_evidence({"3|slots": "1:10000", "3|2|n": value})


@pytest.mark.parametrize("value", ["", "1", "1:9999", "1:5000,1:5000", "01:10000", "1:10000,", "1:-1,2:10001"])
def test_slots_name_each_version_once_and_are_whole(value: str) -> None:
    with pytest.raises(InvalidDocument, match=r"3\|slots"):
        read_evidence({"3|slots": value})


def test_a_revision_without_slots_is_not_of_this_rollout() -> None:
    with pytest.raises(InvalidDocument, match="revision 9 has no slots"):
        evidence((9, 2, "n", 1))


def test_counters_only_grow() -> None:
    with pytest.raises(InvalidDocument, match="no count"):
        evidence((3, 2, "n", -1))
    with pytest.raises(InvalidDocument, match="counters only grow"):
        evidence((3, 2, "n", 5)).plus({Counter(3, 2, "n"): -1})


def test_a_version_is_not_compared_with_itself() -> None:
    with pytest.raises(InvalidDocument, match="with itself"):
        Arms(2, 2)


def test_totals_span_revisions_and_classes_or_begin_at_one() -> None:
    one = evidence((3, 2, "error", 2), (4, 2, "error", 3)).plus({Counter(4, 2, "error", 6): 4})

    assert one.total(2, "error") == 9
    assert one.total(2, "error", since=4) == 7
    assert one.total(1, "error") == 0
    assert one.newest() == 4
    assert Evidence({}, {}).newest() == 0


def test_each_revision_and_class_has_its_own_odds() -> None:
    one = evidence((3, 2, "error", 2), (3, 1, "error", 5), (4, 1, "error", 1)).plus({Counter(3, 1, "error", 4): 7})

    assert one.strata(ARMS, "error") == (
        Stratum(2, 5, 500 / 9500),
        Stratum(0, 7, 4 * 500 / 9500),
        Stratum(0, 1, 1.0),
    )


def test_a_revision_in_which_an_arm_has_no_slots_compares_nothing_and_still_counts() -> None:
    one = Evidence({Counter(5, 2, "error"): 3}, {5: {2: 10_000}, 6: {1: 10_000, 2: 0}})

    assert one.strata(ARMS, "error") == ()
    assert one.total(2, "error") == 3


def test_labels_that_come_faster_for_one_arm_raise_its_odds() -> None:
    slow = evidence((4, 2, "labelled", 100), (4, 1, "labelled", 50), (4, 2, "wrong", 9), (4, 1, "wrong", 4))
    fast = evidence((4, 2, "labelled", 10), (4, 1, "labelled", 50), (4, 2, "wrong", 1))
    alone = evidence((4, 2, "labelled", 10), (4, 2, "wrong", 1))

    assert slow.label_strata(ARMS) == (Stratum(9, 4, 2.0),)
    assert fast.label_strata(ARMS) == (Stratum(1, 0, 1.0),)
    assert alone.label_strata(ARMS) == (Stratum(1, 0, inf),)


def test_assignments_come_with_the_canarys_share_of_both_arms() -> None:
    one = evidence((3, 2, "assigned", 40), (3, 1, "assigned", 960))

    canary, both, share = one.assignments(ARMS)[0]

    assert (canary, both) == (40, 1000)
    assert share == pytest.approx(0.05)


def test_outputs_are_counted_by_bin() -> None:
    assert evidence((3, 2, "out_0", 2), (4, 2, "out_0", 1), (4, 2, "out_19", 5)).outputs(2) == (3, *[0] * 18, 5)


@pytest.mark.parametrize(
    ("baseline", "canary", "expected"),
    [
        (Runs(100, 100), Runs(10, 10), 0),
        (Runs(100, 100), Runs(40, 10), 0),
        (Runs(160, 10), Runs(10, 10), 8),
        (Runs(161, 10), Runs(10, 10), 9),
        (Runs(160, 10), Runs(0, 0), 8),
        (Runs(0, 0), Runs(10, 10), 4),
        (Runs(160, 10), Runs(0, 10), 8),
        (Runs(0, 10), Runs(10, 10), 4),
        (Runs(10**6, 1), Runs(1, 1), 13),
    ],
)
def test_the_class_of_a_window_is_its_ratio_of_batches_rounded_up(baseline: Runs, canary: Runs, expected: int) -> None:
    assert batch_class(baseline, canary, previous_mean=4.0) == expected


@given(st.integers(1, 90), st.integers(1, 50))
def test_a_class_is_never_below_the_ratio_nor_above_the_next(rows: int, runs: int) -> None:
    found = batch_class(Runs(rows * runs, runs), Runs(1, 1))

    assert sqrt(2) ** found >= rows - 1e-9
    assert found == 0 or sqrt(2) ** (found - 1) < rows
