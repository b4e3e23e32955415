"""Where the cells of a slab lie."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.outcomes import OUTCOMES
from gateway.ports.observing import RECORDING_OUTCOMES
from gateway.telemetry.layout import (
    BLOCK_CELLS,
    COPY_DROPS,
    COPY_OUTCOMES,
    DIFFERENCE_EDGES,
    DURATION_EDGES,
    EVENTS,
    FALLBACKS,
    FIRST_COUNT,
    FIRST_REFUSAL,
    HEADER_BYTES,
    MOST_EDGES,
    PAIRS,
    REFUSALS,
    ROW_EDGES,
    Layout,
)


@given(st.integers(1, MOST_EDGES))
def test_counters_lie_side_by_side_and_fit_a_block_with_any_number_of_edges(edges: int) -> None:
    layout = Layout(tuple(float(edge) for edge in range(1, edges + 1)))

    cells = [
        cell
        for part in (
            layout.outcomes,
            layout.request,
            layout.inference,
            layout.queue,
            layout.rows,
            layout.fallbacks,
            layout.events,
            layout.copies,
            layout.copies_dropped,
            layout.pairs,
            layout.copy_seconds,
            layout.mean_difference,
            layout.max_difference,
            layout.recordings,
            layout.cpu_seconds,
        )
        for cell in range(part.start, part.stop)
    ]

    assert cells == list(range(layout.counters))
    histograms = 4 * (edges + 2) + len(ROW_EDGES) + 2 + 2 * (len(DIFFERENCE_EDGES) + 2)
    words = (OUTCOMES, FALLBACKS, EVENTS, COPY_OUTCOMES, COPY_DROPS, PAIRS, RECORDING_OUTCOMES)
    assert len(cells) == histograms + sum(map(len, words)) + 1
    assert FIRST_COUNT + layout.counters <= BLOCK_CELLS


def test_the_header_fits_its_page() -> None:
    assert (FIRST_REFUSAL + len(REFUSALS)) * 8 <= HEADER_BYTES


def test_the_default_edges_tell_a_tenth_of_a_millisecond_from_ten_seconds() -> None:
    wanted = {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0}

    assert wanted <= set(DURATION_EDGES)
    assert len(DURATION_EDGES) <= MOST_EDGES


@pytest.mark.parametrize(
    "edges", [(), (0.0, 1.0), (-1.0,), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan,), tuple(range(1, 22))]
)
def test_edges_that_are_not_few_positive_finite_and_rising_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="edges"):
        Layout(edges)


def test_layouts_with_other_edges_have_other_fingerprints() -> None:
    assert Layout().fingerprint == Layout().fingerprint
    assert Layout().fingerprint != Layout((0.1, 1.0)).fingerprint
