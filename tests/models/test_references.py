"""Rows become counts of the right columns and bins, and a reference is found beside the model that it is of."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.outputs import VALUE_EDGES, bin_of_text
from gateway.core.reference import PREDICTION, Reference, hashed_name
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.models.counting import WIDEST, Counting, column_of_numbers, columns_of_texts, places_of
from gateway.models.references import REFERENCE_FILE, InvalidReference, References, reference_in, write_reference

if TYPE_CHECKING:
    from pathlib import Path

SHA = "ab" * 32
MATRIX = Signature((TensorSpec("x", "FP32", (FREE, 2)),), ())
MIXED = Signature(
    (TensorSpec("age", "INT64", (FREE, 1)), TensorSpec("city", "BYTES", (FREE,)), TensorSpec("x", "FP32", (FREE, 2))),
    (),
)


def names(*inputs: TensorSpec) -> list[str]:
    return [place.name for place in places_of(Signature(inputs, ()))]


def texts(*values: str) -> Any:
    return np.array([value.encode() for value in values], object)


def test_columns_are_named_after_their_tensor_and_place() -> None:
    assert [place.name for place in places_of(MIXED)] == ["age", "city", "x[0]", "x[1]"]
    assert names(TensorSpec(PREDICTION, "FP32", (FREE,))) == ["prediction (input)"]


def test_images_and_wide_or_open_tensors_are_not_looked_at() -> None:
    image, wide = TensorSpec("i", "UINT8", (FREE, 3, 8, 8)), TensorSpec("w", "FP32", (FREE, WIDEST + 1))

    assert names(image, wide, TensorSpec("tokens", "INT64", (FREE, FREE)), TensorSpec("y", "FP32", (FREE,))) == ["y"]
    assert len(names(*(TensorSpec(f"c{n}", "FP32", (FREE,)) for n in range(WIDEST + 9)))) == WIDEST


def test_numbers_fall_into_the_bins_of_their_reference_one_by_one() -> None:
    seen = np.arange(100, dtype=np.float64)
    reference = Reference(tuple(column_of_numbers(f"x[{n}]", seen * (n + 1)) for n in range(2)), 100, "rows.csv")
    rows = np.array([[-5, 0], [0, 20], [50, 1000], [99, np.nan], [99.5, np.inf]], np.float32)

    found = Counting(places_of(MATRIX), reference).counts([rows])

    edges = reference.columns[0].edges
    assert (edges[0] < 0, edges[-1]) == (True, 99.0)
    assert found["x[0]"][0] == 1
    assert found["x[0]"][len(edges)] == 1
    assert found["x[1]"][len(reference.columns[1].edges)] == 2
    assert found["x[1]"][len(reference.columns[1].edges) + 1] == 1
    assert [sum(each.values()) for each in found.values()] == [5, 5]


def test_the_rows_of_a_reference_fall_into_its_own_bins_as_it_counted_them() -> None:
    draw = np.random.default_rng(1)
    seen = draw.lognormal(size=(500, 2)).astype(np.float32)
    columns = tuple(column_of_numbers(f"x[{n}]", seen[:, n].astype(np.float64)) for n in range(2))

    found = Counting(places_of(MATRIX), Reference(columns, 500, "rows.csv")).counts([seen])

    for column in columns:
        assert tuple(found[column.name].get(n, 0) for n in range(len(column.counts))) == column.counts
        assert (column.counts[0], column.counts[-2], column.counts[-1]) == (0, 0, 0)


def test_without_a_reference_numbers_are_counted_fine_and_texts_are_hashed() -> None:
    tensors = [np.array([[7], [7]], np.int64), texts("de", "fr"), np.array([[np.nan, 1], [1, 2]], np.float32)]

    found = Counting(places_of(MIXED), None).counts(tensors)

    assert found["age"] == {int(np.searchsorted(VALUE_EDGES, 7.0)): 2}
    assert found["x[0]"][len(VALUE_EDGES) + 1] == 1
    assert found[hashed_name("city")] == {bin_of_text("de"): 1, bin_of_text("fr"): 1}
    assert sum(found["city (length)"].values()) == 2


def test_texts_have_a_bin_for_each_common_class_for_the_others_and_for_none() -> None:
    seen = texts(*["de"] * 60, *["fr"] * 40)
    columns = columns_of_texts("city", seen)
    signature = Signature((TensorSpec("city", "BYTES", (FREE,)),), ())

    found = Counting(places_of(signature), Reference(columns, 100, "rows.csv")).counts([texts("fr", "it", "", "de")])

    assert (columns[0].classes, columns[0].counts) == (("de", "fr"), (60, 40, 0, 0))
    assert found["city"] == {1: 1, 2: 1, 3: 1, 0: 1}
    assert sum(found["city (length)"].values()) == 4


def test_a_column_of_nothing_but_gaps_has_no_edges() -> None:
    column = column_of_numbers("x", np.array([np.nan, np.nan]))

    assert (column.edges, column.counts) == ((), (0, 2))


def reference() -> Reference:
    return Reference((column_of_numbers("x", np.arange(10.0)),), 10, "rows.csv", sha256=SHA)


def test_a_reference_is_found_beside_its_version_and_beside_no_other_file(tmp_path: Path) -> None:
    write_reference(tmp_path, reference())

    assert reference_in(tmp_path, SHA.upper()) == reference()
    assert reference_in(tmp_path, "cd" * 32) is None
    assert reference_in(tmp_path / "nowhere", SHA) is None
    assert [path.name for path in tmp_path.iterdir()] == [REFERENCE_FILE]


@pytest.mark.parametrize("content", [b"{", b"[]", b" " * (2 << 20)])
def test_a_file_that_is_no_reference_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / REFERENCE_FILE).write_bytes(content)

    with pytest.raises(InvalidReference, match="evaluate the version again"):
        reference_in(tmp_path, SHA)


def test_a_reference_that_is_too_large_is_not_written(tmp_path: Path) -> None:
    columns = tuple(columns_of_texts(f"{n}" + "x" * 300, texts(*(f"{k}" + "ü" * 390 for k in range(19))))[0]
                    for n in range(130))  # fmt: skip

    with pytest.raises(ValueError, match="shorter names"):
        write_reference(tmp_path, Reference(columns, 19, "rows.csv"))
    assert list(tmp_path.iterdir()) == []


def test_a_repository_reads_a_file_once_and_again_when_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    references, directory = References(tmp_path), tmp_path / "fraud" / "1"
    directory.mkdir(parents=True)

    assert references.of("fraud", 1, SHA) is None
    write_reference(directory, reference())
    first = references.of("fraud", 1, SHA)
    assert first == reference()
    assert references.of("fraud", 1, SHA) is first
    (directory / REFERENCE_FILE).write_bytes(b"{")
    with caplog.at_level(logging.WARNING):
        assert references.of("fraud", 1, SHA) is None
        assert references.of("fraud", 1, SHA) is None
    assert len(caplog.records) == 1
    (directory / REFERENCE_FILE).unlink()
    assert references.of("fraud", 1, SHA) is None
