"""The binary tensor extension at the whole inference port: mixtures both ways, and what is refused."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from gateway.rest import binary_codec
from gateway.rest.form import Form
from tests.rest.door import ROW, FakeDoor, Reply, request, tensor
from tests.rest.wire import LENGTH, packed, sent, unpacked
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

A = np.array([[1, 2], [3, 4]], np.float32)
B = np.array([["x", ""], ["ü", "a\0b"]], object)
C = np.array([[0.5], [-65504]], np.float16)
VALUES = {"a": A, "b": B, "c": C}
SPECS = (TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "BYTES", (-1, 2)), TensorSpec("c", "FP16", (-1, 1)))


@pytest.fixture
async def door() -> FakeDoor:
    """``three`` answers its inputs a, b and c; ``one`` its input x: FP32 [-1, 2]; ``bool`` x: BOOL [-1, 2]."""
    door = FakeDoor(max_body=100_000)
    hold(door, "three", SPECS)
    hold(door, "one", (TensorSpec("x", "FP32", (-1, 2)),))
    hold(door, "bool", (TensorSpec("x", "BOOL", (-1, 2)),))
    return door


def hold(door: FakeDoor, model: str, specs: tuple[TensorSpec, ...]) -> None:
    names = [spec.name for spec in specs]
    door.floor.held.hold(model, 1, lambda feeds: [feeds[name] for name in names], signature=Signature(specs, specs))
    door.adoption.want(Mark("a", 1, model), compiled({"1": 1}, model=model))


def in_json(name: str) -> dict[str, Any]:
    value = VALUES[name]
    return tensor(name, "FP32" if name == "a" else "BYTES", value.shape, value.ravel().tolist())


async def ask(door: FakeDoor, model: str, whole: dict[str, Any], *headers: tuple[str, str], more: bytes = b"") -> Reply:
    body, size = packed(whole)
    return await door.infer(model, body + more, [*size, *headers])


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
@pytest.mark.parametrize("binary", ["abc", "ac", "bc", "c"])
async def test_json_and_binary_inputs_mix_in_any_order(door: FakeDoor, order: str, binary: str) -> None:
    inputs = [sent(each, VALUES[each]) if each in binary else in_json(each) for each in order]

    found = unpacked(await ask(door, "three", request(*inputs, parameters={"binary_data_output": True})))

    assert {name: value.tolist() for name, value in found.items()} == {n: v.tolist() for n, v in VALUES.items()}


@pytest.mark.parametrize(
    ("default", "own", "behind"),
    [(None, {}, []), (True, {}, ["b", "a"]), (False, {}, []), (None, {"a": True}, ["a"]), (True, {"a": False}, ["b"]),
     (False, {"a": True, "b": True}, ["b", "a"]), (True, {"a": False, "b": False}, [])],
)  # fmt: skip
async def test_an_outputs_own_wish_wins_over_that_of_the_request(
    door: FakeDoor, default: bool | None, own: dict[str, bool], behind: list[str]
) -> None:
    outputs = [{"name": n, **({"parameters": {"binary_data": own[n]}} if n in own else {})} for n in "ba"]
    parameters = {} if default is None else {"binary_data_output": default}
    inputs = [sent(name, value) for name, value in VALUES.items()]

    reply = await ask(door, "three", request(*inputs, outputs=outputs, parameters=parameters))

    assert [(name, value.tolist()) for name, value in unpacked(reply).items()] == [("b", B.tolist()), ("a", A.tolist())]
    size = int(reply.headers.get(LENGTH, len(reply.body)))
    written = json.loads(reply.body[:size])["outputs"]
    assert [each["name"] for each in written if "parameters" in each] == behind
    assert [each["name"] for each in written if "data" in each] == [name for name in "ba" if name not in behind]
    assert (LENGTH in reply.headers) == bool(behind)
    assert reply.headers["content-type"] == ("application/octet-stream" if behind else "application/json")


async def test_binary_answers_come_to_json_requests_without_a_header(door: FakeDoor) -> None:
    reply = await door.infer("one", {**ROW, "parameters": {"binary_data_output": True}})

    assert unpacked(reply)["x"].tolist() == [[1, 2]]


async def test_a_half_float_is_given_in_binary_and_refused_in_json(door: FakeDoor) -> None:
    inputs = [sent(name, value) for name, value in VALUES.items()]

    in_binary = await ask(door, "three", request(*inputs, outputs=[{"name": "c", "parameters": {"binary_data": True}}]))
    as_json = await ask(door, "three", request(*inputs, outputs=[{"name": "c"}]))

    assert unpacked(in_binary)["c"].tolist() == C.tolist()
    assert (as_json.status, as_json.json["code"]) == (400, "no_json_form")


async def test_a_raw_body_gets_all_outputs_in_binary(door: FakeDoor) -> None:
    reply = await door.infer("one", np.array([7, 8], "<f4").tobytes(), [(LENGTH, "0")])

    assert unpacked(reply)["x"].tolist() == [[7, 8]]
    assert reply.headers[LENGTH] != "0"


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_lengths_count_bytes_before_compression(door: FakeDoor, coding: str, pack: Any) -> None:
    value = np.zeros((2000, 2), np.float32)
    body, size = packed(request(sent("x", value), parameters={"binary_data_output": True}), pad=1000)
    headers = [*size, ("content-encoding", coding), ("accept-encoding", coding)]

    reply = await door.infer("one", pack(body), headers)

    assert len(pack(body)) < int(size[0][1])
    assert reply.headers["content-encoding"] == coding
    assert int(reply.headers["content-length"]) == len(reply.body) < 1000
    plain = Reply(reply.status, reply.raw, zlib.decompress(reply.body, wbits=47))
    assert unpacked(plain)["x"].shape == (2000, 2)


X = np.array([[1, 2]], np.float32)
SEQUENCE = {"sequence_start": True}
SHM = {"shared_memory_region": "r", "shared_memory_byte_size": 8}


def sized(size: object, **members: Any) -> dict[str, Any]:
    return request(sent("x", X, parameters={"binary_data_size": size}, **members))


REFUSED: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "B111 one more": ("one", sized(9), b"\0"),
    "B111 one less": ("one", sized(7), b""),
    "B111 negative": ("one", sized(-8), b""),
    "B111 true": ("one", sized(True), b""),
    "B111 a float": ("one", sized(8.0), b""),
    "B111 text": ("one", sized("8"), b""),
    "B111 2^63": ("one", sized(2**63), b""),
    "B111 2^64": ("one", sized(2**64), b""),
    "B112 tail too short": ("one", request(sent("x", X, raw=b"\0" * 7)), b""),
    "B112 tail too long": ("one", request(sent("x", X)), b"\0"),
    "B112 a tail of nobody": ("one", ROW, b"\0"),
    "B113 both": ("one", sized(8, data=[1, 2]), b""),
    "B116 2": ("bool", request(sent("x", np.array([[0, 1]], bool), raw=b"\0\2")), b""),
    "B116 255": ("bool", request(sent("x", np.array([[0, 1]], bool), raw=b"\xff\0")), b""),
    "a sequence in an input": ("one", request(sent("x", X, parameters={"sequence_id": 1})), b""),
    "a sequence in an output": ("one", request(sent("x", X), outputs=[{"name": "x", "parameters": SEQUENCE}]), b""),
    "B118 an input": ("one", request(sent("x", X, parameters=SHM)), b""),
    "B118 an output": ("one", request(sent("x", X), outputs=[{"name": "x", "parameters": SHM}]), b""),
    "a wish that is none": ("one", request(sent("x", X), parameters={"binary_data_output": 1}), b""),
    "an output's wish that is none": (
        "one", request(sent("x", X), outputs=[{"name": "x", "parameters": {"binary_data": "yes"}}]), b""
    ),
    "no rows": ("one", request(sent("x", np.zeros((0, 2), np.float32))), b""),
    "another datatype": ("one", request(sent("x", X.astype(np.float64))), b""),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_a_bad_binary_body_is_the_callers_fault(door: FakeDoor, case: str) -> None:
    model, whole, more = REFUSED[case]

    reply = await ask(door, model, whole, more=more)
    next_one = await ask(door, "one", request(sent("x", X)))

    assert reply.status == 400, reply.body
    assert set(reply.json) == {"error", "code", "request_id"}
    assert next_one.status == 200
    assert door.inference.in_flight == 0


@pytest.mark.parametrize(
    "sizes", [[], ["abc"], ["-1"], ["+1"], [""], ["1_0"], ["99999999999"], ["9" * 30], ["one more"], ["1", "2"]]
)
async def test_a_bad_header_length_is_refused(door: FakeDoor, sizes: Sequence[str]) -> None:
    body, _ = packed(request(sent("x", X)))

    reply = await door.infer(
        "one", body, [(LENGTH, str(len(body) + 1) if each == "one more" else each) for each in sizes]
    )

    assert reply.status == 400


async def test_a_binary_input_without_the_header_says_what_is_missing(door: FakeDoor) -> None:
    body, [(_, size)] = packed(request(sent("x", X)))

    reply = await door.infer("one", body[: int(size)])

    assert (reply.status, reply.json["code"]) == (400, "invalid_header_length")


async def test_the_kserve_sdks_null_beside_a_binary_tensor_is_no_data(door: FakeDoor) -> None:
    reply = await ask(door, "one", request(sent("x", X, data=None)))

    assert unpacked(reply)["x"].tolist() == X.tolist()


@pytest.mark.parametrize(("rows", "is_joined"), [(100, True), (20_000, False)])
def test_large_outputs_are_sent_from_where_the_model_left_them(rows: int, is_joined: bool) -> None:
    output = np.zeros((rows, 2), np.float32)

    body, behind, headers = Form(0).answer(b"{}", (binary_codec.write(output, "FP32"),))

    assert b"".join((body, *behind)) == b"{}" + output.tobytes()
    assert (behind == ()) == is_joined
    assert all(np.shares_memory(np.frombuffer(each, np.uint8), output) for each in behind)
    assert dict(headers)[LENGTH.encode()] == b"2"


def test_a_compressed_answer_is_one_piece() -> None:
    output = np.zeros((20_000, 2), np.float32)

    body, behind, _ = Form(0, accepted=b"gzip").answer(b"{}", (binary_codec.write(output, "FP32"),))

    assert behind == ()
    assert gzip.decompress(body) == b"{}" + output.tobytes()
