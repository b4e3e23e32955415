"""The short cut and the plain ASGI door give the same answer to the same bytes, over a real connection."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio

from gateway.core.limits import Limits
from gateway.processes.http_server import HttpServer
from gateway.rest.guard import Guarded
from gateway.rest.shortcut import ShortCut, shortcut
from tests.rest.door import ROW, FakeDoor, Reply, buggy, raising, request, send_all_to, tensor
from tests.rest.wire import packed, sent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = json.dumps(ROW).encode()
INFER = "/v2/models/fraud/infer"
MAX_BODY = 10_000


class Listening(FakeDoor):
    """A fake worker that listens, through one of both doors."""

    def __init__(self, protocol: str) -> None:
        super().__init__(timeout=20.0, max_body=MAX_BODY)
        self.floor.held.hold("fraud", 1, lambda feeds: [feeds["x"] + 100])
        self.floor.held.hold("fraud", 2, raising)
        self.floor.held.hold("fraud", 3, buggy)
        send_all_to(self, 2)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.protocol = shortcut(self.inference, Limits()) if protocol == "short cut" else Guarded
        self.server = HttpServer(self._app, self.socket, self.protocol)
        self.task = asyncio.create_task(self.server.run())

    async def close(self) -> None:
        self.server.stop()
        await self.task

    async def send(self, *requests: bytes) -> list[Reply]:
        """Write all *requests* at once on one connection and read an answer to each."""
        host, port = self.socket.getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        try:
            async with asyncio.timeout(10):
                writer.write(b"".join(requests))
                return [await _read(reader) for _ in requests]
        finally:
            writer.close()
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    pairs = [line.partition(b": ") for line in head[1:] if line]
    raw = [(name.lower(), value) for name, _, value in pairs]
    length = int(dict(raw).get(b"content-length", b"0"))
    return Reply(int(head[0].split(b" ")[1]), raw, await reader.readexactly(length))


def post(path: str = INFER, body: bytes = BODY, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: gateway", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body: bytes, size: int, *headers: str) -> bytes:
    lines = [f"POST {INFER} HTTP/1.1", "Host: gateway", "Transfer-Encoding: chunked", *headers]
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    encoded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + encoded + b"0\r\n\r\n"


ID = "x-request-id: abc"

PACKED, [(LENGTH, JSON_BYTES)] = packed(request(sent("x", np.array([[1, 2]], np.float32))))
MIXED = (PACKED, f"{LENGTH}: {JSON_BYTES}", ID)
LARGE = request(tensor("x", "FP32", (400, 2), list(range(800))))

SAME: dict[str, bytes] = {
    "an answer": post(),
    "an answer under a given id": post(INFER, BODY, ID),
    "an id in the body": post(INFER, json.dumps({**ROW, "id": "mine"}).encode(), ID),
    "a pinned version": post("/v2/models/fraud/versions/1/infer"),
    "a pinned failure": post("/v2/models/fraud/versions/2/infer", BODY, ID),
    "a fault of the gateway": post("/v2/models/fraud/versions/3/infer", BODY, ID),
    "a version that is none": post("/v2/models/fraud/versions/latest/infer", BODY, ID),
    "an unknown version": post("/v2/models/fraud/versions/9/infer", BODY, ID),
    "an unknown model": post("/v2/models/ghost/infer", BODY, ID),
    "a path too long": post("/v2/models/fraud/versions/1/2/infer", BODY, ID),
    "an empty name": post("/v2/models//infer", BODY, ID),
    "an encoded name": post("/v2/models/fr%61ud/infer", BODY, ID),
    "an encoded line break": post("/v2/models/fraud/infer%0a", BODY, ID),
    "a query": post(f"{INFER}?a=1", BODY, ID),
    "no JSON": post(INFER, b"hello", ID),
    "no body": post(INFER, b"", ID),
    "a foreign content type": post(INFER, BODY, ID, "Content-Type: text/plain"),
    "a foreign content type in chunks": chunked(BODY, 10, ID, "Content-Type: text/plain"),
    "a bad deadline": post(INFER, BODY, ID, "x-request-timeout-ms: soon"),
    "chunks": chunked(BODY, 7, ID),
    "too large": post(INFER, b" " * (MAX_BODY + 1), ID),
    "too large in chunks": chunked(b" " * (MAX_BODY + 1), 1000, ID),
    "the older protocol": post(INFER, BODY, ID, version="1.0"),
    "a binary request": post(INFER, *MIXED),
    "a binary request in chunks": chunked(MIXED[0], 3, *MIXED[1:]),
    "a binary answer alone": post(INFER, json.dumps({**ROW, "parameters": {"binary_data_output": True}}).encode(), ID),
    "a raw request": post(INFER, b"\0" * 8, ID, "Inference-Header-Content-Length: 0"),
    "a header length beyond the body": post(INFER, BODY, ID, "Inference-Header-Content-Length: 9999"),
    "gzip": post(INFER, gzip.compress(BODY), ID, "Content-Encoding: gzip"),
    "gzip in chunks": chunked(gzip.compress(BODY), 5, ID, "Content-Encoding: gzip"),
    "a binary request in deflate": chunked(zlib.compress(MIXED[0]), 9, *MIXED[1:], "Content-Encoding: deflate"),
    "gzip cut short": post(INFER, gzip.compress(BODY)[:-1], ID, "Content-Encoding: gzip"),
    "no gzip in chunks": chunked(BODY, 10, ID, "Content-Encoding: gzip"),
    "gzip too large": post(INFER, gzip.compress(b" " * (MAX_BODY + 1)), ID, "Content-Encoding: gzip"),
    "gzip too large in chunks": chunked(gzip.compress(bytes(10 * MAX_BODY)), 40, ID, "Content-Encoding: gzip"),
    "a large answer in gzip": post(INFER, json.dumps(LARGE).encode(), ID, "Accept-Encoding: gzip, deflate"),
    "a caller that closes": post(INFER, BODY, ID, "Connection: close"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain() -> AsyncIterator[Listening]:
    door = Listening("plain")
    yield door
    await door.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quick() -> AsyncIterator[Listening]:
    door = Listening("short cut")
    yield door
    await door.close()


def told(reply: Reply) -> tuple[int, dict[str, str], object]:
    """Return what a caller sees, without what differs from request to request."""
    headers = {name: value for name, value in reply.headers.items() if name not in {"date", "connection"}}
    plain = headers["content-type"] == "application/json" and "content-encoding" not in headers
    answer: Any = reply.json if plain else reply.body
    if headers["x-request-id"] != "abc":
        headers.pop("x-request-id")
        headers.pop("content-length")
        answer.pop("id")
    return reply.status, headers, answer


async def test_the_short_cut_is_really_taken(quick: Listening) -> None:
    assert issubclass(quick.protocol, ShortCut)


@pytest.mark.parametrize("case", SAME)
async def test_both_doors_give_the_same_answer(plain: Listening, quick: Listening, case: str) -> None:
    [by_asgi] = await plain.send(SAME[case])
    [by_short_cut] = await quick.send(SAME[case])

    assert told(by_short_cut) == told(by_asgi)
    assert plain.inference.in_flight == quick.inference.in_flight == 0


async def test_pipelined_requests_are_answered_in_their_order(quick: Listening) -> None:
    ids = [f"id-{number}" for number in range(20)]
    requests = [
        post(INFER if number % 3 else f"{INFER}?through=asgi", BODY, f"x-request-id: {each}")
        for number, each in enumerate(ids)
    ]

    replies = await quick.send(*requests)

    assert [reply.headers["x-request-id"] for reply in replies] == ids
    assert {reply.status for reply in replies} == {200}


async def test_both_doors_count_the_same(plain: Listening, quick: Listening) -> None:
    counted = []

    for door in (plain, quick):
        for cells in door.floor.metrics.cells.values():
            cells.outcomes.clear()
        for each in SAME.values():
            await door.send(each)
        counted.append({key: sorted(cells.outcomes) for key, cells in door.floor.metrics.cells.items()})

    assert counted[0] == counted[1]
    assert sum(map(len, counted[0].values())) > 15
