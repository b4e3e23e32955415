"""Asking a Prometheus: every answer it may give, and everything that may answer in its place."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.core.alarms import Answer, Silence
from gateway.telemetry.prometheus import MAX_ANSWER_BYTES, Prometheus

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter


class Double:
    """A server that answers every question with the same bytes, and remembers the heads of the questions."""

    def __init__(self, answer: bytes, *, stays: bool = False) -> None:
        self.heads: list[str] = []
        self._answer = answer
        self._stays = stays

    async def __aenter__(self) -> Double:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._done = asyncio.Event()
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._done.wait()
        self._server.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                self.heads.append((await reader.read(1 << 16)).decode(errors="replace"))
                writer.write(self._answer)
                await writer.drain()
                if self._stays:
                    await reader.read()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        finally:
            self._done.set()


def http(body: bytes, status: str = "200 OK", *, chunked: bool = False) -> bytes:
    if chunked:
        half = len(body) // 2
        parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))
        return b"HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\n\r\n%s" % (status.encode(), parts)
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def result(kind: str, value: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": value}}).encode()


def vector(*values: str) -> bytes:
    return result("vector", [{"metric": {"pod": str(n)}, "value": [1.5, value]} for n, value in enumerate(values)])


async def asked(answer: bytes, *, stays: bool = False, query: str = "up", seconds: float = 5.0) -> Answer | Silence:
    async with Double(answer, stays=stays) as double:
        return await Prometheus(f"http://127.0.0.1:{double.port}", answer_seconds=seconds).ask(query)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (vector("0.25", "3e2"), Answer((0.25, 300.0))),
        (vector("+Inf"), Answer((float("inf"),))),
        (vector(), Answer(())),
        (result("scalar", [1.5, "7"]), Answer((7.0,), is_vector=False)),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_is_its_numbers(body: bytes, answer: Answer, chunked: bool) -> None:
    assert await asked(http(body, chunked=chunked)) == answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b'{"status":"error","errorType":"bad_data","error":"parse\\nerror"}', "400 Bad Request"), "parse error"),
        (http(result("matrix", [])), "evaluates to a matrix"),
        (http(result("vector", [{"metric": {}, "histogram": [1, {}]}])), "answers 200, and nothing"),
        (http(vector("many")), "answers 200, and nothing"),
        (http(b"[]"), "answers 200, and nothing"),
        (http(b"[" * 100_000), "answers 200, and nothing"),
        (http(b"who are you", "401 Unauthorized"), "answers 401"),
        (http(b"", "302 Found\r\nLocation: http://127.0.0.1:1/"), "answers 302"),
        (http(b" " * (MAX_ANSWER_BYTES + 1)), "more than 1 MiB"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (4 * MAX_ANSWER_BYTES), "answers 200, and nothing"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "answers 200, and nothing"),
        (b"", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "answer"),
    ],
)
async def test_whatever_is_no_answer_is_a_sentence(answer: bytes, said: str) -> None:
    reply = await asked(answer)

    assert isinstance(reply, Silence)
    assert said in reply.reason
    assert reply.reason.isprintable()
    assert len(reply.reason) < 300


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b" " * (MAX_ANSWER_BYTES + 1), "more than 1 MiB"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (2 * MAX_ANSWER_BYTES + 1), "answers 200, and nothing"),
    ],
)
async def test_an_answer_without_end_is_read_to_its_bound_only(answer: bytes, said: str) -> None:
    reply = await asked(answer, stays=True)

    assert isinstance(reply, Silence)
    assert said in reply.reason


async def test_who_does_not_answer_is_given_up() -> None:
    reply = await asked(b"HTTP/1.1 200 OK\r\n", stays=True, seconds=0.05)

    assert reply == Silence("Prometheus did not answer within 0.05 s")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid", f"http://{'x' * 70}.invalid"])
async def test_who_is_not_there_cannot_be_reached(url: str) -> None:
    reply = await Prometheus(url).ask("up")

    assert isinstance(reply, Silence)
    assert reply.reason.startswith("Prometheus cannot be reached: ")


async def test_who_does_not_speak_tls_where_it_should_is_not_asked() -> None:
    async with Double(b"\x15\x03\x03\x00\x02\x02\x28") as double:
        reply = await Prometheus(f"https://127.0.0.1:{double.port}", answer_seconds=2).ask("up")

    assert isinstance(reply, Silence)
    assert "TLS" in reply.reason


async def test_a_query_is_sent_as_it_is_below_the_path_with_the_password() -> None:
    query = 'sum(rate(x{a="b c"}[1m])) / 2 > 0.1 # ä&=\n'
    async with Double(http(vector())) as double:
        await Prometheus(f"http://ann:p%40ss@127.0.0.1:{double.port}/prom/").ask(query)

    first, _, head = double.heads[0].partition("\r\n")
    target = urlsplit(first.split()[1])
    assert (target.path, parse_qs(target.query)) == ("/prom/api/v1/query", {"query": [query]})
    assert "Authorization: Basic YW5uOnBAc3M=\r\n" in head
    assert f"Host: 127.0.0.1:{double.port}\r\n" in head


async def test_no_word_of_a_failure_holds_the_password_or_the_address() -> None:
    for url in ("http://ann:hunter2@127.0.0.1:1", "http://ann:hunter2@nowhere.invalid/hunter2"):
        reply = await Prometheus(url, answer_seconds=2).ask("up")

        assert isinstance(reply, Silence)
        assert "hunter2" not in reply.reason
        assert "127.0.0.1" not in reply.reason
