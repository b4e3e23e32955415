"""How many bytes a run will answer with: the names of a graph's free axes, and what they leave open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.output_sizes import OutputSizes, output_sizes
from gateway.core.signature import FREE, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence


def spec(datatype: str, *axes: int | str) -> TensorSpec:
    """Return a tensor whose free axes are called so."""
    shape = tuple(each if isinstance(each, int) else FREE for each in axes)
    return TensorSpec("t", datatype, shape, tuple(each if isinstance(each, str) else "" for each in axes))


def sizes(inputs: Sequence[TensorSpec], *outputs: TensorSpec, has_rows: bool = False) -> OutputSizes:
    return output_sizes(Signature(tuple(inputs), outputs), has_rows=has_rows)


VECTOR = spec("FP32", "n")


def test_an_outer_product_grows_with_the_square_of_what_is_sent() -> None:
    found = sizes([VECTOR, VECTOR], spec("FP32", "n", "n"))

    assert found.is_whole
    assert found.bytes_of([(100_000,), (100_000,)]) == 4 * 10**10
    assert found.most_bytes(4096) == 4 * 4096**2


@pytest.mark.parametrize(("datatype", "each"), [("FP16", 2), ("FP64", 8), ("BOOL", 1), ("BYTES", 8)])
def test_an_element_counts_its_bytes_and_a_text_its_address(datatype: str, each: int) -> None:
    assert sizes([VECTOR], spec(datatype, "n", 3)).bytes_of([(5,)]) == each * 15


def test_all_outputs_count_together() -> None:
    assert sizes([VECTOR], VECTOR, spec("INT64", "n", 2), spec("FP32", 7)).bytes_of([(3,)]) == 12 + 48 + 28


def test_where_one_name_stands_for_two_sizes_the_smaller_counts() -> None:
    assert sizes([VECTOR, VECTOR], VECTOR).bytes_of([(3,), (9,)]) == 12


@pytest.mark.parametrize("output", [spec("FP32", "m"), TensorSpec("t", "FP32", (FREE,)), spec("FP32", "")])
def test_an_axis_that_no_input_names_is_open_and_counts_nothing(output: TensorSpec) -> None:
    found = sizes([VECTOR, spec("FP32", "")], output, VECTOR)

    assert not found.is_whole
    assert found.bytes_of([(3,), (9,)]) == 12
    assert found.most_bytes(1) is None


@pytest.mark.parametrize("output", [TensorSpec("t", "FP32", (FREE, 2)), spec("FP32", "another", 2)])
def test_rows_that_were_seen_to_follow_the_input_s_need_no_name(output: TensorSpec) -> None:
    found = sizes([TensorSpec("x", "FP32", (FREE, 9))], output, has_rows=True)

    assert (found.is_whole, found.bytes_of([(5, 9)]), found.most_bytes(4096)) == (True, 40, 32_768)


def test_rows_say_nothing_of_another_free_axis() -> None:
    assert sizes([spec("FP32", "n", "m")], spec("FP32", "n", "m")).most_bytes(10) is None
    assert sizes([spec("FP32", "n", "m")], spec("FP32", "n")).most_bytes(10) == 40
