"""gzip and deflate: request bodies inflated as they arrive, under the limit; answers compressed where that helps.

``deflate`` is the zlib container, as HTTP says and as clients send it; a bare deflate stream is refused.
A body has one coding: two of them are how bombs within bombs are built.

Source: RFC 9110, sections 8.4.1 and 12.5.3; RFC 1950; RFC 1952.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW_BITS: Final = {b"gzip": zlib.MAX_WBITS | 16, b"x-gzip": zlib.MAX_WBITS | 16, b"deflate": zlib.MAX_WBITS}
"""Content coding → how zlib is told of its container."""

MAX_MEMBERS: Final = 1024
"""How many gzip members a body may be made of; a million empty ones would cost seconds and inflate to nothing."""

WORTHWHILE_BYTES: Final = 1024
"""Shorter answers stay plain: they fit a packet, and most clients offer gzip without meaning anything by it."""

LEVEL: Final = 1
"""Tensors are nearly noise: higher levels take several times as long for a few percent."""

QUALITY: Final = re.compile(rb"\s*([!#$%&'*+.^_`|~0-9a-z-]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


def coding_of(declared: Sequence[bytes]) -> bytes | None:
    """Return the coding of a body whose content-encoding headers are *declared*, None where it is plain.

    Raises UnsupportedMediaType for more than one coding, or one that is not read here.
    """
    coding = b",".join(declared).strip().lower()
    if coding in {b"", b"identity"}:
        return None
    if coding not in WINDOW_BITS:
        raise UnsupportedMediaType("content-encoding: must be one of identity, gzip and deflate, once")
    return coding


class Inflater:
    """One compressed body. Holds no more than what was inflated from the piece at hand."""

    __slots__ = ("_left", "_limit", "_members", "_stream", "_wbits")

    def __init__(self, coding: bytes, limit: int) -> None:
        """*limit*: the most bytes that the whole body may inflate to."""
        self._wbits = WINDOW_BITS[coding]
        self._limit = self._left = limit
        self._stream = zlib.decompressobj(self._wbits)
        self._members = 1

    def take(self, piece: bytes) -> bytes:
        """Return what *piece* inflates to, stopping at the limit. Raises RequestTooLarge and InvalidRequest."""
        inflated: list[bytes] = []
        while piece:
            if self._stream.eof:
                self._next_member()
            try:
                part = self._stream.decompress(piece, self._left + 1)
            except zlib.error:
                raise _broken("it is not such a stream, its checksum is wrong, or something follows it") from None
            self._left -= len(part)
            if self._left < 0:
                raise RequestTooLarge(
                    f"the body inflates to over {self._limit} bytes; the operator can raise --max-body"
                )
            inflated.append(part)
            piece = self._stream.unused_data
        return b"".join(inflated)

    def end(self) -> None:
        """Check that the stream is whole. Raises InvalidRequest."""
        if not self._stream.eof:
            raise _broken("it was cut short")

    def _next_member(self) -> None:
        if self._wbits == WINDOW_BITS[b"deflate"]:
            raise _broken("something follows it")
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise RequestTooLarge(f"the body is made of more than {MAX_MEMBERS} gzip members; send it as one")
        self._stream = zlib.decompressobj(self._wbits)


def _broken(why: str) -> InvalidRequest:
    return InvalidRequest(f"the body is not what its content-encoding says: {why}", "invalid_encoding")


def accepted(offered: bytes) -> bytes | None:
    """Return the coding for an answer to a caller whose accept-encoding is *offered*, None for plain.

    The one with the highest weight that we write, gzip before deflate; plain where the caller ranks identity
    higher, or names neither. Members that cannot be read are skipped.
    """
    weights: dict[bytes, float] = {}
    for member in offered.lower().split(b","):
        if (match := QUALITY.fullmatch(member)) is not None:
            weights[match[1]] = float(match[2] or 1)
    anything = weights.get(b"*", 0.0)
    best = max((b"gzip", b"deflate"), key=lambda coding: weights.get(coding, anything))
    weight = weights.get(best, anything)
    return best if weight > 0 and weight >= weights.get(b"identity", 0.0) else None


def compressed(body: bytes, offered: bytes) -> tuple[bytes, bytes | None]:
    """Return *body* and its coding, None where it stays plain: not wanted, or not worth it."""
    coding = accepted(offered) if len(body) >= WORTHWHILE_BYTES else None
    if coding is None:
        return body, None
    return zlib.compress(body, LEVEL, WINDOW_BITS[coding]), coding
