"""Tensors in JSON: every datatype there and back, and nothing cast in silence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.core.errors import InvalidRequest
from gateway.core.signature import DATATYPES, Signature, TensorSpec
from gateway.rest import envelope
from gateway.rest.json_codec import ITEMS, PACKED_ELEMENTS, JsonCodec
from gateway.serving.codec import DTYPES
from tests.rest.door import request, tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.engine import Tensor

IN_JSON = sorted(ITEMS)
"""Every datatype that has a JSON form."""


def codec(datatype: str = "FP32", shape: Sequence[int] = (-1, 4), *, batchable: bool = True) -> JsonCodec:
    signature = Signature((TensorSpec("x", datatype, tuple(shape)),), (TensorSpec("y", datatype, tuple(shape)),))
    return JsonCodec("fraud", 3, signature, batchable=batchable)


def read(made: JsonCodec, *inputs: dict[str, Any]) -> tuple[tuple[Tensor, ...], int]:
    return made.read(envelope.read(json.dumps(request(*inputs)).encode()).inputs)


def refused(made: JsonCodec, *inputs: dict[str, Any]) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read(made, *inputs)
    return caught.value.code


def written(made: JsonCodec, *outputs: Tensor, wanted: Sequence[int] = (0,)) -> Any:
    return json.loads(made.write(outputs, wanted, "id-1"))


def elements(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BYTES":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    return hnp.from_dtype(np.dtype(DTYPES[datatype]), allow_nan=False, allow_infinity=False)


def test_every_datatype_of_the_protocol_but_the_half_floats_has_a_json_form() -> None:
    assert set(DATATYPES) - set(IN_JSON) == {"FP16", "BF16"}


@given(st.data(), st.sampled_from(IN_JSON), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_what_goes_in_comes_out_bit_for_bit_flat_and_nested(
    data: st.DataObject, datatype: str, rows: int, width: int, nested: bool
) -> None:
    made = codec(datatype, (-1, -1))
    values = data.draw(st.lists(elements(datatype), min_size=rows * width, max_size=rows * width))
    original = np.array(values, dtype=DTYPES[datatype]).reshape(rows, width)
    sent = original.tolist() if nested else original.ravel().tolist()

    (found,), found_rows = read(made, tensor("x", datatype, (rows, width), sent))
    answer = written(made, found)

    assert (found.dtype, found.shape, found_rows) == (np.dtype(DTYPES[datatype]), (rows, width), rows)
    assert found.flags.c_contiguous
    assert found.dtype.isnative
    assert found.tolist() == original.tolist()
    [output] = answer["outputs"]
    assert (output["datatype"], output["shape"]) == (datatype, [rows, width])
    back = np.array(output["data"], dtype=DTYPES[datatype]).reshape(rows, width)
    assert back.tobytes() == original.tobytes() if datatype != "BYTES" else back.tolist() == original.tolist()


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("FP32", [1.401298464324817e-45, -0.0, 3.4028234663852886e38, -3.4028234663852886e38]),
        ("FP64", [5e-324, -0.0, 1.7976931348623157e308, 0.1]),
        ("INT64", [9223372036854775807, -9223372036854775808, 0, -1]),
        ("UINT64", [18446744073709551615, 0, 1, 2]),
        ("INT8", [-128, 127, 0, 1]),
        ("UINT8", [0, 255, 1, 2]),
        ("BOOL", [True, False, True, True]),
        ("BYTES", ["a\0b", "", "ä", "\U0001f600"]),
    ],
)
def test_legal_extremes_pass(datatype: str, values: list[Any]) -> None:
    made = codec(datatype)

    (found,), _ = read(made, tensor("x", datatype, (1, 4), values))

    assert found.ravel().tolist() == values
    back = np.array(written(made, found)["outputs"][0]["data"], dtype=found.dtype)
    assert back.tolist() == values
    if datatype.startswith("FP"):
        assert np.signbit(found[0, 1])


REFUSED: dict[str, tuple[str, Any]] = {
    "fraction": ("INT64", [1, 2, 3, 1.5]),
    "exponent": ("INT64", [1, 2, 3, 1e3]),
    "too high for INT8": ("INT8", [1, 2, 3, 128]),
    "too low for INT8": ("INT8", [1, 2, 3, -129]),
    "too high for UINT32": ("UINT32", [1, 2, 3, 2**32]),
    "negative UINT8": ("UINT8", [1, 2, 3, -1]),
    "negative UINT64": ("UINT64", [1, 2, 3, -1]),
    "too high for INT64": ("INT64", [1, 2, 3, 2**63]),
    "too low for INT64": ("INT64", [1, 2, 3, -(2**63) - 1]),
    "too high for UINT64": ("UINT64", [1, 2, 3, 2**64]),
    "beyond all": ("INT64", [1, 2, 3, 10**400]),
    "infinite in FP32": ("FP32", [1, 2, 3, 1e300]),
    "just infinite in FP32": ("FP32", [1, 2, 3, 3.5e38]),
    "infinite below": ("FP32", [1, 2, 3, -3.5e38]),
    "2 as a boolean": ("BOOL", [True, False, True, 2]),
    "1 as a boolean": ("BOOL", [True, False, True, 1]),
    "text as a boolean": ("BOOL", [True, False, True, "false"]),
    "boolean as a float": ("FP32", [1, 2, 3, True]),
    "boolean as an integer": ("INT32", [1, 2, 3, True]),
    "null as a float": ("FP32", [1, 2, 3, None]),
    "object as a float": ("FP32", [1, 2, 3, {}]),
    "text as a float": ("FP32", [1, 2, 3, "1.5"]),
    "nan as text": ("FP64", [1, 2, 3, "nan"]),
    "all text": ("FP32", ["1", "2", "3", "4"]),
    "number as text": ("BYTES", ["a", "b", "c", 1]),
    "null as text": ("BYTES", ["a", "b", "c", None]),
    "too few": ("FP32", [1, 2, 3]),
    "too many": ("FP32", [1, 2, 3, 4, 5]),
    "none": ("FP32", []),
    "ragged": ("FP32", [[1, 2, 3], [4]]),
    "another shape": ("FP32", [[1, 2], [3, 4]]),
    "turned round": ("FP32", [[1], [2], [3], [4]]),
    "nested too deep": ("FP32", [[[1, 2, 3, 4]]]),
    "half nested": ("FP32", [[1, 2], 3, 4]),
    "an empty row": ("FP32", [[]]),
    "null": ("FP32", None),
    "text": ("FP32", ""),
    "an object": ("FP32", {}),
    "a number": ("FP32", 1),
    "nested as deep as JSON may be": ("FP32", json.loads("[" * 28 + "1" + "]" * 28)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_data_that_is_not_of_the_datatype_and_the_shape_is_refused(case: str) -> None:
    datatype, data = REFUSED[case]

    code = refused(codec(datatype), tensor("x", datatype, (1, 4), data))

    assert code == "invalid_data"


@pytest.mark.parametrize("count", [PACKED_ELEMENTS, PACKED_ELEMENTS + 1])
@pytest.mark.parametrize("number", [1e300, -1e300, 3.4028236e38])
def test_large_tensors_are_as_strict_as_small_ones(count: int, number: float) -> None:
    made = codec("FP32", (-1, count))

    code = refused(made, tensor("x", "FP32", (1, count), [0.0] * (count - 1) + [number]))

    assert code == "invalid_data"


@pytest.mark.parametrize("count", [4, PACKED_ELEMENTS + 1])
def test_numbers_with_more_digits_than_a_float_holds_are_rounded_to_nearest(count: int) -> None:
    numbers = [0.1, 0.10000000149011612, 1.2345678901234567, 16777217]
    data = numbers + [0] * (count - 4)

    (found,), _ = read(codec("FP32", (-1, count)), tensor("x", "FP32", (1, count), data))

    assert found.ravel()[:4].tolist() == [float(np.float32(number)) for number in numbers]


SHAPES: dict[str, tuple[Any, Any]] = {
    "no rows": ([0, 4], []),
    "negative rows": ([-1, 4], [1, 2, 3, 4]),
    "negative width": ([1, -4], [1, 2, 3, 4]),
    "rank 0": ([], [1]),
    "rank 1": ([4], [1, 2, 3, 4]),
    "rank 3": ([1, 1, 4], [1, 2, 3, 4]),
    "rank 65": ([1] * 64 + [4], [1, 2, 3, 4]),
    "wrong width": ([1, 3], [1, 2, 3]),
    "huge": ([1000000000], []),
    "huge twice": ([10**9, 10**9], []),
    "product wraps to 0": ([2**32, 2**32], []),
    "product wraps to 32": ([16, 2**60 + 2], [0] * 32),
    "bytes wrap to 32": ([4, 2**60 + 2], [0] * 8),
    "2^63": ([2**63], []),
    "zero hides a huge one": ([0, 10**18], []),
}


@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_that_is_not_the_models_is_refused_before_the_data(case: str) -> None:
    shape, data = SHAPES[case]

    code = refused(codec(), tensor("x", "FP32", shape, data))

    assert code == "invalid_shape"


@pytest.mark.parametrize(
    "shape", [[2**32, 2**32], [2**31, 2**31], [16, 2**60 + 2], [10**18, 10**18], [10**4000, 10**4000], [1, 10**9]]
)
def test_free_dimensions_are_counted_without_wrapping_and_without_allocating(shape: list[int]) -> None:
    code = refused(codec("FP32", (-1, -1)), tensor("x", "FP32", shape, [0] * 32))

    assert code in {"invalid_data", "invalid_shape"}


def test_a_shape_of_one_number_and_of_none_are_read() -> None:
    (line,), rows = read(codec("FP32", (-1,)), tensor("x", "FP32", [3], [1, 2, 3]))
    (point,), one = read(codec("FP32", (), batchable=False), tensor("x", "FP32", [], [7]))

    assert (line.tolist(), rows) == ([1, 2, 3], 3)
    assert (point.shape, point.item(), one) == ((), 7, 1)


@pytest.mark.parametrize("blanks", ["", " ", "\n" + " " * 100, "\t\r\n"])
def test_blanks_around_nested_data_mean_nothing(blanks: str) -> None:
    data = f"{blanks}[{blanks}[1,{blanks}2,3,4{blanks}]{blanks}]"
    body = json.dumps(request(tensor("x", "FP32", [1, 4], "DATA"))).replace('"DATA"', data)

    (found,), _ = codec().read(envelope.read(body.encode()).inputs)

    assert found.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("datatype", ["FP64", "INT64", "fp32", "FLOAT", "FP128", "", "BYTES", "x" * 10_000])
def test_another_datatype_is_refused_never_cast(datatype: str) -> None:
    code = refused(codec("FP32"), tensor("x", datatype, (1, 4), [1, 2, 3, 4]))

    assert code == "invalid_datatype"


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
@pytest.mark.parametrize("data", [[70000] * 4, [1, 2, 3, 4], []])
def test_half_floats_have_no_json_form(data: list[int], datatype: str) -> None:
    code = refused(codec(datatype), tensor("x", datatype, (1, 4), data))

    assert code == "invalid_data"


def test_an_input_without_data_is_refused() -> None:
    entry = tensor("x", "FP32", (1, 4), [])
    del entry["data"]

    assert refused(codec(), entry) == "invalid_data"


TWO = Signature(
    (TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT64", (-1,))),
    (TensorSpec("p", "FP32", (-1, 2)), TensorSpec("q", "FP16", (-1,)), TensorSpec("r", "BYTES", (-1,))),
)
A, B = tensor("a", "FP32", (2, 2), [1, 2, 3, 4]), tensor("b", "INT64", (2,), [5, 6])


def test_inputs_come_in_the_models_order_whatever_the_callers_is() -> None:
    made = JsonCodec("fraud", 1, TWO, batchable=True)

    tensors, rows = read(made, B, A)

    assert [found.tolist() for found in tensors] == [[[1, 2], [3, 4]], [5, 6]]
    assert rows == 2


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ([A], "missing_input"),
        ([], "missing_input"),
        ([A, B, A], "duplicate_input"),
        ([A, B, {**B, "name": "c"}], "unknown_input"),
        ([{**A, "name": "A"}, B], "unknown_input"),
        ([{**A, "name": ""}, B], "unknown_input"),
        ([A, tensor("b", "INT64", (3,), [5, 6, 7])], "invalid_shape"),
    ],
    ids=["missing", "none", "twice", "unknown", "wrong case", "no name", "other rows"],
)
def test_the_set_of_inputs_must_be_the_models(inputs: list[dict[str, Any]], code: str) -> None:
    assert refused(JsonCodec("fraud", 1, TWO, batchable=True), *inputs) == code


def test_a_version_that_is_not_batched_may_take_inputs_of_different_lengths() -> None:
    tensors, _ = read(JsonCodec("fraud", 1, TWO, batchable=False), A, tensor("b", "INT64", (3,), [5, 6, 7]))

    assert [len(found) for found in tensors] == [2, 3]


def outputs_named(*names: str) -> list[envelope.RequestedOutput]:
    return [envelope.RequestedOutput(name) for name in names]


def test_requested_outputs_filter_and_order_the_answer() -> None:
    made = JsonCodec("fraud", 1, TWO, batchable=True)
    values: list[Any] = [np.ones((1, 2), np.float32), np.ones(1, np.float16), np.array(["ä"], object)]

    answer = written(made, *values, wanted=made.wanted(outputs_named("r", "p")))

    assert [output["name"] for output in answer["outputs"]] == ["r", "p"]
    assert answer["outputs"][0]["data"] == ["ä"]


@pytest.mark.parametrize("outputs", [None, []])
def test_without_requested_outputs_all_are_answered(outputs: list[envelope.RequestedOutput] | None) -> None:
    made = JsonCodec("fraud", 1, TWO, batchable=True)

    assert list(made.wanted(outputs)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("names", "code"),
    [(["s"], "unknown_output"), (["p", "p"], "duplicate_output"), (["q"], "no_json_form"), (["P"], "unknown_output")],
)
def test_an_output_that_cannot_be_answered_is_refused(names: list[str], code: str) -> None:
    made = JsonCodec("fraud", 1, TWO, batchable=True)

    with pytest.raises(InvalidRequest) as caught:
        made.named(outputs_named(*names), binary=False)

    assert caught.value.code == code


def test_an_answer_names_the_model_the_version_and_the_id() -> None:
    answer = written(codec(), np.ones((1, 4), np.float32))

    assert {name: answer[name] for name in ("model_name", "model_version", "id")} == {
        "model_name": "fraud", "model_version": "3", "id": "id-1",
    }  # fmt: skip


def test_floats_are_written_as_short_as_they_can_be() -> None:
    body = codec().write([np.array([[1.1, 0.1, 1e-7, 2]], np.float32)], [0], "1")

    assert b"[1.1,0.1,1e-7,2.0]" in body


def test_what_is_not_contiguous_is_written_in_row_major_order() -> None:
    turned = np.arange(8, dtype=np.float32).reshape(4, 2).T

    assert written(codec(), turned)["outputs"][0]["data"] == [0, 2, 4, 6, 1, 3, 5, 7]


def test_what_is_not_finite_is_written_as_null() -> None:
    answer = written(codec(), np.array([[np.nan, np.inf, -np.inf, 1]], np.float32))

    assert answer["outputs"][0]["data"] == [None, None, None, 1.0]
