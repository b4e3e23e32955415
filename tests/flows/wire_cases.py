"""Hostile bytes and what they get: one table for the connection, one for paths and headers.

Every text is what a client sends, in latin-1; the body in it is valid, so that a lenient server would say 200.
In a text ``INFER`` is the inference path, ``BODY`` the valid body, ``LEN`` its length, ``HEX`` that in hexadecimal,
``WRAP`` 2^64 more.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any, Final

CLOSED: Final = 0
"""The connection ends without an answer."""

INFER: Final = "/v2/models/fp32/infer"
BODY: Final = json.dumps({"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]})
START: Final = "POST INFER HTTP/1.1\r\nHost: gateway\r\n"
SIZED: Final = "Content-Length: LEN\r\n\r\nBODY"
CHUNKED: Final = "HEX\r\nBODY\r\n0\r\n\r\n"
SMUGGLED: Final = "GET /v2/models/SMUGGLED/ready HTTP/1.1\r\nHost: gateway\r\n\r\n"
BEHIND: Final = CHUNKED + SMUGGLED


def head(text: str) -> str:
    """Return an inference request whose headers after Host, and whose body, are *text*."""
    return START + text


def header(line: str) -> str:
    """Return the valid request with one more header line."""
    return head(f"{line}\r\n{SIZED}")


def chunked(text: str) -> str:
    """Return an inference request whose body comes in chunks; *text* is what follows its head."""
    return head("Transfer-Encoding: chunked\r\n\r\n" + text)


def get(path: str) -> str:
    """Return a request for *path*."""
    return f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n"


def post(path: str) -> str:
    """Return the valid request to another path."""
    return f"POST {path} HTTP/1.1\r\nHost: gateway\r\n{SIZED}"


def model(name: str) -> str:
    """Return the valid request to the model *name*, as it is written in a path."""
    return post(f"/v2/models/{name}/infer")


def filled(text: str, body: str = BODY) -> bytes:
    """Return the bytes of a text with *body* in it."""
    words = {
        "INFER": INFER,
        "LEN": str(len(body)),
        "HEX": f"{len(body):x}",
        "WRAP": str(2**64 + len(body)),
        "BODY": body,
    }
    for word, value in words.items():
        text = text.replace(word, value)
    return text.encode("latin-1")


def _chunks(count: int) -> str:
    return "1\r\n \r\n" * count


CONNECTION: Final[dict[str, tuple[Any, str]]] = {
    "B1 nothing": (CLOSED, ""),
    "B2 half a request line": (408, "POST /v2/mod"),
    "B2 line breaks only": (CLOSED, "\r\n\r\n"),
    "B4 half the body": (408, head("Content-Length: LEN\r\n\r\n{")),
    "B4 half a body that is read late": (408, post("/v2/repository/index?a=b").replace("LEN", "9999")),
    "B4 half a body that nobody reads": (200, get("/v2/health/live")[:-2] + "Content-Length: 9999\r\n\r\n{"),
    "B6 header of 33 KiB": (431, header("X-A: " + "a" * 33 * 1024)),
    "B7 header of 20 MB": (431, header("X-A: " + "a" * 20_000_000)),
    "B8 101 headers": (431, head("".join(f"X-{n}: a\r\n" for n in range(99)) + SIZED)),
    "B8 100 headers": (200, head("".join(f"X-{n}: a\r\n" for n in range(98)) + SIZED)),
    "B8 20000 headers": (431, head("".join(f"X-{n}: a\r\n" for n in range(20_000)) + SIZED)),
    "B9 URL of 8 KiB and 1": (414, post("INFER?" + "a" * (8 * 1024 - len(INFER)))),
    "B9 URL of 8 KiB": (200, post("INFER?" + "a" * (8 * 1024 - len(INFER) - 1))),
    "B9 URL of 1 MB": (414, post("INFER?" + "a" * 1_000_000)),
    "B10 length over the cap": (413, head("Content-Length: 8388609\r\n\r\n")),
    "B11 chunks over the cap": (413, chunked(("100000\r\n" + " " * 2**20 + "\r\n") * 9)),
    "B12 70000 chunks": (413, chunked(_chunks(70_000) + "0\r\n\r\n")),
    "B12 trailers without end": (431, chunked("HEX\r\nBODY\r\n0\r\nX-A: " + "a" * 2_000_000)),
    "B12 too many trailers": (431, chunked(_chunks(1) + "0\r\n" + "X: a\r\n" * 200_000)),
    "B13 length that lies": (413, head("Content-Length: 99999999999\r\n\r\nBODY")),
    "B14 length of 2^64 and more": (400, head("Content-Length: WRAP\r\n\r\nBODY")),
    "B15 length, then chunked": (400, head("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + BEHIND)),
    "B16 chunked, then length": (400, head("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + BEHIND)),
    "B17 same length twice": (400, head("Content-Length: LEN\r\n" + SIZED)),
    "B17 two lengths": (400, head("Content-Length: LEN\r\nContent-Length: 3\r\n\r\nBODY")),
    "B18 a list of lengths": (400, head("Content-Length: LEN, LEN\r\n\r\nBODY")),
    "B19 plus": (400, head("Content-Length: +LEN\r\n\r\nBODY")),
    "B19 minus": (400, head("Content-Length: -1\r\n\r\nBODY")),
    "B19 hexadecimal": (400, head("Content-Length: 0xHEX\r\n\r\nBODY")),
    "B19 exponent": (400, head("Content-Length: 1e3\r\n\r\nBODY")),
    "B19 empty": (400, head("Content-Length: \r\n\r\nBODY")),
    "B20 unknown coding": (400, head("Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED)),
    "B20 chunked not last": (400, head("Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED)),
    "B20 chunked over the older protocol": (
        400, "POST INFER HTTP/1.0\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    ),
    "B21 gzip and chunked": (400, head("Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED)),
    "B22 space before the colon": (400, head("Transfer-Encoding : chunked\r\n\r\n" + CHUNKED)),
    "B23 chunk size of letters": (400, chunked("ZZ\r\nBODY\r\n0\r\n\r\n")),
    "B23 negative chunk size": (400, chunked("-2\r\nBODY\r\n0\r\n\r\n")),
    "B23 chunk size that wraps": (400, chunked("FFFFFFFFFFFFFFFFF\r\nBODY\r\n0\r\n\r\n")),
    "B23 spaces after the chunk size": (400, chunked("HEX  \r\nBODY\r\n0\r\n\r\n")),
    "B24 line feeds in the body": (400, chunked("HEX\nBODY\n0\n\n")),
    "B24 line feeds everywhere": (400, "POST INFER HTTP/1.1\nHost: gateway\nContent-Length: LEN\n\nBODY"),
    "B25 folded header": (400, header("X-A: a\r\n b")),
    "B25 NUL in a header": (400, header("X-A: a\0b")),
    "B25 CR in a header": (400, header("X-A: a\rb")),
    "B26 HTTP/0.9": (505, "GET /v2/health/live\r\n\r\n"),
    "B26 HTTP/3.7": (400, f"POST INFER HTTP/3.7\r\nHost: gateway\r\n{SIZED}"),
    "B26 HTTP/2.0": (505, f"POST INFER HTTP/2.0\r\nHost: gateway\r\n{SIZED}"),
    "B26 preface of HTTP/2": (400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "B26 TLS": (400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "B27 h2c": (400, header("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")),
    "B27 websocket": (400, header("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13")),
    "B28 no Host": (400, f"POST INFER HTTP/1.1\r\n{SIZED}"),
    "B28 two Hosts": (400, f"POST INFER HTTP/1.1\r\nHost: a\r\nHost: b\r\n{SIZED}"),
    "B28 no Host over the older protocol": (200, f"POST INFER HTTP/1.0\r\n{SIZED}"),
    "B29 path in Host": (400, f"POST INFER HTTP/1.1\r\nHost: a/../admin?\r\n{SIZED}"),
    "B29 fragment in Host": (400, f"POST INFER HTTP/1.1\r\nHost: a#b\r\n{SIZED}"),
    "B29 half an address": (400, f"POST INFER HTTP/1.1\r\nHost: [::\r\n{SIZED}"),
    "B29 space in Host": (400, f"POST INFER HTTP/1.1\r\nHost: a b\r\n{SIZED}"),
    "B29 an IPv6 address": (200, f"POST INFER HTTP/1.1\r\nHost: [::1]:8080\r\n{SIZED}"),
    "B30 another host's URL": (400, post("http://elsewhereINFER")),
    "B30 our own URL": (200, post("http://gatewayINFER")),
    "B31 unknown expectation": (417, header("Expect: foo")),
    "B31 100-continue": (100, header("Expect: 100-continue")),
    "B33 GET": (405, get("INFER")),
    "B33 PUT": (405, post("INFER").replace("POST", "PUT")),
    "B33 DELETE": (405, get("INFER").replace("GET", "DELETE")),
    "B33 TRACE": (405, get("INFER").replace("GET", "TRACE")),
    "B33 FOO": (400, get("INFER").replace("GET", "FOO")),
    "B34 HEAD": (405, "HEAD INFER HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"),
    "B34 OPTIONS": (405, get("INFER").replace("GET", "OPTIONS")),
    "B34 OPTIONS for all": (400, get("*").replace("GET", "OPTIONS")),
    "B36 CONNECT": (400, "CONNECT gateway:1 HTTP/1.1\r\nHost: gateway\r\n\r\n"),
}  # fmt: skip

PATHS_AND_HEADERS: Final[dict[str, tuple[Any, str]]] = {
    "B39 dots": (404, model("..")),
    "B39 encoded dots": (404, model("%2e%2e")),
    "B40 encoded path": (404, model("%2e%2e%2f%2e%2e%2fetc%2fpasswd")),
    "B40 backslashes": (404, model("..%5c..%5cetc")),
    "B40 encoded twice": (404, model("%252e%252e%252fetc")),
    "B41 NUL": (404, model("a%00b")),
    "B41 line break": (404, model("a%0d%0aX-Evil:1")),
    "B41 escape": (404, model("%1b[31m")),
    "B42 not UTF-8": (404, model("a%ffb")),
    "B42 raw bytes": (400, model("\xc3\xa4")),
    "B43 63 characters": (404, model("a" * 63)),
    "B43 64 characters": (404, model("a" * 64)),
    "B43 10000 characters": (414, model("a" * 10_000)),
    "B44 absent": (404, model("")),
    "B44 space": (404, model("%20")),
    "B44 tab": (404, model("%09")),
    "B44 dot": (404, model(".")),
    "B45 parameter": (404, model("fp32;x=1")),
    "B45 query": (405, model("fp32?x")),
    "B45 fragment": ((400, 404, 405), model("fp32#f")),
    "B45 slash behind": (404, post("INFER/")),
    "B45 slashes before": (404, model("/fp32")),
    "B46 upper case": (404, model("FP32")),
    "B46 look-alike": (404, model("f%D1%8032")),
    "B46 decomposed": (404, model("fp3%CC%882")),
    **{
        f"B47 {text}": (404, post(f"/v2/models/fp32/versions/{text}/infer"))
        for text in ("0", "-1", "01", "1.0", "1e3", "latest", "9223372036854775808")
    },
    "B49 pinned": (200, post("/v2/models/fp32/versions/1/infer")),
    "B50 JSON": (200, header("Content-Type: application/json")),
    "B50 UTF-8": (200, header("Content-Type: application/json; charset=UTF-8")),
    "B50 octets": (200, header("Content-Type: application/octet-stream")),
    "B50 form": (200, header("Content-Type: application/x-www-form-urlencoded")),
    "B50 text": (415, header("Content-Type: text/plain")),
    "B50 UTF-16": (415, header("Content-Type: application/json; charset=utf-16")),
    "B50 parts": (415, header("Content-Type: multipart/form-data; boundary=x")),
    "B51 two": (400, header("Content-Type: application/json\r\nContent-Type: text/plain")),
    "B51 4 KiB": (400, header("Content-Type: application/json; a=" + "b" * 4096)),
    "B52 identity": (200, header("Content-Encoding: identity")),
    "B52 unknown": (415, header("Content-Encoding: br")),
    "B54 Accept": (200, header("Accept: image/png")),
    "B55 10 KiB": (400, header("x-user-id: " + "a" * 10_240)),
    "B55 twice": (400, header("x-user-id: a\r\nx-user-id: b")),
    "B55 not UTF-8": (200, header("x-user-id: \xff\xfe")),
    "B55 empty": (200, header("x-user-id:")),
    "B56 version": (200, header("x-gateway-version: 2")),
    "B56 fallback": (200, header("x-gateway-fallback-from: 2")),
    "B57 encoded line break": (200, header("x-request-id: a%0d%0ab")),
    "B57 tab": (200, header("x-request-id: a\tb")),
    "B57 129 characters": (200, header("x-request-id: " + "a" * 129)),
    "B57 emoji": (200, header("x-request-id: \xf0\x9f\x98\x80")),
    "B57 line break": (400, header("x-request-id: a\rb")),
    "B57 1 MB": (431, header("x-request-id: " + "a" * 1_000_000)),
    **{f"B58 {text}": (400, header(f"x-request-timeout-ms: {text}")) for text in ("0", "-1", "NaN", "1e99", "5m")},
    "B58 two": (400, header("x-request-timeout-ms: 5\r\nx-request-timeout-ms: 500")),
    "B60 short": (200, header("traceparent: zz")),
    "B60 malformed": (200, header("traceparent: 00-0-0-0")),
}


def _bomb(wbits: int) -> bytes:
    """Return 6 GB of blanks, compressed to 6 MB: one flushed block, as often as it takes."""
    stream = zlib.compressobj(9, zlib.DEFLATED, wbits)
    begin = stream.compress(b" " * 1024) + stream.flush(zlib.Z_FULL_FLUSH)
    block = stream.compress(b" " * (16 << 20)) + stream.flush(zlib.Z_FULL_FLUSH)
    return begin + block * 384


def _bare_deflate(text: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(text) + stream.flush()


PLAIN: Final = BODY.encode()

COMPRESSED: Final[dict[str, tuple[int, str, bytes]]] = {
    "B52 gzip": (200, "gzip", gzip.compress(PLAIN)),
    "B52 deflate": (200, "deflate", zlib.compress(PLAIN)),
    "B52 deflate without its container": (400, "deflate", _bare_deflate(PLAIN)),
    "B52 br": (415, "br", PLAIN),
    "B52 zstd": (415, "zstd", PLAIN),
    "B52 gzip twice": (415, "gzip, gzip", gzip.compress(gzip.compress(PLAIN))),
    "B52 plain that says gzip": (400, "gzip", PLAIN),
    "B52 cut short": (400, "gzip", gzip.compress(PLAIN)[:-9]),
    "B52 bad checksum": (400, "gzip", gzip.compress(PLAIN)[:-8] + b"12345678"),
    "B52 something behind": (400, "deflate", zlib.compress(PLAIN) + b"x"),
    "B53 gzip bomb": (413, "gzip", _bomb(zlib.MAX_WBITS | 16)),
    "B53 deflate bomb": (413, "deflate", _bomb(zlib.MAX_WBITS)),
    "B53 bomb of many members": (413, "gzip", gzip.compress(b" " * (1 << 20)) * 7_000),
    "B53 a million empty members": (413, "gzip", gzip.compress(b"") * 400_000),
}
"""Expected status, coding and bytes. 8 MiB is what a body may be, before and after."""

assert all(len(sent) < 8 << 20 for _, _, sent in COMPRESSED.values()), "refused for its length, a bomb proves nothing"
