"""One POST: whatever the other side does, it ends in time, and nothing goes where the operator did not say."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from gateway.notifications.post import ANSWER_BYTES, PostFailed, Reply, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


class Receiver:
    """A server that notes what it was sent and answers the pieces of *answer*, one every *pause_seconds*."""

    def __init__(self, answer: Sequence[bytes], pause_seconds: float = 0.0, *, stays: bool = False) -> None:
        self._answer = answer
        self._pause_seconds = pause_seconds
        self._stays = stays
        self.heard: list[bytes] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
            self.heard.append(head + await reader.readexactly(size))
            for piece in self._answer:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self._pause_seconds)
            if self._stays:
                await asyncio.sleep(30)
        except (ConnectionError, EOFError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(*answer: bytes, pause_seconds: float = 0.0, stays: bool = False) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer, pause_seconds, stays=stays)
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=b"
    try:
        yield receiver
    finally:
        server.close()
        for task in receiver.tasks:
            task.cancel()
        await asyncio.gather(*receiver.tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # the loop closes what was left


OK = b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_what_is_sent_is_a_plain_request() -> None:
    async with listening(OK) as receiver:
        reply = await post(receiver.url, {"webhook-id": "x"}, b'{"a":1}')

    (heard,) = receiver.heard
    lines = heard.split(b"\r\n")
    assert reply == Reply(204)
    assert lines[0] == b"POST /hook?a=b HTTP/1.1"
    assert {b"content-type: application/json", b"content-length: 7", b"connection: close", b"webhook-id: x"} <= {*lines}
    assert heard.endswith(b'\r\n\r\n{"a":1}')


@pytest.mark.parametrize(
    "answer",
    [
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 15\r\n\r\ninvalid_payload",),
        (b"HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\nf\r\ninvalid", b"_payload\r\n0\r\n\r\n"),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", b"invalid_payload"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 B\r\ncontent-length: 15\r\n\r\n", b"invalid_payload"),
    ],
)
async def test_a_refusal_is_told_with_its_words(answer: tuple[bytes, ...]) -> None:
    async with listening(*answer) as receiver:
        assert await post(receiver.url, {}, b"{}") == Reply(400, "invalid_payload")


async def test_what_a_refusal_says_is_short_and_printable() -> None:
    text = b"\x1b[31m" + b"no\n" * 500
    async with listening(b"HTTP/1.1 500 E\r\ncontent-length: %d\r\n\r\n" % len(text), text) as receiver:
        reply = await post(receiver.url, {}, b"{}")

    assert len(reply.said) <= 200
    assert reply.said.isprintable()


async def test_a_receiver_may_say_when_to_come_again() -> None:
    async with listening(b"HTTP/1.1 429 Slow\r\nRetry-After: 30\r\ncontent-length: 0\r\n\r\n") as receiver:
        assert await post(receiver.url, {}, b"{}") == Reply(429, "", 30.0)


async def test_a_redirect_is_not_followed() -> None:
    async with listening(OK) as other:
        head = f"HTTP/1.1 302 Found\r\nlocation: {other.url}\r\ncontent-length: 0\r\n\r\n"
        async with listening(head.encode()) as receiver:
            assert (await post(receiver.url, {}, b"{}")).status == 302

    assert other.heard == []


async def test_an_answer_that_drips_costs_no_more_than_the_deadline() -> None:
    async with listening(*(b"H" for _ in range(50)), pause_seconds=0.1) as receiver:
        began = time.monotonic()
        with pytest.raises(PostFailed):
            await post(receiver.url, {}, b"{}", seconds=0.5)

    assert time.monotonic() - began < 2


async def test_a_receiver_that_never_answers_is_left_in_time() -> None:
    async with listening(stays=True) as receiver:
        with pytest.raises(PostFailed, match=r"no answer within 0\.3 s"):
            await post(receiver.url, {}, b"{}", seconds=0.3)


async def test_a_refusal_whose_body_never_comes_is_a_refusal() -> None:
    async with listening(b"HTTP/1.1 500 E\r\ncontent-length: 9\r\n\r\n", stays=True) as receiver:
        assert (await post(receiver.url, {}, b"{}")).status == 500


async def test_an_answer_without_end_is_read_to_a_bound() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * (2 * ANSWER_BYTES) + b"\r\n\r\n"
    async with listening(head) as receiver:
        with pytest.raises(PostFailed):
            await post(receiver.url, {}, b"{}", seconds=5)


@pytest.mark.parametrize(
    ("answer", "why"), [((), "closed"), ((b"SMTP ready\r\n\r\n",), "no HTTP"), ((b"HTTP/1.1 2",), "closed")]
)
async def test_what_is_no_answer_is_a_failure(answer: tuple[bytes, ...], why: str) -> None:
    async with listening(*answer) as receiver:
        with pytest.raises(PostFailed, match=why):
            await post(receiver.url, {}, b"{}")


async def test_nobody_at_the_address_is_a_failure() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

    with pytest.raises(PostFailed, match="cannot be reached"):
        await post(f"http://127.0.0.1:{port}/", {}, b"{}")


async def test_plain_text_where_tls_is_said_is_a_failure() -> None:
    async with listening(OK) as receiver:
        with pytest.raises(PostFailed):
            await post(receiver.url.replace("http:", "https:"), {}, b"{}", seconds=1)


def test_certificates_are_checked_with_their_names() -> None:
    from gateway.notifications.post import _default_tls

    assert _default_tls().verify_mode is ssl.CERT_REQUIRED
    assert _default_tls().check_hostname
