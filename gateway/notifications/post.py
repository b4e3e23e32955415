"""One POST and its answer, within one deadline: the whole of an HTTP client that a courier needs.

It follows no redirect, for a signed notification goes where the operator said; it checks certificates; it reads a
bounded part of an answer, and however slowly that comes it costs a bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

if TYPE_CHECKING:
    from collections.abc import Mapping

POST_SECONDS: Final = 10.0
"""How long a delivery may take, from the name's look-up to the answer's status."""
BODY_SECONDS: Final = 1.0
"""How long is waited for what a refusal says, once its status is known."""
ANSWER_BYTES: Final = 64 << 10
SAID_CHARACTERS: Final = 200


class PostFailed(Exception):
    """Nothing was answered; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. *said*: the beginning of a refusal's body. *retry_after_seconds*: what it asked for."""

    status: int
    said: str = ""
    retry_after_seconds: float = 0.0


async def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    seconds: float = POST_SECONDS,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """Send *body* to *url* and return the answer. Raises PostFailed within about *seconds*."""
    parts = urlsplit(url)
    is_https = parts.scheme == "https"
    port = parts.port or (443 if is_https else 80)
    context = (tls or _default_tls()) if is_https else None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
            try:
                writer.write(_request(url, headers, body))
                await writer.drain()
                return await _answer(reader)
            finally:
                writer.transport.abort()
    except TimeoutError as exc:
        raise PostFailed(f"no answer within {seconds:g} s") from exc
    except ssl.SSLCertVerificationError as exc:
        raise PostFailed(f"its certificate is not trusted: {exc.verify_message}") from exc
    except OSError as exc:
        raise PostFailed(f"it cannot be reached: {exc.strerror or exc}") from exc
    except HttpParserError as exc:
        raise PostFailed("what it answers is no HTTP") from exc


@cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _request(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = {
        "host": parts.netloc,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "user-agent": "canary-gateway",
        **headers,
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return "\r\n".join(lines).encode("ascii") + body


async def _answer(reader: asyncio.StreamReader) -> Reply:
    """Read until the status is known; of a refusal go on until its body is whole, long enough or late."""
    answer = _Answer()
    while not answer.status:
        await answer.more(reader)
    if not 200 <= answer.status < 300:
        with contextlib.suppress(TimeoutError, OSError, PostFailed, HttpParserError):
            async with asyncio.timeout(BODY_SECONDS):
                while not answer.is_whole:
                    await answer.more(reader)
    return Reply(answer.status, answer.said(), answer.retry_after_seconds)


class _Answer:
    """What the parser tells of one answer; an interim one (1xx) is none."""

    def __init__(self) -> None:
        self.status = 0
        self.is_whole = False
        self.retry_after_seconds = 0.0
        self._room = ANSWER_BYTES
        self._body = bytearray()
        self._parser: Any = HttpResponseParser(self)

    async def more(self, reader: asyncio.StreamReader) -> None:
        """Read and parse a piece. Raises PostFailed at the end, or where it was too much."""
        data = await reader.read(min(self._room, 4096))
        if not data:
            raise PostFailed("the connection was closed without an answer" if self._room else "its answer has no end")
        self._room -= len(data)
        self._parser.feed_data(data)

    def said(self) -> str:
        text = self._body.decode("utf-8", "replace")[:SAID_CHARACTERS]
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():
            self.retry_after_seconds = float(value[:9])

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self.status = status if status >= 200 else 0

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.is_whole = self.status != 0
