"""The bins of outputs: the baseline's deciles are frozen once, and a class has the same bin everywhere."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidDocument
from gateway.core.evidence import Counter, Evidence, read_counter
from gateway.core.outputs import (
    BINS,
    FROZEN_FROM,
    PARTS,
    VALUE_EDGES,
    VALUE_KINDS,
    bin_of_text,
    frozen_deciles,
    read_deciles,
    told_deciles,
)
from gateway.core.plan import read_plan
from gateway.core.rollout import Rollout, start
from gateway.core.slots import SLOTS
from gateway.core.stored_rollout import as_dict, read_rollout

PLAN = read_plan({"steps": [{"weight": 5, "for": "60s"}]})


def histogram(*values: float) -> list[int]:
    counts = [0] * len(VALUE_KINDS)
    for value in values:
        counts[bisect_left(VALUE_EDGES, value)] += 1
    return counts


def rollout() -> Rollout:
    return start("r1", candidates=(2,), baseline=1, plan=PLAN, before={1: 1}, baseline_rate=0.0, now=0.0)


def evidence_of(counts: list[int], version: int = 1) -> Evidence:
    held = {Counter(3, version, kind): many for kind, many in zip(VALUE_KINDS, counts, strict=True) if many}
    return Evidence(held, {3: {1: SLOTS - 500, 2: 500}})


def test_the_edges_of_the_fine_histogram_ascend_and_are_close() -> None:
    assert list(VALUE_EDGES) == sorted(set(VALUE_EDGES))
    assert VALUE_EDGES[0] < -1e12
    assert VALUE_EDGES[-1] > 1e12
    positive = [edge for edge in VALUE_EDGES if edge > 0]
    assert max(high / low for low, high in pairwise(positive)) == 1 + 1 / PARTS


def test_deciles_have_a_tenth_of_the_numbers_between_each_two() -> None:
    numbers = [100.0 + number for number in range(FROZEN_FROM)]

    edges = frozen_deciles(histogram(*numbers))

    assert len(edges) == 9
    assert all(abs(edge - (200 + 100 * place)) <= edge / PARTS for place, edge in enumerate(edges))


def test_too_few_numbers_freeze_nothing() -> None:
    assert frozen_deciles(histogram(*[1.0] * (FROZEN_FROM - 1))) == ()
    assert frozen_deciles(()) == ()


@pytest.mark.parametrize("number", [-1e30, -3.0, 0.0, 7.5, 1e30])
def test_a_constant_has_one_edge_that_is_finite(number: float) -> None:
    (edge,) = frozen_deciles(histogram(*[number] * FROZEN_FROM))

    assert VALUE_EDGES[0] <= edge <= VALUE_EDGES[-1]


@given(st.lists(st.floats(-1e13, 1e13), min_size=1, max_size=40))
def test_whatever_is_frozen_can_be_read_again(numbers: list[float]) -> None:
    edges = frozen_deciles([many * FROZEN_FROM for many in histogram(*numbers)])

    assert edges == read_deciles(list(edges))
    assert 1 <= len(edges) < BINS


@pytest.mark.parametrize("data", [None, "1", [1.0, 1.0], [2, 1], ["1"], [True], [float("inf")], list(range(BINS))])
def test_edges_that_are_written_otherwise_are_refused(data: object) -> None:
    with pytest.raises(InvalidDocument):
        read_deciles(data)


def test_a_text_has_one_bin_in_every_process() -> None:
    assert [bin_of_text(name) for name in ("benign", "malignant", "", "Zoë")] == [11, 9, 0, 18]


def test_a_field_of_the_fine_histogram_is_known() -> None:
    assert read_counter("3|1|value_7") == Counter(3, 1, "value_7")


def test_a_rollout_takes_the_deciles_of_its_baseline_once() -> None:
    seen = evidence_of(histogram(*[5.0] * FROZEN_FROM))

    frozen = rollout().after_evidence(seen)
    again = frozen.after_evidence(evidence_of(histogram(*[9.0] * FROZEN_FROM)))

    assert len(frozen.deciles) == 1
    assert again is frozen
    assert rollout().after_evidence(evidence_of(histogram(*[5.0] * FROZEN_FROM), version=2)).deciles == ()


def test_deciles_are_stored_and_what_has_none_is_written_as_before() -> None:
    frozen = replace(rollout(), deciles=(1.0, 2.5))

    assert read_rollout(as_dict(frozen)) == frozen
    assert "deciles" not in as_dict(rollout())
    assert read_rollout(as_dict(rollout())).deciles == ()


def test_deciles_that_do_not_ascend_are_no_rollouts() -> None:
    with pytest.raises(InvalidDocument, match="deciles"):
        replace(rollout(), deciles=(2.0, 1.0))


def test_deciles_are_told_in_few_digits() -> None:
    assert told_deciles((0.123456, 1200.0)) == "0.123, 1.2e+03"
