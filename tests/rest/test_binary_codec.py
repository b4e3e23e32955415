"""Binary tensors: every datatype there and back, the numbers of JSON, and never a byte of somebody else."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.core.errors import InvalidRequest
from gateway.core.signature import DATATYPES, Signature, TensorSpec
from gateway.rest import binary_codec, envelope
from gateway.rest.binary_codec import Tail
from gateway.rest.json_codec import ITEMS, JsonCodec
from gateway.serving.codec import DTYPES
from tests.rest.door import request, tensor
from tests.rest.wire import packed, raw, sent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.engine import Tensor

CANARY = b"CANARY"


def codec(datatype: str, shape: Sequence[int] = (-1, -1), *, batchable: bool = True) -> JsonCodec:
    spec = TensorSpec("x", datatype, tuple(shape))
    return JsonCodec("fraud", 3, Signature((spec,), (spec,)), batchable=batchable)


def read(made: JsonCodec, whole: dict[str, Any], *, pad: int = 0) -> Tensor:
    body, [(_, size)] = packed(whole, pad=pad)
    (found,), _ = made.read_binary(envelope.read(body[: int(size)]).inputs, Tail(body, int(size)))
    return found


def written(made: JsonCodec, value: Tensor) -> tuple[bytes, int]:
    """Return the body of an answer with *value* in binary, and how much of it is JSON."""
    document, behind = made.write_mixed([value], [0], [True], "id-1")
    return b"".join([document, *behind]), len(document)


def values(datatype: str, *, finite: bool = False) -> st.SearchStrategy[Tensor]:
    shape = st.tuples(st.integers(1, 3), st.integers(1, 4))
    if datatype == "BYTES":
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        return shape.flatmap(
            lambda sizes: st.lists(text, min_size=sizes[0] * sizes[1], max_size=sizes[0] * sizes[1]).map(
                lambda found: np.array(found, object).reshape(sizes)
            )
        )
    elements = {"allow_nan": False, "allow_infinity": False} if finite and datatype.startswith("FP") else None
    return hnp.arrays(DTYPES[datatype], shape, elements=elements)


def bits(value: Tensor) -> tuple[str, tuple[int, ...], bytes]:
    return str(value.dtype), value.shape, raw(value)


@given(st.data(), st.sampled_from(sorted(set(DATATYPES) - {"BF16"})), st.integers(0, 8))
def test_what_goes_in_comes_out_bit_for_bit_at_any_offset(data: st.DataObject, datatype: str, pad: int) -> None:
    made, original = codec(datatype), data.draw(values(datatype))

    found = read(made, request(sent("x", original)), pad=pad)
    body, size = written(made, found)

    assert bits(found) == bits(original)
    assert found.flags.aligned
    assert found.flags.c_contiguous
    assert body[size:] == raw(original)
    assert json.loads(body[:size])["outputs"][0]["parameters"] == {"binary_data_size": len(raw(original))}


@given(st.lists(st.integers(0, 0x7F80), min_size=1), st.integers(0, 8))
def test_bfloat16_is_held_as_floats_and_comes_out_bit_for_bit(numbers: list[int], pad: int) -> None:
    sent_bits = b"".join(each.to_bytes(2, "little") for each in numbers)
    size = {"binary_data_size": len(sent_bits)}
    entry = {"name": "x", "datatype": "BF16", "shape": [len(numbers)], "raw": sent_bits, "parameters": size}
    made = codec("BF16", [-1])

    found = read(made, request(entry), pad=pad)
    body, length = written(made, found)

    assert found.tobytes() == b"".join(b"\0\0" + sent_bits[at : at + 2] for at in range(0, len(sent_bits), 2))
    assert body[length:] == sent_bits


@given(st.data(), st.sampled_from(sorted(ITEMS)))
def test_json_and_binary_give_the_same_numbers(data: st.DataObject, datatype: str) -> None:
    made, original = codec(datatype), data.draw(values(datatype, finite=True))
    in_json = json.dumps(request(tensor("x", datatype, original.shape, original.tolist()))).encode()

    (by_json,), _ = made.read(envelope.read(in_json).inputs)
    by_binary = read(made, request(sent("x", original)))

    assert bits(by_json) == bits(by_binary)


def test_an_aligned_tensor_is_a_view_of_the_body_and_a_misaligned_one_a_copy() -> None:
    body = bytes(64)

    aligned = binary_codec.read("x", "FP32", [1, 4], 16, Tail(body[:16], 0))
    inside = [binary_codec.read("x", "FP32", [1, 4], 16, Tail(body, start)) for start in range(32, 36)]
    whole = np.frombuffer(body, np.uint8)

    assert aligned.base is not None
    assert sum(np.shares_memory(each, whole) for each in inside) == 1


def test_an_output_that_is_not_contiguous_is_written_row_by_row() -> None:
    value = np.arange(12, dtype=np.float32).reshape(3, 4).T

    body, size = written(codec("FP32"), value)

    assert body[size:] == np.ascontiguousarray(value).tobytes()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=4), st.binary(max_size=24), st.integers(1, 4))
def test_an_element_never_reads_past_its_tensor(lengths: list[int], filling: bytes, count: int) -> None:
    framed = b"".join(struct.pack("<I", length) + filling[:length] for length in lengths)
    body = framed + CANARY * 20

    try:
        found = binary_codec.read("x", "BYTES", [count], len(framed), Tail(body, 0)).tolist()
    except InvalidRequest:
        return
    assert b"".join(struct.pack("<I", len(each.encode())) + each.encode() for each in found) == framed


def element(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<I", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "framed",
    [
        pytest.param(element(b"a") + element(b"b", 2), id="longer than the tensor"),
        pytest.param(element(b"a") + element(b"b", 2**32 - 1), id="4 GiB long"),
        pytest.param(element(b"a") + b"\1\0\0", id="a length cut short"),
        pytest.param(element(b"ab"), id="too few"),
        pytest.param(element(b"a") * 3, id="too many"),
        pytest.param(element(b"a") + element(b"b") + b"c", id="bytes behind"),
        pytest.param(element(b"a") + element(b"\xff"), id="not UTF-8"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_texts_that_do_not_fill_their_tensor_exactly_are_refused(framed: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        binary_codec.read("x", "BYTES", [1, 2], len(framed), Tail(framed + element(CANARY), 0))

    assert caught.value.code == "invalid_data"


@pytest.mark.parametrize("byte", range(2, 256))
def test_a_truth_value_is_a_byte_of_0_or_1(byte: int) -> None:
    with pytest.raises(InvalidRequest):
        binary_codec.read("x", "BOOL", [1, 3], 3, Tail(bytes([0, 1, byte]), 0))


@pytest.mark.parametrize(
    ("datatype", "shape", "batchable", "body", "expected"),
    [
        ("FP32", (-1, 2), True, np.array([1, 2], "<f4").tobytes(), [[1, 2]]),
        ("INT8", (-1, -1), True, bytes([1, 2, 3]), [[1, 2, 3]]),
        ("INT8", (-1, 3), False, bytes([1, 2, 3, 4, 5, 6]), [[1, 2, 3], [4, 5, 6]]),
        ("BOOL", (2,), False, bytes([0, 1]), [False, True]),
        ("BYTES", (-1, 1), True, "größer".encode(), [["größer"]]),
        ("BYTES", (1,), False, b"", [""]),
    ],
)
def test_a_raw_body_is_one_row_of_the_only_input(
    datatype: str, shape: Sequence[int], batchable: bool, body: bytes, expected: Any
) -> None:
    (found,), _ = codec(datatype, shape, batchable=batchable).read_binary([], Tail(body, 0, is_raw=True))

    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "shape", "batchable", "body"),
    [
        ("FP32", (-1, 2), True, bytes(16)),
        ("FP32", (-1, 2), True, b""),
        ("FP32", (-1, -1), True, bytes(7)),
        ("FP32", (-1, -1), True, b""),
        ("FP32", (-1, -1), False, bytes(8)),
        ("BYTES", (-1, 2), True, b"ab"),
        ("BYTES", (-1,), True, b"\xff"),
        ("BOOL", (-1,), False, b"\2"),
    ],
)
def test_a_raw_body_whose_shape_does_not_follow_is_refused(
    datatype: str, shape: Sequence[int], batchable: bool, body: bytes
) -> None:
    with pytest.raises(InvalidRequest):
        codec(datatype, shape, batchable=batchable).read_binary([], Tail(body, 0, is_raw=True))


def test_a_raw_body_for_two_inputs_is_refused() -> None:
    two = (TensorSpec("a", "INT8", (-1, 1)), TensorSpec("b", "INT8", (-1, 1)))

    with pytest.raises(InvalidRequest):
        JsonCodec("fraud", 1, Signature(two, two), batchable=True).read_binary([], Tail(b"ab", 0, is_raw=True))


@given(st.binary(max_size=40), st.sampled_from(sorted(DATATYPES)), st.integers(0, 3), st.integers(0, 40))
def test_any_bytes_are_a_tensor_or_the_callers_fault(body: bytes, datatype: str, rows: int, size: int) -> None:
    try:
        found = binary_codec.read("x", datatype, [rows, 2], size, Tail(body, 0))
    except InvalidRequest:
        return
    assert found.shape == (rows, 2)
