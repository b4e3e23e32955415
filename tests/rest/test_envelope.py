"""The outer form of a request: strict where the protocol is, blind to what it does not know."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gateway.core.errors import InvalidRequest
from gateway.rest import envelope

X = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
VALID = {"inputs": [X]}
TEXT = json.dumps(VALID)


def refused(body: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        envelope.read(body)
    assert len(str(caught.value)) < 500
    return caught.value.code


def changed(**members: Any) -> bytes:
    return json.dumps({**VALID, **members}).encode()


def input_changed(**members: Any) -> bytes:
    return json.dumps({"inputs": [{**X, **members}]}).encode()


NO_REQUEST: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a text": b'""',
    "cut short": TEXT[:-2].encode(),
    "a trailing comma": TEXT[:-1].encode() + b",}",
    "a comment": TEXT.encode() + b"// done",
    "single quotes": TEXT.replace('"', "'").encode(),
    "a byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "two documents": TEXT.encode() * 2,
    "UTF-16": TEXT.encode("utf-16"),
    "a byte that is not UTF-8": TEXT.replace("X", "\xff").encode("latin-1"),
    "a lone surrogate in a name": TEXT.replace("X", "\\ud800").encode(),
    "NaN": TEXT.replace("4]}", "NaN]}").encode(),
    "Infinity": TEXT.replace("4]}", "Infinity]}").encode(),
    "a leading zero": TEXT.replace("4]}", "01]}").encode(),
    "a bare fraction": TEXT.replace("4]}", ".5]}").encode(),
    "a plus sign": TEXT.replace("4]}", "+1]}").encode(),
    "nested 1100 deep": TEXT[:-1].encode() + b',"zz":' + b"[" * 1100 + b"]" * 1100 + b"}",
    "nested 250000 deep": b'{"inputs":' + b"[" * 250_000,
    "inputs absent": b"{}",
    "inputs null": changed(inputs=None),
    "inputs an object": changed(inputs={}),
    "inputs a text": changed(inputs="X"),
    "an entry that is no object": changed(inputs=[1]),
    "name absent": json.dumps({"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]}).encode(),
    "name null": input_changed(name=None),
    "name a number": input_changed(name=1),
    "datatype null": input_changed(datatype=None),
    "shape null": input_changed(shape=None),
    "shape a text": input_changed(shape="4"),
    "shape an object": input_changed(shape={}),
    "shape a number": input_changed(shape=4),
    "shape of a float": input_changed(shape=[1.0, 4]),
    "shape of a text": input_changed(shape=["1", 4]),
    "shape of a boolean": input_changed(shape=[True, 4]),
    "shape of null": input_changed(shape=[None, 4]),
    "shape of 5000 digits": TEXT.replace("[1, 4]", f"[{'9' * 5000}, 4]").encode(),
    "parameters nested": changed(parameters={"a": {"b": {}}}),
    "parameters a list": changed(parameters=[1]),
    "parameter null": changed(parameters={"a": None}),
    "parameter NaN": TEXT[:-1].encode() + b',"parameters":{"a":NaN}}',
    "a sequence": changed(parameters={"sequence_id": 1}),
    "any word of a sequence": changed(parameters={"sequence_priority": 1}),
    "shared memory": changed(parameters={"shared_memory_region": "r"}),
    "id a number": changed(id=1),
    "id too long": changed(id="a" * 10_240),
    "id with control characters": changed(id="a\0\x1b"),
    "id with a line break": changed(id="a\r\nx-evil: 1"),
    "outputs an object": changed(outputs={}),
    "outputs of texts": changed(outputs=["y"]),
}


@pytest.mark.parametrize("case", NO_REQUEST)
def test_what_is_no_request_is_refused_in_few_words(case: str) -> None:
    began = time.perf_counter()

    code = refused(NO_REQUEST[case])

    assert code in {"invalid_request", "invalid_json", "invalid_id", "unsupported_parameter"}
    assert time.perf_counter() - began < 0.5


def test_a_refusal_names_the_member_that_is_wrong() -> None:
    with pytest.raises(InvalidRequest, match=r"inputs\[\.\.\.\]\.shape|\$\.inputs"):
        envelope.read(input_changed(shape="4"))


READ: dict[str, bytes] = {
    "as it should be": TEXT.encode(),
    "model_name, as the KServe SDK sends it": changed(model_name="fraud"),
    "another model's name": changed(model_name="digits"),
    "an unknown member": changed(zz=1),
    "a large unknown member": changed(zz={str(number): [number] for number in range(5000)}),
    "an unknown member of an input": input_changed(zz=1),
    "an empty id": changed(id=""),
    "an id in another script": changed(id="日本-1"),
    "null for what may be left out": changed(id=None, parameters=None, outputs=None),
    "parameters of each kind": changed(parameters={"a": "b", "c": 1, "d": 1.5, "e": True}),
    "blanks around it": b" \r\n\t" + TEXT.encode() + b"\n",
}


@pytest.mark.parametrize("case", READ)
def test_what_the_protocol_allows_is_read(case: str) -> None:
    request = envelope.read(READ[case])

    assert [(each.name, each.shape, each.datatype) for each in request.inputs] == [("X", [1, 4], "FP32")]


def test_of_two_equal_keys_the_last_one_counts() -> None:
    request = envelope.read(TEXT[:-1].encode() + b',"id":"first","id":"second"}')

    assert request.id == "second"
