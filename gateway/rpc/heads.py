"""The headers of a call: what a caller's say, and ours as they go over the wire.

A caller's are decompressed by ``hpack``. Ours are literals that enter no table: a connection keeps no state for
them, and whatever size of table the caller asks for is kept.

Sources: RFC 7541; RFC 9113, sections 8.2 and 8.3; gRPC over HTTP/2, "Requests" and "Responses".
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from hpack import Decoder, HPACKError, OversizedHeaderListError

from gateway.rpc.frames import Code, ConnectionFault
from gateway.rpc.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
VALUE: Final = re.compile(rb"[^\x00\r\n]*")
CONTENT_TYPE: Final = re.compile(rb"application/grpc(\+proto)?\s*(;.*)?")
CODINGS: Final = (b"identity", b"gzip", b"deflate")

PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
NEEDED: Final = frozenset({b":method", b":scheme", b":path"})
OF_ONE_HOP: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
NOT_METADATA: Final = frozenset({b"te", b"content-type", b"content-length"})

SIZE_UPDATE: Final = 0x20
MOST_SIZE_UPDATES: Final = 2
"""In front of one block: the least size since the last one, and the size that holds."""

MOST_TEXT: Final = 500
"""Characters of an error's text: callers take 8 KiB of headers, and a text may repeat what they made up."""

REMEMBERED: Final = 64
"""How many different blocks a connection remembers with what they say."""


class Malformed(Exception):
    """This is no request of HTTP/2; its stream is reset."""


class Refused(Exception):
    """A request that is answered without being looked at further: by an HTTP status, or by one of gRPC."""

    def __init__(self, why: str, *, http: int = 200, status: Status = Status.UNIMPLEMENTED) -> None:
        super().__init__(why)
        self.http = http
        self.status = status


class Head:
    """What the headers of one request say. *timeout* is in seconds, None where the caller waits for ever."""

    __slots__ = ("coding", "metadata", "path", "refused", "timeout")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]], most: int) -> None:
        """*most*: how many headers there may be. Raises Malformed."""
        found = _checked(headers)
        self.path = found[b":path"]
        self.refused: Refused | None = None
        self.metadata: list[tuple[str, bytes]] = []
        self.timeout: float | None = None
        self.coding = found.get(b"grpc-encoding", b"identity")
        try:
            if len(headers) > most:
                raise Refused(f"there are more than {most} headers", status=Status.RESOURCE_EXHAUSTED)
            _check_kind(found)
            self.timeout = _timeout(found.get(b"grpc-timeout"))
            self.metadata = _metadata(headers)
        except Refused as refused:
            self.refused = refused


class HeadReader:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self, most: int, most_bytes: int) -> None:
        """*most* headers, of so many bytes together, each counted with 32 more as HTTP/2 does."""
        self._decoder = Decoder(most_bytes)
        self._most = most
        self._known: dict[bytes, Head] = {}
        """Block → what it says. Of blocks that are indices throughout, as long as the table stays as it is."""

    def read(self, block: bytes) -> Head:
        """Return what a request's block says. Raises Malformed, ConnectionFault."""
        known = self._known.get(block)
        if known is not None:
            return known
        head = Head(self.decode(block), self._most)
        if min(block) & 0x80 and len(self._known) < REMEMBERED:
            self._known[block] = head
        return head

    def decode(self, block: bytes) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers of a block. Raises ConnectionFault: without this block the next cannot be read."""
        if not block:
            return []
        if not min(block) & 0x80:
            self._known.clear()
        if len(block) > MOST_SIZE_UPDATES and all(
            each & 0xE0 == SIZE_UPDATE for each in block[: MOST_SIZE_UPDATES + 1]
        ):
            raise ConnectionFault(Code.COMPRESSION_ERROR, "the size of the table changes more than twice at once")
        try:
            return list(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "the headers are too large (--limits head-bytes)") from None
        except HPACKError:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "the headers cannot be decompressed") from None


def _checked(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return name → value, of repeated ones the last. Raises Malformed."""
    found: dict[bytes, bytes] = {}
    pseudo = 0
    for position, (name, value) in enumerate(headers):
        if name[:1] == b":":
            pseudo += 1
            if name not in PSEUDO or name in found or pseudo != position + 1:
                raise Malformed(f"the pseudo-header {name!r} is unknown, repeated, or behind a header")
        elif not NAME.fullmatch(name) or name in OF_ONE_HOP:
            raise Malformed(f"{name!r} is no name of a header here")
        if not VALUE.fullmatch(value):
            raise Malformed(f"{name!r} has a line break or a zero in its value")
        found[name] = value
    if not found.keys() >= NEEDED:
        raise Malformed("a pseudo-header is missing")
    if found.get(b"te", b"trailers") != b"trailers":
        raise Malformed("te says other than trailers")
    return found


def _check_kind(found: dict[bytes, bytes]) -> None:
    if found[b":method"] != b"POST":
        raise Refused("gRPC is asked with POST", http=405)
    if not CONTENT_TYPE.fullmatch(found.get(b"content-type", b"")):
        raise Refused("the content type is not application/grpc", http=415)
    if found.get(b"grpc-encoding", b"identity") not in CODINGS:
        raise Refused("grpc-encoding: must be one of identity, gzip and deflate")


def _timeout(text: bytes | None) -> float | None:
    if text is None:
        return None
    match = TIMEOUT.fullmatch(text)
    if match is None:
        raise Refused("grpc-timeout is not up to eight digits and a unit", status=Status.INVALID_ARGUMENT)
    return int(match[1]) * UNITS[match[2]]


def _metadata(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, bytes]]:
    """Return what the caller said beside the protocol's own headers; a name in ``-bin`` holds base64."""
    metadata = []
    for name, value in headers:
        if name[:1] == b":" or name in NOT_METADATA or name.startswith(b"grpc-"):
            continue
        if name.endswith(b"-bin"):
            metadata += [(name.decode(), _unpacked(name, each)) for each in value.split(b",")]
        else:
            metadata.append((name.decode(), value))
    return metadata


def _unpacked(name: bytes, value: bytes) -> bytes:
    try:
        return base64.b64decode(value.strip() + b"=" * (-len(value.strip()) % 4), validate=True)
    except binascii.Error:
        raise Refused(f"{name.decode()} is not base64", status=Status.INVALID_ARGUMENT) from None


# ---- ours


def literal(name: bytes, value: bytes) -> bytes:
    """Return one header as a literal that enters no table."""
    return b"\0" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    """Return a length with a prefix of seven bits, and the text as it is (RFC 7541, 5.1 and 5.2)."""
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    length -= 127
    head = bytearray(b"\x7f")
    while length > 127:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + text


BEGIN: Final = b"\x88" + literal(b"content-type", b"application/grpc")
""":status 200, which has a number of its own, and the content type: how every answer of gRPC begins."""

ACCEPTS: Final = literal(b"grpc-accept-encoding", b", ".join(CODINGS))


@lru_cache(1024)
def literals(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return headers as literals; those of a route's arms are the same for every call."""
    return b"".join(literal(*each) for each in headers)


def trailers(status: Status, text: str) -> bytes:
    """Return what ends an answer."""
    return literal(b"grpc-status", b"%d" % status) + literal(b"grpc-message", percent_encoded(text[:MOST_TEXT]))


DONE: Final = literal(b"grpc-status", b"0")
"""What ends an answer that is one."""


def percent_encoded(text: str) -> bytes:
    """Return a text as ``grpc-message`` carries it: what is not printable ASCII, and the percent sign, as %XX."""
    return b"".join(
        b"%c" % each if 0x20 <= each <= 0x7E and each != 0x25 else b"%%%02X" % each for each in text.encode()
    )


def http_status(refused: Refused) -> bytes:
    """Return the headers of an answer that is none of gRPC's."""
    allow = literal(b"allow", b"POST") if refused.http == 405 else b""
    return literal(b":status", b"%d" % refused.http) + allow
