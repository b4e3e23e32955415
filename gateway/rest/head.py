"""The head of a request: what it may hold, and how much. Pure, but for what the parser is asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import httptools
import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.limits import Limits

    Headers = Sequence[tuple[bytes, bytes]]

SLASH: Final = ord("/")

HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
"""RFC 3986, section 3.2.2, and a port."""

ODD: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
"""Headers that make a head worth a closer look."""

ONCE: Final = (b"host", b"content-type", b"content-length", b"transfer-encoding", b"expect", b"x-request-timeout-ms")
"""What a request may say once: of two, a proxy and we might each believe another."""


class Refused(Exception):
    """A caller is refused before its request is one."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.reason = reason

    def answer(self, status_line: bytes, defaults: Headers, request_id: str) -> bytes:
        """Return the whole answer; *defaults* are the headers that every answer has, *request_id* may be empty."""
        named = {"request_id": request_id} if request_id else {}
        body = orjson.dumps({"error": self.reason, "code": self.code, **named})
        headers = [*defaults, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if request_id:
            headers.append((b"x-request-id", request_id.encode()))
        if self.status == 503:
            headers.append((b"retry-after", b"1"))
        headers.append((b"connection", b"close"))
        return status_line + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n" + body


def check_size(url: bytes, headers: Headers, limits: Limits, unseen: int = 0) -> None:
    """Refuse a head over its size. *unseen*: bytes that came and are not yet in *headers*. Raises Refused."""
    if len(url) > limits.url_bytes:
        raise Refused(414, "url_too_long", f"the URL is over {limits.url_bytes} bytes")
    if len(headers) > limits.headers:
        raise Refused(431, "too_many_headers", f"there are more than {limits.headers} headers")
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    if max(size, unseen) > limits.head_bytes:
        raise Refused(431, "headers_too_large", f"the headers are over {limits.head_bytes} bytes")


def check(parser: Any, url: bytes, headers: Headers, found: dict[bytes, bytes]) -> None:
    """Refuse a head that a proxy before us might read otherwise than we do; *found* is *headers* without repetitions.

    Raises Refused.
    """
    check_version(parser)
    names = [name for name, _ in headers]
    for name in ONCE:
        if names.count(name) > 1:
            raise Refused(400, "repeated_header", f"{name.decode()}: must be given once")
    is_older = parser.get_http_version() == "1.0"
    host = found.get(b"host")
    if host is None and not is_older:
        raise Refused(400, "missing_host", "Host: is missing; HTTP/1.1 requires it")
    if host is not None and HOST.fullmatch(host) is None:
        raise Refused(400, "invalid_host", "Host: must be the name of a host, and at most a port")
    coding = found.get(b"transfer-encoding")
    if coding is not None and (coding.strip().lower() != b"chunked" or is_older):
        raise Refused(400, "invalid_framing", "Transfer-Encoding: must be chunked alone, over HTTP/1.1")
    if b"expect" in found and found[b"expect"].lower() != b"100-continue":
        raise Refused(417, "unknown_expectation", "Expect: must be 100-continue")
    if parser.should_upgrade():
        raise Refused(400, "no_upgrade", "Upgrade and CONNECT: this port speaks HTTP/1.1 only")
    if url[0] != SLASH:
        _check_absolute(url, host)


def check_version(parser: Any) -> None:
    """Refuse a protocol that only looks like ours; the parser lets 0.9 and 2.0 by."""
    if parser.get_http_version() not in ("1.1", "1.0"):
        raise Refused(505, "unknown_http", "this port speaks HTTP/1.1 and HTTP/1.0")


def _check_absolute(url: bytes, host: bytes | None) -> None:
    """Refuse a URL that is not a path of this host: no proxy is here."""
    try:
        parsed: Any = httptools.parse_url(url)  # its stub says that there always is a port
    except httptools.HttpParserInvalidURLError:
        raise Refused(400, "invalid_url", "the URL must be a path") from None
    named = (parsed.host or b"") + (b"" if parsed.port is None else b":%d" % parsed.port)
    if parsed.schema not in (b"http", b"https") or named.lower() != (host or b"").lower():
        raise Refused(400, "invalid_url", "the URL must be a path, or one of the host that Host names")
