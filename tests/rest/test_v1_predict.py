"""Predictions over v1 at the whole inference port: both forms, every datatype, labels, and what is refused."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio

from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from gateway.rest import v1_codec
from gateway.rest.json_codec import ITEMS, JsonCodec
from tests.rest.door import FakeDoor, ours
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.engine import Tensor
    from tests.rest.door import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_BODY = 10_000


def summed(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    return [feeds["a"] + feeds["b"], feeds["a"].sum(axis=1)]


def labelled(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    return [feeds["text"], feeds["text"]]


def held(
    door: FakeDoor, model: str, run: Any, inputs: list[TensorSpec], outputs: list[TensorSpec], *, batchable: bool = True
) -> None:
    loaded = door.floor.held.hold(model, 1, run, signature=Signature(tuple(inputs), tuple(outputs)))
    loaded.batchable = batchable
    door.adoption.want(Mark("a", 1, model), compiled({"1": 1}, model=model))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door() -> FakeDoor:
    """A model per datatype, named by it in lower case, that answers X: [-1, 2]; and some of other shapes."""
    door = FakeDoor(max_body=MAX_BODY)
    for name in [*ITEMS, "FP16"]:
        spec = TensorSpec("X", name, (-1, 2))
        held(door, name.lower(), lambda feeds: [feeds["X"]], [spec], [spec])
    pair = [TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "FP32", (-1, 2))]
    held(door, "pair", summed, pair, [TensorSpec("sum", "FP32", (-1, 2)), TensorSpec("total", "FP32", (-1,))])
    texts = [TensorSpec("text", "BYTES", (-1,))]
    held(door, "text", labelled, texts, [TensorSpec("same", "BYTES", (-1,)), TensorSpec("raw_bytes", "BYTES", (-1,))])
    vector, scalar = TensorSpec("X", "FP32", (-1,)), TensorSpec("X", "FP32", ())
    held(door, "vector", lambda feeds: [feeds["X"]], [vector], [vector])
    held(door, "scalar", lambda feeds: [feeds["X"]], [scalar], [scalar], batchable=False)
    held(door, "mean", lambda feeds: [np.asarray(feeds["X"].mean())], [vector], [scalar], batchable=False)
    image = TensorSpec("X", "UINT8", (-1, -1, 3))
    held(door, "image", lambda feeds: [feeds["X"]], [image], [image])
    return door


async def predict(door: FakeDoor, model: str, body: Any, headers: Any = (), *, pin: str = "") -> Reply:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await door.ask("POST", f"/v1/models/{model}{pin}:predict", text, headers)


PAIR_ROWS = [{"a": [1, 2], "b": [3, 4]}, {"b": [0, 0], "a": [5, 6]}]
B64 = {"b64": base64.b64encode("ä".encode()).decode()}

GOOD: dict[str, tuple[str, Any, Any]] = {
    "rows": ("fp32", {"instances": [[1, 2], [3.5, -0.1]]}, {"predictions": [[1.0, 2.0], [3.5, -0.1]]}),
    "rows that name the input": ("fp32", {"instances": [{"X": [1, 2]}]}, {"predictions": [[1.0, 2.0]]}),
    "columns": ("fp32", {"inputs": [[1, 2]]}, {"outputs": [[1.0, 2.0]]}),
    "columns that name the input": ("fp32", {"inputs": {"X": [[1, 2]]}}, {"outputs": [[1.0, 2.0]]}),
    "rows of a vector": ("vector", {"instances": [1, 2, 3]}, {"predictions": [1.0, 2.0, 3.0]}),
    "named rows of a vector": ("vector", {"instances": [{"X": 1}, {"X": 2}]}, {"predictions": [1.0, 2.0]}),
    "deeper rows": ("image", {"instances": [[[1, 2, 255]]]}, {"predictions": [[[1, 2, 255]]]}),
    "several inputs in rows": (
        "pair", {"instances": PAIR_ROWS},
        {"predictions": [{"sum": [4.0, 6.0], "total": 3.0}, {"sum": [5.0, 6.0], "total": 11.0}]},
    ),
    "several inputs in columns": (
        "pair", {"inputs": {"a": [[1, 2]], "b": [[3, 4]]}}, {"outputs": {"sum": [[4.0, 6.0]], "total": [3.0]}},
    ),
    "texts": (
        "text", {"instances": ["a", B64]},
        {"predictions": [{"same": "a", "raw_bytes": {"b64": "YQ=="}}, {"same": "ä", "raw_bytes": B64}]},
    ),
    "named texts": ("text", {"instances": [{"text": B64}]}, {"predictions": [{"same": "ä", "raw_bytes": B64}]}),
    "texts that begin with base64": (
        "text", {"instances": [B64, "a"]},
        {"predictions": [{"same": "ä", "raw_bytes": B64}, {"same": "a", "raw_bytes": {"b64": "YQ=="}}]},
    ),
    "texts in columns": ("text", {"inputs": ["a"]}, {"outputs": {"same": ["a"], "raw_bytes": [{"b64": "YQ=="}]}}),
    "nested texts": ("bytes", {"instances": [["a", B64]]}, {"predictions": [["a", "ä"]]}),
    "a text that looks like base64": ("bytes", {"instances": [['"b64"', "x"]]}, {"predictions": [['"b64"', "x"]]}),
    "truths": ("bool", {"instances": [[True, False]]}, {"predictions": [[True, False]]}),
    "the largest INT64": ("int64", {"instances": [[2**63 - 1, -(2**63)]]}, {"predictions": [[2**63 - 1, -(2**63)]]}),
    "the largest UINT64": ("uint64", {"instances": [[2**64 - 1, 0]]}, {"predictions": [[2**64 - 1, 0]]}),
    "the signature by name": (
        "fp32", {"signature_name": "serving_default", "instances": [[1, 2]]}, {"predictions": [[1.0, 2.0]]},
    ),
    "nulls for what is not there": (
        "fp32", {"signature_name": None, "inputs": None, "instances": [[1, 2]]}, {"predictions": [[1.0, 2.0]]},
    ),
    "unknown members": ("fp32", {"instances": [[1, 2]], "model_name": "x", "zz": [{}]}, {"predictions": [[1.0, 2.0]]}),
    "an output that is no row, in columns": ("mean", {"inputs": [1, 3]}, {"outputs": 2.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
async def test_a_prediction_is_answered_in_the_form_it_came_in(door: FakeDoor, case: str) -> None:
    model, sent, expected = GOOD[case]

    reply = await predict(door, model, sent)

    assert (reply.status, reply.json) == (200, expected)
    assert reply.headers["content-type"] == "application/json"
    assert ours(reply) == ("1", "1", "split")
    assert reply.headers["x-request-id"]


ROW = b'{"instances": [[1, %b]]}'
DEEP = {depth: b"[" * depth + b"]" * depth for depth in (33, 1100, 250_000)}

BAD: dict[str, tuple[str, Any, str]] = {
    "nothing": ("fp32", b"", "invalid_json"),
    "null": ("fp32", b"null", "invalid_request"),
    "a list": ("fp32", b"[]", "invalid_request"),
    "cut short": ("fp32", b'{"instances": [[1, 2]', "invalid_json"),
    "something after": ("fp32", b'{"instances": [[1, 2]]}{}', "invalid_json"),
    "not UTF-8": ("text", b'{"instances": ["\xff"]}', "invalid_json"),
    "UTF-16": ("fp32", '{"instances": [[1, 2]]}'.encode("utf-16"), "invalid_json"),
    "a lone surrogate": ("text", rb'{"instances": ["\ud800"]}', "invalid_json"),
    "neither form": ("fp32", {"signature_name": "serving_default"}, "invalid_request"),
    "both forms": ("fp32", {"instances": [[1, 2]], "inputs": [[1, 2]]}, "invalid_request"),
    "a form that is null": ("fp32", {"instances": None}, "invalid_request"),
    "another signature": ("fp32", {"signature_name": "predict", "instances": [[1, 2]]}, "unknown_signature"),
    "a signature that is no text": ("fp32", {"signature_name": 1, "instances": [[1, 2]]}, "invalid_request"),
    "NaN": ("fp32", ROW % b"NaN", "invalid_json"),
    "Infinity": ("fp32", ROW % b"-Infinity", "invalid_json"),
    "1e400": ("fp32", ROW % b"1e400", "invalid_data"),
    "beyond FP32": ("fp32", ROW % b"1e39", "invalid_data"),
    "beyond INT8": ("int8", ROW % b"128", "invalid_data"),
    "beyond UINT8": ("uint8", ROW % b"-1", "invalid_data"),
    "beyond INT64": ("int64", ROW % b"9223372036854775808", "invalid_data"),
    "a fraction": ("int64", ROW % b"1.5", "invalid_data"),
    "an exponent": ("int64", ROW % b"1e3", "invalid_data"),
    "a text": ("fp32", ROW % b'"2"', "invalid_data"),
    "a null": ("fp32", ROW % b"null", "invalid_data"),
    "a truth": ("fp32", ROW % b"true", "invalid_data"),
    "an object": ("fp32", ROW % b"{}", "invalid_data"),
    "5000 digits": ("int64", ROW % (b"9" * 5000), "invalid_data"),
    "a number for a text": ("text", {"instances": [1]}, "invalid_data"),
    "a truth that is a number": ("bool", {"instances": [[1, 0]]}, "invalid_data"),
    "FP16, which has no JSON form": ("fp16", {"instances": [[1, 2]]}, "invalid_data"),
    "no row": ("fp32", {"instances": []}, "invalid_shape"),
    "rows of nothing": ("fp32", {"instances": [[]]}, "invalid_shape"),
    "instances that are no list": ("fp32", {"instances": 1}, "invalid_data"),
    "instances that are an object": ("fp32", {"instances": {"X": [[1, 2]]}}, "invalid_data"),
    "a row too short": ("fp32", {"instances": [[1]]}, "invalid_shape"),
    "a row too long": ("fp32", {"instances": [[1, 2, 3]]}, "invalid_shape"),
    "a later row too short": ("fp32", {"instances": [[1, 2], [3]]}, "invalid_data"),
    "a later row that is a number": ("fp32", {"instances": [[1, 2], 3]}, "invalid_data"),
    "too flat": ("fp32", {"instances": [1, 2]}, "invalid_shape"),
    "too deep": ("fp32", {"instances": [[[1, 2]]]}, "invalid_shape"),
    "33 deep": ("fp32", b'{"instances": %b}' % DEEP[33], "invalid_json"),
    "1100 deep": ("fp32", b'{"instances": %b}' % DEEP[1100], "invalid_json"),
    "1100 deep elsewhere": ("fp32", b'{"zz": %b, "instances": [[1, 2]]}' % DEEP[1100], "invalid_json"),
    "deep in a later row": ("fp32", b'{"instances": [[1, 2], %b]}' % DEEP[33], "invalid_json"),
    "a scalar in rows": ("scalar", {"instances": [1]}, "invalid_shape"),
    "an unknown input": ("fp32", {"instances": [{"Y": [1, 2]}]}, "unknown_input"),
    "an unknown input beside": ("fp32", {"inputs": {"X": [[1, 2]], "Y": 1}}, "unknown_input"),
    "a name in another case": ("fp32", {"inputs": {"x": [[1, 2]]}}, "unknown_input"),
    "an input missing in every row": ("pair", {"instances": [{"a": [1, 2]}]}, "missing_input"),
    "an input missing in one row": ("pair", {"instances": [PAIR_ROWS[0], {"a": [1, 2]}]}, "invalid_data"),
    "a row that names none": ("pair", {"instances": [PAIR_ROWS[0], [1, 2]]}, "invalid_data"),
    "no row that names one": ("pair", {"instances": [[1, 2]]}, "missing_input"),
    "no input": ("pair", {"inputs": {}}, "missing_input"),
    "a tensor for several inputs": ("pair", {"inputs": [[1, 2]]}, "missing_input"),
    "columns of other lengths": ("pair", {"inputs": {"a": [[1, 2]], "b": [[1, 2], [3, 4]]}}, "invalid_shape"),
    "no base64": ("text", {"instances": [{"b64": "!"}]}, "invalid_data"),
    "base64 beyond ASCII": ("text", {"instances": [{"b64": "ä"}]}, "invalid_data"),
    "base64 of no UTF-8": ("text", {"instances": [{"b64": "/w=="}]}, "invalid_data"),
    "base64 beside something": ("text", {"instances": ["a", {"b64": "YQ==", "c": 1}]}, "invalid_data"),
    "base64 for a number": ("fp32", {"instances": [[{"b64": "YQ=="}, 1]]}, "invalid_data"),
    "an output that is no row": ("mean", {"instances": [1, 3]}, "no_row_form"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_prediction_is_the_callers_fault_and_the_next_is_answered(door: FakeDoor, case: str) -> None:
    model, sent, code = BAD[case]
    door.inference.max_body = max(MAX_BODY, len(sent))

    reply = await predict(door, model, sent, [("x-request-id", "abc")])

    door.inference.max_body = MAX_BODY
    assert (reply.status, reply.json["code"]) == (400, code), reply.body
    assert set(reply.json) == {"error", "code", "request_id"}
    assert reply.json["request_id"] == reply.headers["x-request-id"] == "abc"
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.json["error"]) < 500
    assert (await predict(door, "fp32", GOOD["rows"][1])).status == 200


VALID = json.dumps(GOOD["rows"][1]).encode()


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "application/octet-stream"])
async def test_what_curl_and_the_clients_call_their_body_is_read_as_json(door: FakeDoor, kind: str) -> None:
    assert (await predict(door, "fp32", VALID, [("content-type", kind)])).json == GOOD["rows"][2]


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ([("content-type", "text/plain")], VALID, 415, "unsupported_media_type"),
        ([("content-encoding", "br")], VALID, 415, "unsupported_media_type"),
        ([("content-encoding", "gzip")], VALID, 400, "invalid_encoding"),
        ([("content-encoding", "gzip")], gzip.compress(VALID)[:-1], 400, "invalid_encoding"),
        ([("content-encoding", "gzip")], gzip.compress(bytes(MAX_BODY + 1)), 413, "too_large"),
        ([], b" " * (MAX_BODY + 1), 413, "too_large"),
        ([("content-length", str(MAX_BODY + 1))], b"", 413, "too_large"),
        ([("inference-header-content-length", "5")], VALID, 400, "invalid_header_length"),
        ([("inference-header-content-length", "0")], b"\0" * 8, 400, "invalid_header_length"),
        ([("x-request-timeout-ms", "soon")], VALID, 400, "invalid_timeout"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
async def test_limits_and_encodings_hold_as_for_v2(
    door: FakeDoor, headers: Any, body: bytes, status: int, code: str
) -> None:
    reply = await predict(door, "fp32", body, headers)

    assert (reply.status, reply.json["code"]) == (status, code)


@pytest.mark.parametrize(("coding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_request_gets_the_same_answer(door: FakeDoor, coding: str, packed: Any) -> None:
    assert (await predict(door, "fp32", packed(VALID), [("content-encoding", coding)])).json == GOOD["rows"][2]


async def test_a_large_answer_is_compressed_where_that_is_offered(door: FakeDoor) -> None:
    rows = [[float(number), 0.5] for number in range(400)]

    reply = await predict(door, "fp32", {"instances": rows}, [("accept-encoding", "gzip")])

    assert reply.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(reply.body)) == {"predictions": rows}


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
async def test_an_output_that_is_not_finite_is_null_where_the_model_says_so(datatype: str) -> None:
    door = FakeDoor()
    spec, vector = TensorSpec("X", datatype, (-1,)), TensorSpec("Y", datatype, (-1,))
    dtype = {"FP32": np.float32, "FP64": np.float64}[datatype]

    def run(feeds: Any) -> list[Tensor]:
        return [np.array([np.nan], dtype), np.array([np.inf], dtype)]

    door.floor.held.hold("odd", 1, run, signature=Signature((spec,), (spec, vector)), nonfinite="null")
    door.adoption.want(Mark("a", 1, "odd"), compiled({"1": 1}, model="odd"))

    assert (await predict(door, "odd", {"instances": [1]})).json == {"predictions": [{"X": None, "Y": None}]}


@pytest.mark.parametrize("sent", [b'{"inputs": 1.1}', b'{"inputs": {"X": 1.1}}'])
async def test_a_number_without_an_axis_goes_in_and_comes_out_in_column_form(sent: bytes) -> None:
    signature = Signature((TensorSpec("X", "FP32", ()),), (TensorSpec("X", "FP32", ()),))
    codec = JsonCodec("m", 1, signature, batchable=False)

    (tensor,), _ = codec.read(v1_codec.inputs_of(v1_codec.read(sent), signature))

    assert (tensor.shape, v1_codec.write([tensor], signature.outputs, None)) == ((), b'{"outputs":1.1}')
