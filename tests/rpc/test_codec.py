"""Tensors in messages: every datatype, typed and raw, and what is refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from gateway.core.errors import InvalidRequest
from gateway.core.signature import DATATYPES, Signature, TensorSpec
from gateway.rpc.codec import CONTENTS, RpcCodec, given_inputs
from gateway.rpc.descriptors import MESSAGES
from gateway.serving.codec import DTYPES
from tests.serving.fakes import FakeSession, loaded_version

SAMPLES: dict[str, list[Any]] = {
    "BOOL": [True, False], "BYTES": ["", "grün"], "FP16": [1.5, -2.0], "BF16": [1.5, -2.0],
    "FP32": [1.5, 3.4e38], "FP64": [1e300, -0.1],
    **{name: [0, 2 ** (8 * DATATYPES[name]) - 1] for name in DATATYPES if name.startswith("UINT")},
    **{name: [-(2 ** (8 * size - 1)), 7] for name, size in DATATYPES.items() if name.startswith("INT")},
}  # fmt: skip


def codec(datatype: str, shape: tuple[int, ...] = (-1,)) -> RpcCodec:
    signature = Signature((TensorSpec("x", datatype, shape),), (TensorSpec("y", datatype, shape),))
    return RpcCodec(loaded_version(FakeSession(signature=signature)))


def request(datatype: str, raw: bytes | None, shape: tuple[int, ...] = (2,), **contents: Any) -> Any:
    made = MESSAGES["ModelInferRequest"](model_name="fraud")
    tensor = made.inputs.add(name="x", datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    if raw is not None:
        made.raw_input_contents.append(raw)
    return made


def typed(datatype: str, values: list[Any]) -> Any:
    return request(datatype, None, (2,), **{CONTENTS[datatype]: values})


def raw_of(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(each.encode())) + each.encode() for each in values)
    if datatype == "BF16":
        return b"".join(struct.pack("<f", each)[2:] for each in values)
    return bytes(np.array(values, DTYPES[datatype]).tobytes())


def read(datatype: str, made: Any, shape: tuple[int, ...] = (-1,)) -> Any:
    inputs, _ = given_inputs(made)
    (tensor,), _ = codec(datatype, shape).read(inputs)
    return tensor


def code_of(datatype: str, made: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read(datatype, made)
    return caught.value.code


@pytest.mark.parametrize("datatype", DATATYPES)
def test_a_raw_tensor_comes_back_as_it_was_sent(datatype: str) -> None:
    raw = raw_of(datatype, SAMPLES[datatype])

    tensor = read(datatype, request(datatype, raw))
    answer = MESSAGES["ModelInferResponse"].FromString(codec(datatype).write([tensor], [0], "id", raw=True))

    assert tensor.dtype == DTYPES[datatype]
    assert list(answer.raw_output_contents) == [raw]


@pytest.mark.parametrize("datatype", CONTENTS)
def test_a_typed_tensor_is_the_raw_one_and_comes_back_typed(datatype: str) -> None:
    sent = [each.encode() if isinstance(each, str) else each for each in SAMPLES[datatype]]

    tensor = read(datatype, typed(datatype, sent))
    answer = MESSAGES["ModelInferResponse"].FromString(codec(datatype).write([tensor], [0], "id", raw=False))

    assert tensor.tolist() == read(datatype, request(datatype, raw_of(datatype, SAMPLES[datatype]))).tolist()
    assert getattr(answer.outputs[0].contents, CONTENTS[datatype]) == getattr(
        typed(datatype, sent).inputs[0].contents, CONTENTS[datatype]
    )
    assert not answer.raw_output_contents


def test_an_fp16_answer_is_raw_whatever_was_asked() -> None:
    written = codec("FP16").write([np.array([1.5], np.float16)], [0], "id", raw=False)

    assert list(MESSAGES["ModelInferResponse"].FromString(written).raw_output_contents) == [raw_of("FP16", [1.5])]


REFUSED: dict[str, tuple[str, Any]] = {
    "too few raw bytes": ("FP32", request("FP32", b"\0" * 7)),
    "too many raw bytes": ("FP32", request("FP32", b"\0" * 9)),
    "a raw boolean of 2": ("BOOL", request("BOOL", b"\0\2")),
    "an element longer than the rest": ("BYTES", request("BYTES", struct.pack("<I", 2**32 - 1) + b"a")),
    "half a length": ("BYTES", request("BYTES", b"\0\0")),
    "an element too few": ("BYTES", request("BYTES", raw_of("BYTES", ["a"]))),
    "an element too many": ("BYTES", request("BYTES", raw_of("BYTES", ["a", "b", "c"]))),
    "raw bytes that are no UTF-8": ("BYTES", request("BYTES", struct.pack("<I", 1) + b"\xff", (1,))),
    "typed bytes that are no UTF-8": ("BYTES", request("BYTES", None, (1,), bytes_contents=[b"\xff"])),
    "typed FP16": ("FP16", request("FP16", None, fp32_contents=[1, 2])),
    "the wrong field": ("FP32", request("FP32", None, fp64_contents=[1, 2])),
    "two fields": ("FP32", request("FP32", None, fp32_contents=[1, 2], fp64_contents=[1, 2])),
    "no contents": ("FP32", request("FP32", None)),
    "too few elements": ("FP32", request("FP32", None, fp32_contents=[1])),
    "an INT8 of 128": ("INT8", request("INT8", None, int_contents=[128, 0])),
    "a UINT16 of 65536": ("UINT16", request("UINT16", None, uint_contents=[65536, 0])),
    "raw beside contents": ("FP32", request("FP32", b"\0" * 8, fp32_contents=[1, 2])),
}


@pytest.mark.parametrize("what", REFUSED)
def test_data_that_is_not_what_it_says_is_refused(what: str) -> None:
    assert code_of(*REFUSED[what]) == "invalid_data"


def test_raw_must_be_there_for_every_input_or_for_none() -> None:
    made = request("FP32", b"\0" * 8)
    made.inputs.add(name="z", datatype="FP32", shape=[1])

    assert code_of("FP32", made) == "invalid_data"


@pytest.mark.parametrize("shape", [(-1,), (0,), (2, 1), (), (2**40,)])
def test_a_shape_that_is_not_the_signature_s_is_refused_before_any_data_is_read(shape: tuple[int, ...]) -> None:
    assert code_of("FP32", request("FP32", b"", shape)) == "invalid_shape"


@pytest.mark.parametrize("name", ["shared_memory_region", "shared_memory_byte_size", "sequence_id", "sequence_end"])
@pytest.mark.parametrize("tensor", ["an input", "an output"])
def test_what_is_not_done_here_is_refused_in_every_tensor(name: str, tensor: str) -> None:
    made = request("FP32", None)
    holder = made.inputs[0] if tensor == "an input" else made.outputs.add(name="y")
    holder.parameters[name].int64_param = 1

    assert code_of("FP32", made) == "unsupported_parameter"
