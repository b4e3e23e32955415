"""Hostile bodies at the whole inference port: one row per case, and after each the same worker serves on.

Every row starts from a valid request to a model that answers what it is sent, so that a lenient server
would say 200.
"""

from __future__ import annotations

import gc
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio

from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from gateway.rest.json_codec import ITEMS
from tests.rest.door import FakeDoor, request, tensor
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_BODY = 8 << 20
LEAKS = (b"Traceback", b"onnxruntime_src", b"/usr/", b"site-packages", b".py")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door() -> FakeDoor:
    """A model per datatype, named by it in lower case, that answers its input X: [-1, 4].

    ``any`` takes any shape, ``fixed`` one row.
    """
    door = FakeDoor(max_body=MAX_BODY)
    shapes = {name.lower(): (name, (-1, 4)) for name in [*ITEMS, "FP16", "BF16"]} | {
        "any": ("FP32", (-1, -1)),
        "fixed": ("FP32", (1, 4)),
    }
    for model, (datatype, shape) in shapes.items():
        spec = TensorSpec("X", datatype, shape)
        door.floor.held.hold(model, 1, lambda feeds: [feeds["X"]], signature=Signature((spec,), (spec,)))
        door.adoption.want(Mark("a", 1, model), compiled({"1": 1}, model=model))
    return door


def body(model: str = "fp32", **members: str) -> bytes:
    """Return the valid request with members replaced by JSON text; ``absent`` leaves one out."""
    valid = {"BOOL": "[true, false, true, false]", "BYTES": '["a", "b", "c", "d"]'}
    datatype = "FP32" if model in {"any", "fixed"} else model.upper()
    entry = {
        "name": '"X"', "shape": "[1, 4]", "datatype": f'"{datatype}"', "data": valid.get(datatype, "[1, 2, 3, 4]"),
    }  # fmt: skip
    whole = {"inputs": ""}
    for name, text in members.items():
        (entry if name in entry else whole)[name] = text
    whole["inputs"] = whole["inputs"] or "[" + _object(entry) + "]"
    return _object(whole).encode()


def _object(members: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {text}' for name, text in members.items() if text != "absent") + "}"


VALID = body()
SMALLEST_AND_LARGEST = [1.401298464324817e-45, -0.0, 3.4028234663852886e38, -3.4028234663852886e38]
DEEP = {depth: "[" * depth + "]" * depth for depth in (31, 32, 33, 1100, 250_000)}

ROWS: dict[str, tuple[int, str, bytes]] = {
    "B62 empty": (400, "fp32", b""),
    "B62 null": (400, "fp32", b"null"),
    "B62 list": (400, "fp32", b"[]"),
    "B62 number": (400, "fp32", b"1"),
    "B62 text": (400, "fp32", b'""'),
    "B63 cut short": (400, "fp32", VALID[:-1]),
    "B63 trailing comma": (400, "fp32", VALID[:-1] + b",}"),
    "B63 comment": (400, "fp32", b"/* */" + VALID),
    "B63 single quotes": (400, "fp32", VALID.replace(b'"', b"'")),
    "B63 byte order mark": (400, "fp32", b"\xef\xbb\xbf" + VALID),
    "B63 something after": (400, "fp32", VALID + b"{}"),
    "B64 NaN": (400, "fp32", body(data="[1, 2, 3, NaN]")),
    "B64 Infinity": (400, "fp32", body(data="[1, 2, 3, Infinity]")),
    "B64 1e400": (400, "fp32", body(data="[1, 2, 3, 1e400]")),
    "B64 1e400 in FP64": (400, "fp64", body("fp64", data="[1, 2, 3, 1e400]")),
    "B64 01": (400, "fp32", body(data="[1, 2, 3, 01]")),
    "B64 .5": (400, "fp32", body(data="[1, 2, 3, .5]")),
    "B64 +1": (400, "fp32", body(data="[1, 2, 3, +1]")),
    "B65 invalid byte": (400, "fp32", body(id='"a\xff"').decode().encode("latin-1")),
    "B65 invalid byte in data": (400, "bytes", body("bytes", data='["\xff", "", "", ""]').decode().encode("latin-1")),
    "B65 invalid byte in an ignored member": (400, "fp32", body(zz='"\xff"').decode().encode("latin-1")),
    "B65 invalid byte in an ignored name": (400, "fp32", VALID[:-1] + b', "\xff": 1}'),
    "B65 UTF-16": (400, "fp32", VALID.decode().encode("utf-16")),
    "B65 lone surrogate": (400, "fp32", body(id=r'"\ud800"')),
    "B66 33 deep in data": (400, "fp32", body(data=DEEP[33])),
    "B66 1100 deep in data": (400, "fp32", body(data=DEEP[1100])),
    "B66 250000 deep in data": (400, "fp32", body(data=DEEP[250_000])),
    "B66 1100 deep elsewhere": (400, "fp32", body(zz=DEEP[1100])),
    "B66 250000 deep elsewhere": (400, "fp32", body(zz=DEEP[250_000])),
    "B66 33 deep elsewhere": (400, "fp32", body(zz=DEEP[33])),
    "B66 33 deep with the body": (400, "fp32", body(zz=DEEP[32])),
    "B66 32 deep with the body": (200, "fp32", body(zz=DEEP[31])),
    "B66 objects": (400, "fp32", body(zz='{"a": ' * 33 + "1" + "}" * 33)),
    "B66 brackets in texts": (200, "fp32", body(zz=json.dumps(["[{" * 40, '"\\' * 9 + "[" * 40]))),
    "B66 never closed": (400, "fp32", b"[" * 250_000),
    "B67 5000 digits in a float": (400, "fp32", body(data=f"[1, 2, 3, {'9' * 5000}]")),
    "B67 5000 digits in an integer": (400, "int64", body("int64", data=f"[1, 2, 3, {'9' * 5000}]")),
    "B67 5000 digits in a shape": (400, "fp32", body(shape=f"[{'9' * 5000}, 4]")),
    "B67 4000 digits in free shapes": (400, "any", body("any", shape=f"[{'9' * 4000}, {'9' * 4000}]")),
    "B68 same key at the top": (200, "fp32", VALID[:-1] + b', "id": "a", "id": "b"}'),
    "B68 same key in an input": (200, "fp32", VALID.replace(b'"name"', b'"name": "Y", "name"')),
    "B69 unknown member": (200, "fp32", body(zz="1")),
    "B69 the model's name": (200, "fp32", body(model_name='"fp32"')),
    "B69 another model's name": (200, "fp32", body(model_name='"int8"')),
    "B69 large unknown member": (200, "fp32", body(zz=json.dumps([{"a": [1]}] * 10_000))),
    "B70 half a million keys": (400, "fp32", body(zz="{" + ",".join(f'"{key}":1' for key in range(500_000)) + "}")),
    "B70 a key of a megabyte": (400, "fp32", body(zz=json.dumps({"k" * 1_000_000: 1}))),
    "B70 JSON over its limit": (413, "fp32", body(zz=json.dumps("k" * 8_388_608))),
    "B70 many keys in texts": (200, "fp32", body(zz=json.dumps(":" * 1_000_000))),
    "B71 absent": (400, "fp32", body(inputs="absent")),
    "B71 null": (400, "fp32", body(inputs="null")),
    "B71 object": (400, "fp32", body(inputs="{}")),
    "B71 none": (400, "fp32", body(inputs="[]")),
    "B71 text": (400, "fp32", body(inputs='"X"')),
    "B72 10000 inputs": (400, "fp32", json.dumps(request(*[tensor("X", "FP32", [1, 4], [1] * 4)] * 10_000)).encode()),
    "B72 twice": (400, "fp32", json.dumps(request(*[tensor("X", "FP32", [1, 4], [1] * 4)] * 2)).encode()),
    "B73 no object": (400, "fp32", body(inputs="[1]")),
    "B73 name absent": (400, "fp32", body(name="absent")),
    "B73 name null": (400, "fp32", body(name="null")),
    "B73 name a number": (400, "fp32", body(name="1")),
    "B73 name empty": (400, "fp32", body(name='""')),
    "B74 unknown input": (400, "fp32", body(name='"Y"')),
    "B74 wrong case": (400, "fp32", body(name='"x"')),
    "B74 a name of 1 MB": (400, "fp32", body(name=json.dumps("X" * 1_000_000))),
    "B75 unknown output": (400, "fp32", body(outputs='[{"name": "Z"}]')),
    "B75 twice": (400, "fp32", body(outputs='[{"name": "X"}, {"name": "X"}]')),
    "B75 10000 outputs": (400, "fp32", body(outputs=json.dumps([{"name": "X"}] * 10_000))),
    "B76 nested": (400, "fp32", body(parameters='{"a": {"b": {}}}')),
    "B76 1000 keys": (400, "fp32", body(parameters=json.dumps({str(key): 1 for key in range(1000)}))),
    "B76 64 keys": (200, "fp32", body(parameters=json.dumps({str(key): 1 for key in range(64)}))),
    "B76 NaN": (400, "fp32", body(parameters='{"a": NaN}')),
    "B77 number": (400, "fp32", body(id="1")),
    "B77 10 KiB": (400, "fp32", body(id=json.dumps("a" * 10_240))),
    "B77 control characters": (400, "fp32", body(id=r'"a\u0000\u001b"')),
    "B78 absent": (400, "fp32", body(datatype="absent")),
    "B78 null": (400, "fp32", body(datatype="null")),
    "B78 lower case": (400, "fp32", body(datatype='"fp32"')),
    "B78 FLOAT": (400, "fp32", body(datatype='"FLOAT"')),
    "B78 FP128": (400, "fp32", body(datatype='"FP128"')),
    "B79 FP64": (400, "fp32", body(datatype='"FP64"')),
    "B79 INT64": (400, "fp32", body(datatype='"INT64"')),
    "B79 more digits": (200, "fp32", body(data="[0.1, 0.10000000149011612, 1.2345678901234567, 4]")),
    "B79 integers": (200, "fp32", body(data="[1, 2, 3, 4]")),
    "B80 absent": (400, "fp32", body(shape="absent")),
    "B80 null": (400, "fp32", body(shape="null")),
    "B80 text": (400, "fp32", body(shape='"4"')),
    "B80 object": (400, "fp32", body(shape="{}")),
    "B80 number": (400, "fp32", body(shape="4")),
    "B81 rows": (400, "fp32", body(shape="[-1, 4]")),
    "B81 width": (400, "fp32", body(shape="[1, -4]")),
    "B82 float": (400, "fp32", body(shape="[1.0, 4]")),
    "B82 text": (400, "fp32", body(shape='["1", 4]')),
    "B82 boolean": (400, "fp32", body(shape="[true, 4]")),
    "B82 null": (400, "fp32", body(shape="[null, 4]")),
    "B83 no rows": (400, "fp32", body(shape="[0, 4]", data="[]")),
    "B84 rank 0": (400, "fp32", body(shape="[]", data="[1]")),
    "B84 rank 1": (400, "fp32", body(shape="[4]")),
    "B84 rank 3": (400, "fp32", body(shape="[1, 1, 4]")),
    "B84 rank 65": (400, "fp32", body(shape=json.dumps([1] * 64 + [4]))),
    "B84 rank 100000": (400, "fp32", body(shape=json.dumps([1] * 100_000))),
    "B85 one": (400, "fp32", body(shape="[1000000000]")),
    "B85 two": (400, "any", body("any", shape="[1000000000, 1000000000]")),
    "B85 2^31": (400, "any", body("any", shape="[2147483648, 2147483648]")),
    "B86 wraps to 0": (400, "any", body("any", shape="[4294967296, 4294967296]", data="[]")),
    "B86 wraps to 32": (400, "any", body("any", shape="[16, 1152921504606846978]", data=json.dumps([1] * 32))),
    "B87 bytes wrap": (400, "any", body("any", shape="[4, 1152921504606846978]", data=json.dumps([1] * 8))),
    "B87 2^63": (400, "fp32", body(shape="[9223372036854775808]")),
    "B88 zero hides": (400, "any", body("any", shape="[0, 1000000000000000000]", data="[]")),
    "B89 too few": (400, "fp32", body(data="[1, 2, 3]")),
    "B89 too many": (400, "fp32", body(data="[1, 2, 3, 4, 5]")),
    "B90 the most rows": (200, "fp32", body(shape="[4096, 4]", data=json.dumps([1] * 16_384))),
    "B90 one more": (400, "fp32", body(shape="[4097, 4]", data=json.dumps([1] * 16_388))),
    "B91 two rows": (400, "fixed", body("fixed", shape="[2, 4]", data="[1, 2, 3, 4, 5, 6, 7, 8]")),
    "B91 one row": (200, "fixed", body("fixed")),
    "B92 absent": (400, "fp32", body(data="absent")),
    "B92 null": (400, "fp32", body(data="null")),
    "B92 text": (400, "fp32", body(data='""')),
    "B92 object": (400, "fp32", body(data="{}")),
    "B92 number": (400, "fp32", body(data="1")),
    "B93 ragged": (400, "fp32", body(data="[[1, 2, 3], [4]]")),
    "B93 another shape": (400, "fp32", body(data="[[1, 2], [3, 4]]")),
    "B93 nested": (200, "fp32", body(data="[[1, 2, 3, 4]]")),
    "B94 a text": (400, "fp32", body(data='[1, 2, 3, "1.5"]')),
    "B94 nan": (400, "fp32", body(data='[1, 2, 3, "nan"]')),
    "B94 all texts": (400, "fp32", body(data='["1", "2", "3", "4"]')),
    "B95 null": (400, "fp32", body(data="[1, 2, 3, null]")),
    "B95 boolean": (400, "fp32", body(data="[1, 2, 3, true]")),
    "B95 object": (400, "fp32", body(data="[1, 2, 3, {}]")),
    "B96 fraction": (400, "int64", body("int64", data="[1, 2, 3, 1.5]")),
    "B96 exponent": (400, "int64", body("int64", data="[1, 2, 3, 1e3]")),
    "B97 INT8": (400, "int8", body("int8", data="[1, 2, 3, 300]")),
    "B97 UINT8": (400, "uint8", body("uint8", data="[1, 2, 3, -1]")),
    "B97 INT64": (400, "int64", body("int64", data="[1, 2, 3, 9223372036854775808]")),
    "B97 UINT64": (400, "uint64", body("uint64", data="[1, 2, 3, 18446744073709551616]")),
    "B98 1e300": (400, "fp32", body(data="[1, 2, 3, 1e300]")),
    "B98 3.5e38": (400, "fp32", body(data="[1, 2, 3, 3.5e38]")),
    "B98 FP16 too large": (400, "fp16", body("fp16", data="[1, 2, 3, 70000]")),
    "B98 FP16": (400, "fp16", body("fp16")),
    "B98 BF16": (400, "bf16", body("bf16")),
    "B99 2": (400, "bool", body("bool", data="[true, false, true, 2]")),
    "B99 text": (400, "bool", body("bool", data='[true, false, true, "false"]')),
    "B100 FP32": (200, "fp32", body(data=json.dumps(SMALLEST_AND_LARGEST))),
    "B100 FP64": (200, "fp64", body("fp64", data="[5e-324, -0.0, 1.7976931348623157e308, 0.1]")),
    "B100 INT64": (200, "int64", body("int64", data="[9223372036854775807, -9223372036854775808, 0, -1]")),
    "B101 10 MB of text": (413, "bytes", body("bytes", data=json.dumps(["x" * (10 << 20), "", "", ""]))),
    "B101 NUL": (200, "bytes", body("bytes", data=r'["a\u0000b", "", "", ""]')),
    "B101 lone surrogate": (400, "bytes", body("bytes", data=r'["\ud800", "", "", ""]')),
    "B101 number": (400, "bytes", body("bytes", data='[1, "", "", ""]')),
    "B101 null": (400, "bytes", body("bytes", data='[null, "", "", ""]')),
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Keep the collector from looking through what all tests before left while a body's CPU is measured."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.usefixtures("uncollected")
async def test_a_bad_body_is_the_callers_fault_and_harms_nobody_else(door: FakeDoor, case: str) -> None:
    status, model, sent = ROWS[case]
    began = time.process_time()

    reply = await door.infer(model, sent)
    took = time.process_time() - began  # CPU: how busy the machine is says nothing of us
    next_one = await door.infer("fp32", VALID)

    assert reply.status == status, reply.body[:300]
    assert next_one.status == 200
    assert not any(leak in reply.body for leak in LEAKS)
    if status != 200:
        assert len(reply.body) < 1000
        assert set(reply.json) == {"error", "code", "request_id"}
    assert took < 0.5
    assert door.inference.in_flight == 0


EXACT: dict[str, list[Any]] = {
    "B79 more digits": [float(np.float32(each)) for each in (0.1, 0.10000000149011612, 1.2345678901234567, 4)],
    "B100 FP32": SMALLEST_AND_LARGEST,
    "B100 FP64": [5e-324, -0.0, 1.7976931348623157e308, 0.1],
    "B100 INT64": [9223372036854775807, -9223372036854775808, 0, -1],
    "B101 NUL": ["a\0b", "", "", ""],
}


@pytest.mark.parametrize("case", EXACT)
async def test_legal_values_come_back_bit_for_bit(door: FakeDoor, case: str) -> None:
    _, model, sent = ROWS[case]

    [output] = (await door.infer(model, sent)).json["outputs"]

    kinds: dict[str, Any] = {"fp32": np.float32, "fp64": np.float64, "int64": np.int64, "bytes": object}
    expected = np.array(EXACT[case], kinds[model])
    found = np.array(output["data"], kinds[model])
    assert found.tolist() == expected.tolist()
    if model.startswith("fp"):
        assert found.tobytes() == expected.tobytes()
