"""Asks a Prometheus, or whatever speaks its HTTP API, what a query evaluates to now. Implements ``ports.Monitoring``.

A query is sent as it is and never read. Each question has a connection of its own, a deadline and a bound on the bytes
it reads; redirects are not followed, and neither address nor password is in any word that leaves here.

Source of the form of answers: Prometheus' documentation, "HTTP API", instant queries.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from base64 import b64encode
from socket import gaierror
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlencode, urlsplit

import httptools

from gateway.core.alarms import Answer, Silence

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

ANSWER_SECONDS: Final = 5.0
"""How long an answer may take, the connection included."""

MAX_ANSWER_BYTES: Final = 1 << 20
READ_BYTES: Final = 1 << 16
MAX_SAID: Final = 200
"""Characters of an error of Prometheus' that are repeated."""


class Prometheus:
    """One Prometheus. *url* is checked: ``http[s]://[USER:PASSWORD@]HOST[:PORT][/PREFIX]``."""

    def __init__(self, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host = parts.hostname
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._path = parts.path.rstrip("/") + "/api/v1/query"
        self._answer_seconds = answer_seconds
        self._head = f"Host: {parts.netloc.rpartition('@')[2]}\r\nAccept: application/json\r\nConnection: close\r\n"
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._head += f"Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"

    async def ask(self, query: str) -> Answer | Silence:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return _read(await self._get(query))
        except TimeoutError:
            return Silence(f"Prometheus did not answer within {self._answer_seconds:g} s")
        except (OSError, UnicodeError) as exc:
            return Silence(f"Prometheus cannot be reached: {_why(exc)}")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return Silence("what answers in place of Prometheus does not speak HTTP; check --prometheus-url")

    async def _get(self, query: str) -> _Response:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        try:
            target = f"{self._path}?{urlencode({'query': query})}"
            writer.write(f"GET {target} HTTP/1.1\r\n{self._head}\r\n".encode())
            return await _receive(reader)
        finally:
            _close(writer)


class _Response:
    """An answer as it comes; httptools calls it back."""

    def __init__(self) -> None:
        self.status = 0
        self.body = bytearray()
        self.is_complete = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_complete = True

    @property
    def is_too_large(self) -> bool:
        return len(self.body) > MAX_ANSWER_BYTES


async def _receive(reader: StreamReader) -> _Response:
    """Return the answer, read to its end or to the bound."""
    response = _Response()
    parser = httptools.HttpResponseParser(response)
    received = 0
    while not response.is_complete and not response.is_too_large:
        data = await reader.read(READ_BYTES)
        received += len(data)
        if not data or received > 2 * MAX_ANSWER_BYTES:
            break  # closed, or a head without end: what has come has to do
        parser.feed_data(data)
    response.status = parser.get_status_code() if received else 0
    return response


def _why(exc: OSError | UnicodeError) -> str:
    """Return what happened to a connection, without the address that the words of *exc* may hold."""
    if isinstance(exc, ssl.SSLError):
        return f"its certificate or its TLS is refused ({exc.reason})"
    if isinstance(exc, gaierror | UnicodeError):
        return "its name is not known"
    return os.strerror(exc.errno) if exc.errno else type(exc).__name__


def _close(writer: StreamWriter) -> None:
    """Close without waiting for the other side."""
    writer.transport.abort()


def _read(response: _Response) -> Answer | Silence:
    if not response.status:
        return Silence("Prometheus closed the connection without an answer")
    if response.is_too_large:
        return Silence(f"Prometheus answers more than {MAX_ANSWER_BYTES >> 20} MiB; aggregate in the query")
    try:
        data = json.loads(response.body)
        if data["status"] == "error":
            return Silence(f"Prometheus refuses the query: {_said(data['error'])}")
        return _result(data["data"]["resultType"], data["data"]["result"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Silence(f"Prometheus answers {response.status}, and nothing that a query evaluates to")


def _result(kind: str, result: Any) -> Answer | Silence:
    """Return the numbers of a result; of a histogram's sample there are none. Raises KeyError and the like."""
    if kind == "vector":
        return Answer(tuple(float(sample["value"][1]) for sample in result))
    if kind == "scalar":
        return Answer((float(result[1]),), is_vector=False)
    return Silence(f"the query evaluates to a {_said(kind)}; write one that evaluates to a vector or a scalar")


def _said(text: object) -> str:
    return "".join(each if each.isprintable() else " " for each in str(text))[:MAX_SAID]
