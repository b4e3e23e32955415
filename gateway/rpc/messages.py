"""The messages within a stream: a flag, a length, and so many bytes; packed where the flag says so.

Source: gRPC over HTTP/2, "Length-Prefixed-Message".
"""

from __future__ import annotations

import struct
from typing import Final

from gateway.serving.inflating import Inflater

PREFIX: Final = struct.Struct(">BL")

SMALL_PACKED_BYTES: Final = 4096
"""What is packed into so few bytes is unpacked on the loop: a thousandfold, it is 4 MiB and takes 4 ms."""


def prefixed(body: bytes) -> bytes:
    """Return a plain message as it goes over the wire."""
    return PREFIX.pack(0, len(body)) + body


class MessageReader:
    """Puts the messages of one stream together from pieces of any size."""

    __slots__ = ("_parts", "needed", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        """How many bytes are here that no message was made of yet."""
        self.needed = 0
        """How many bytes the message at hand has, with its prefix; 0 as long as its prefix is not here."""

    def take(self, piece: bytes) -> None:
        """Take what came next."""
        self._parts.append(piece)
        self.size += len(piece)
        if not self.needed and self.size >= PREFIX.size:
            self._look()

    def next(self) -> tuple[int, bytes] | None:
        """Return the flag and the bytes of the next message, None while it is not whole."""
        if not self.needed or self.size < self.needed:
            return None
        parts, needed = self._parts, self.needed
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        self.needed = 0
        self.size -= needed
        self._parts = [whole[needed:]] if self.size else []
        if self.size >= PREFIX.size:
            self._look()
        return whole[0], whole[PREFIX.size : needed]

    def _look(self) -> None:
        if len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]
        self.needed = PREFIX.size + int(PREFIX.unpack_from(self._parts[0])[1])


def unpacked(coding: bytes, packed: bytes, limit: int) -> bytes:
    """Return what a packed message holds, up to *limit* bytes. Raises RequestTooLarge, InvalidRequest."""
    inflater = Inflater(coding, limit)
    body = inflater.take(packed)
    inflater.end()
    return body
