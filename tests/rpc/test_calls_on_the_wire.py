"""What gRPC puts into HTTP/2: headers, messages, statuses, as a caller's own bytes show them."""

from __future__ import annotations

import base64
import gzip
import struct
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from gateway.core.watching import Mark
from gateway.rpc.descriptors import MESSAGES
from gateway.rpc.frames import Code
from gateway.rpc.heads import percent_encoded
from gateway.rpc.messages import prefixed
from gateway.rpc.status import Status
from tests.rpc.door import message
from tests.rpc.raw import Raw
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.rpc.door import RpcDoor

BODY = message().SerializeToString()
PACKED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.fixture
async def raw(door: RpcDoor) -> AsyncIterator[Raw]:
    raw = await Raw.connect(door.port)
    yield raw
    assert await raw.is_served()
    raw.close()


def packed(coding: str, body: bytes, flag: int = 1) -> bytes:
    squeezed = PACKED[coding](body)
    return struct.pack(">BL", flag, len(squeezed)) + squeezed


async def test_an_answer_is_headers_one_message_and_a_status(raw: Raw) -> None:
    headers, body = await raw.answer(raw.call(BODY))

    assert (headers[":status"], headers["content-type"], headers["grpc-status"]) == ("200", "application/grpc", "0")
    assert body[:5] == struct.pack(">BL", 0, len(body) - 5)
    assert MESSAGES["ModelInferResponse"].FromString(body[5:]).model_version == "1"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_packed_message_is_the_plain_one(raw: Raw, coding: str) -> None:
    number = raw.begin(raw.head(("grpc-encoding", coding)))
    raw.data(number, packed(coding, BODY))

    assert await raw.status(number) == Status.OK


@pytest.mark.parametrize("size", [9_000, 10_001, 3_000_000])
async def test_what_a_packed_message_inflates_to_is_bounded(raw: Raw, size: int) -> None:
    number = raw.begin(raw.head(("grpc-encoding", "gzip")))
    raw.data(number, packed("gzip", bytes(size)))

    assert await raw.status(number) == (Status.INVALID_ARGUMENT if size < 10_000 else Status.RESOURCE_EXHAUSTED)


async def test_a_packed_message_that_is_long_is_unpacked_on_a_thread_and_answered(raw: Raw) -> None:
    noise = b"".join(struct.pack(">L", number * 2654435761 % 2**32) for number in range(2000))
    number = raw.begin(raw.head(("grpc-encoding", "gzip")))
    raw.data(number, packed("gzip", noise))

    headers, _ = await raw.answer(number)

    assert (headers["grpc-status"], headers["x-request-id"] != "") == (str(Status.INVALID_ARGUMENT), True)


@pytest.mark.parametrize(
    ("headers", "sent", "status"),
    [
        ((), struct.pack(">BL", 1, 4) + b"abcd", Status.INTERNAL),
        ((), struct.pack(">BL", 2, 4) + b"abcd", Status.INTERNAL),
        ((("grpc-encoding", "gzip"),), struct.pack(">BL", 1, 4) + b"abcd", Status.INVALID_ARGUMENT),
        ((("grpc-encoding", "snappy"),), prefixed(BODY), Status.UNIMPLEMENTED),
        ((), b"", Status.UNIMPLEMENTED),
        ((), prefixed(BODY)[:-1], Status.INVALID_ARGUMENT),
        ((), b"\0\0", Status.INVALID_ARGUMENT),
        ((), prefixed(BODY) * 2, Status.UNIMPLEMENTED),
        ((), prefixed(b"") + b"\0", Status.UNIMPLEMENTED),
        ((), struct.pack(">BL", 0, 10_001), Status.RESOURCE_EXHAUSTED),
        ((), struct.pack(">BL", 0, 2**32 - 1), Status.RESOURCE_EXHAUSTED),
    ],
)
async def test_what_is_no_single_message_is_refused(
    raw: Raw, headers: tuple[tuple[str, str], ...], sent: bytes, status: Status
) -> None:
    number = raw.begin(raw.head(*headers))
    raw.data(number, sent)

    assert await raw.status(number) == status


@pytest.mark.parametrize(("instead", "status"), [
    ({"content_type": "application/json"}, "415"), ({"content_type": None}, "415"),
    ({"content_type": "application/grpc-web"}, "415"), ({"content_type": "application/grpc+json"}, "415"),
    ({"method": "GET"}, "405"),
])  # fmt: skip
async def test_what_is_not_grpc_is_told_so_in_http(raw: Raw, instead: dict[str, Any], status: str) -> None:
    headers, _ = await raw.answer(raw.call(BODY, raw.head(**instead)))

    assert headers[":status"] == status
    assert "grpc-status" not in headers


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc; a=b"])
async def test_every_content_type_of_grpc_is_taken(raw: Raw, content_type: str) -> None:
    assert await raw.status(raw.call(BODY, raw.head(content_type=content_type))) == Status.OK


@pytest.mark.parametrize("block", [
    [("te", "gzip")], [("connection", "close")], [("X-Upper", "1")], [("x-break", "a\nb")], [("", "1")],
    [(":path", "/twice")], [(":unknown", "1")],
])  # fmt: skip
async def test_headers_that_http_2_does_not_allow_reset_the_stream(raw: Raw, block: list[tuple[str, str]]) -> None:
    number = raw.begin(raw.head(*block, te=None))

    assert await raw.was_reset(number) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize("missing", ["method", "scheme", "path"])
async def test_a_request_needs_every_pseudo_header(raw: Raw, missing: str) -> None:
    assert await raw.was_reset(raw.begin(raw.head(**{missing: None}))) is Code.PROTOCOL_ERROR


async def test_too_many_headers_are_refused(raw: Raw) -> None:
    number = raw.begin(raw.head(*[(f"x-{number}", "1") for number in range(100)]))

    assert await raw.status(number) == Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("path", ["/", "/inference.GRPCInferenceService/ModelStreamInfer", "/x/%0a", "nothing"])
async def test_a_path_that_is_no_method_is_unimplemented(raw: Raw, path: str) -> None:
    assert await raw.status(raw.call(BODY, raw.head(path=path))) == Status.UNIMPLEMENTED


@pytest.mark.parametrize("said", ["1H", "1M", "20S", "20000m", "20000000u", "99999999n", "0S", "1n"])
async def test_a_timeout_is_read_in_every_unit(raw: Raw, said: str) -> None:
    status = await raw.status(raw.call(BODY, raw.head(("grpc-timeout", said))))

    assert status == (Status.DEADLINE_EXCEEDED if said in {"0S", "1n"} else Status.OK)


@pytest.mark.parametrize("said", ["1", "S", "1s", "-1S", "1.5S", "123456789S", "1S ", ""])
async def test_a_timeout_that_is_none_is_refused(raw: Raw, said: str) -> None:
    assert await raw.status(raw.call(BODY, raw.head(("grpc-timeout", said)))) == Status.INVALID_ARGUMENT


async def test_a_route_reads_metadata_that_is_packed_as_base64(door: RpcDoor, raw: Raw) -> None:
    rules = [{"when": {"header:x-tenant-bin": ["acme"]}, "split": {"2": 1}}]
    door.adoption.want(Mark("a", 8, "rules"), compiled({"1": 1}, baseline="1", rules=rules))
    text = base64.b64encode(b"acme").decode()

    seen = [
        (await raw.answer(raw.call(BODY, raw.head(("x-tenant-bin", sent)))))[0]["x-gateway-rule"]
        for sent in (text, text.rstrip("="), f"AAAA,{text}")
    ]

    assert seen[:2] == ["rule-1", "rule-1"]


async def test_metadata_that_is_no_base64_is_refused(raw: Raw) -> None:
    assert await raw.status(raw.call(BODY, raw.head(("x-bin", "%")))) == Status.INVALID_ARGUMENT


async def test_the_text_of_an_error_is_printable_and_short(raw: Raw) -> None:
    headers, _ = await raw.answer(raw.call(message("größe 100 %\n" * 200).SerializeToString()))

    assert headers["grpc-status"] == str(int(Status.NOT_FOUND))
    assert headers["grpc-message"].isprintable()
    assert headers["grpc-message"].isascii()
    assert len(unquote(headers["grpc-message"])) <= 500


@pytest.mark.parametrize("text", ["", "plain", "100 %", "größe\r\n", "\x7f~ "])
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert unquote(percent_encoded(text).decode()) == text


async def test_calls_on_one_connection_with_the_same_headers_and_others_are_told_apart(door: RpcDoor, raw: Raw) -> None:
    rules = [{"when": {"header:x-tenant": ["acme"]}, "split": {"2": 1}}]
    door.adoption.want(Mark("a", 8, "rules"), compiled({"1": 1}, baseline="1", rules=rules))
    tenants = ["acme", "acme", "b", "acme", "c", "acme", "b"] * 3

    seen = [
        (await raw.answer(raw.call(BODY, raw.head(("x-tenant", tenant)))))[0]["x-gateway-version"] for tenant in tenants
    ]

    assert seen == ["2" if tenant == "acme" else "1" for tenant in tenants]
