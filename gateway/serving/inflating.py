"""gzip and deflate: bodies inflated piece by piece, under a limit, whatever protocol they came by.

``deflate`` is the zlib container, as HTTP says and as clients send it; a bare deflate stream is refused.

Source: RFC 9110, section 8.4.1; RFC 1950; RFC 1952.
"""

from __future__ import annotations

import zlib
from typing import Final

from gateway.core.errors import InvalidRequest, RequestTooLarge

WINDOW_BITS: Final = {b"gzip": zlib.MAX_WBITS | 16, b"x-gzip": zlib.MAX_WBITS | 16, b"deflate": zlib.MAX_WBITS}
"""Content coding → how zlib is told of its container."""

MAX_MEMBERS: Final = 1024
"""How many gzip members a body may be made of; a million empty ones would cost seconds and inflate to nothing."""


class Inflater:
    """One compressed body. Holds no more than what was inflated from the piece at hand."""

    __slots__ = ("_left", "_limit", "_members", "_stream", "_wbits")

    def __init__(self, coding: bytes, limit: int) -> None:
        """*limit*: the most bytes that the whole body may inflate to."""
        self._wbits = WINDOW_BITS[coding]
        self._limit = self._left = limit
        self._stream = zlib.decompressobj(self._wbits)
        self._members = 1

    @property
    def inflated(self) -> int:
        """How many bytes came out so far."""
        return self._limit - self._left

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
