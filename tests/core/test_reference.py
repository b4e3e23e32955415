"""What a version usually sees: read from anything, written back the same, frozen from live counts without loss."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nextafter
from typing import Any

import pytest

from gateway.core.errors import InvalidDocument
from gateway.core.outputs import BINS, VALUE_EDGES
from gateway.core.reference import (
    LIVE,
    MAX_BYTES,
    MAX_CLASSES,
    MAX_COLUMNS,
    MAX_EDGES,
    NO_TOKENS,
    PREDICTION,
    VOCABULARY_BINS,
    Column,
    Reference,
    folded,
    frozen,
    hashed_name,
    read_reference,
    vocabulary_name,
)

AMOUNT = Column("amount", "numbers", (0, 5, 4, 0, 1), (0.0, 1.0, 2.0))
COUNTRY = Column("country", "classes", (6, 3, 1, 0), (), ("de", "fr"))
LABEL = Column(PREDICTION, "hashed", (4, 6, *[0] * (BINS - 2)))
KNOWN = Column(vocabulary_name("note"), "vocabulary", (*[0] * 8, 2, 7, 1))
REFERENCE = Reference((AMOUNT, COUNTRY, KNOWN, LABEL), 10, "rows.csv", "2026-01-01T00:00:00Z", "ab" * 32, "sha256:cd")
FINE = len(VALUE_EDGES)


PIXEL = Column("pixel", "numbers", (0, 6, 4, 0, 0), (nextafter(0.0, -inf), 0.0, 5.0))
YEAR = Column("year", "numbers", (0, 9, 0, 0), (nextafter(1999.0, -inf), 2024.0))
"""As an evaluation makes them: the first edge is next below the least number that was seen."""


def test_a_reference_is_read_back_as_it_was_written() -> None:
    assert read_reference(REFERENCE.encoded()) == REFERENCE


def test_another_reference_has_another_id_and_the_same_one_the_same() -> None:
    assert REFERENCE.id == replace(REFERENCE).id
    assert REFERENCE.id != replace(REFERENCE, rows=11).id


def test_a_column_is_found_by_its_name() -> None:
    assert REFERENCE.column("country") is COUNTRY
    assert REFERENCE.column("nobody") is None
    assert AMOUNT.rows == 10


@pytest.mark.parametrize(
    ("column", "number", "words"),
    [
        (AMOUNT, 0, "at most 0"),
        (AMOUNT, 1, "above 0 and at most 1"),
        (AMOUNT, 3, "above 2"),
        (PIXEL, 0, "below 0"),
        (PIXEL, 1, "0"),
        (PIXEL, 2, "above 0 and at most 5"),
        (YEAR, 1, "from 1999 to 2024"),
        (AMOUNT, 4, "missing"),
        (Column("empty", "numbers", (0, 0)), 0, "anything"),
        (COUNTRY, 0, "'de'"),
        (COUNTRY, 2, "of other classes"),
        (COUNTRY, 3, "missing"),
        (LABEL, 3, "in class bin 3 of 20"),
        (KNOWN, 3, "known to 30-40%"),
        (KNOWN, NO_TOKENS, "without tokens"),
    ],
)
def test_every_bin_has_words(column: Column, number: int, words: str) -> None:
    assert column.called(number) == words


def test_a_column_says_which_of_its_bins_are_missing_and_which_outside_what_was_seen() -> None:
    assert (AMOUNT.missing, AMOUNT.outside) == ((4,), (0, 3))
    assert (COUNTRY.missing, COUNTRY.outside) == ((3,), (2,))
    assert (KNOWN.missing, KNOWN.outside) == ((NO_TOKENS,), ())
    assert (LABEL.missing, LABEL.outside) == ((), ())
    assert Column("empty", "numbers", (0, 7)).outside == (0,)


def data(**changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(REFERENCE.encoded())
    return found | changed


def column(**changed: Any) -> dict[str, Any]:
    return data(columns=[AMOUNT.as_dict() | changed])


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"[]", ""),
        (b"{", ""),
        (b" " * (MAX_BYTES + 1), ""),
        (data(format=2), "format"),
        (data(columns={}), "columns"),
        (data(columns=[AMOUNT.as_dict(), AMOUNT.as_dict()]), "columns"),
        (data(columns=[AMOUNT.as_dict() | {"name": str(n)} for n in range(MAX_COLUMNS + 1)]), "columns"),
        (data(rows=-1), "rows"),
        (data(rows=True), "rows"),
        (data(source=7), "source"),
        (data(extra=1), "extra"),
        (column(name=7), "columns[0].name"),
        (column(name="x" * 401), "columns[0].name"),
        (column(kind="pictures"), "columns[0].kind"),
        (column(edges="abc"), "columns[0].edges"),
        (column(edges=[1.0, 1.0, 2.0]), "columns[0].edges"),
        (column(edges=[0, 1, "2"]), "columns[0].edges"),
        (column(edges=[*range(MAX_EDGES + 1)]), "columns[0].edges"),
        (column(counts=[1, 2]), "columns[0].counts"),
        (column(kind="vocabulary"), "columns[0].counts"),
        (column(counts=[0, 5, 4, 0, -1]), "columns[0].counts"),
        (column(classes=[7]), "columns[0].classes"),
        (column(classes=["a", "a"]), "columns[0].classes"),
        (column(classes=[str(n) for n in range(MAX_CLASSES + 1)]), "columns[0].classes"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_culprit(content: Any, field: str) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()

    with pytest.raises(InvalidDocument) as refused:
        read_reference(raw)

    assert refused.value.field == field


def test_live_traffic_is_frozen_to_deciles_whose_counts_are_exactly_what_came() -> None:
    counts = dict.fromkeys(range(1000, 1100), 10)

    reference = frozen({"amount": counts}, 1000, "now")

    (made,) = reference.columns
    assert (reference.source, reference.rows, made.rows) == (LIVE, 1000, 1000)
    assert len(made.edges) == 11
    assert made.counts == (0, *[100] * 10, 0, 0)
    assert read_reference(reference.encoded()) == reference


def test_what_lies_outside_the_live_range_later_has_bins_of_its_own() -> None:
    (made,) = frozen({"amount": {1000: 500, 1001: 500}}, 1000, "now").columns

    later = folded({900: 1, 1000: 2, 1500: 3, FINE: 4, FINE + 1: 5}, made)

    assert (later[0], later[-2], later[-1]) == (1, 7, 5)
    assert sum(later) == 15


def test_the_least_and_the_largest_numbers_there_are_can_be_frozen() -> None:
    (made,) = frozen({"amount": {0: 10, FINE: 10}}, 20, "now").columns

    assert made.rows == 20


def test_a_column_of_which_all_is_missing_has_no_edges() -> None:
    (made,) = frozen({"amount": {FINE + 1: 7}}, 7, "now").columns

    assert (made.edges, made.counts) == ((), (0, 7))


def test_hashed_classes_and_predicted_classes_keep_their_bins() -> None:
    reference = frozen({hashed_name("country"): {3: 7, BINS: 1}, PREDICTION: {0: 4, 1: 6}}, 10, "now")

    text, label = reference.columns

    assert (text.kind, text.counts[3], label.kind, label.counts[:2]) == ("hashed", 7, "hashed", (4, 6))
    assert folded({3: 2, 99: 1}, text)[3] == 2


def test_predicted_numbers_are_told_from_classes_by_their_fine_bins() -> None:
    (made,) = frozen({PREDICTION: {1000: 10, 1010: 10}}, 20, "now").columns

    assert made.kind == "numbers"


def test_known_words_of_live_traffic_keep_their_bins() -> None:
    (made,) = frozen({vocabulary_name("note"): {9: 7, NO_TOKENS: 1}}, 8, "now").columns

    assert (made.kind, len(made.counts)) == ("vocabulary", VOCABULARY_BINS)
    assert (made.counts[9], made.counts[NO_TOKENS]) == (7, 1)
    assert folded({0: 3}, made)[0] == 3
