"""A caller's bytes taken apart: the preface, whole frames of the right size and place, whole blocks of headers.

What a frame means is the connection's. Whoever sends what could not be framed is told so, and the connection ends.

Source: RFC 9113, sections 3.4, 4.1, 4.3, 5.1.1 and 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.rpc import frames
from gateway.rpc.frames import ACK, END_HEADERS, LARGEST, PREFACE, Code, ConnectionFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST_FRAGMENTS: Final = 32
"""Frames of one block of headers (CVE-2024-27316)."""

SIZES: Final[Mapping[int, int]] = {
    frames.PRIORITY: 5, frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4,
}  # fmt: skip
"""Kind of frame → the bytes that it has."""

OF_STREAMS: Final = frozenset({frames.DATA, frames.HEADERS, frames.PRIORITY, frames.RST_STREAM, frames.CONTINUATION})
OF_THE_CONNECTION: Final = frozenset({frames.SETTINGS, frames.PING, frames.GOAWAY})


class FrameReader:
    """Reads what one caller sends."""

    def __init__(self, take: Callable[[int, int, int, bytes], None], most_bytes: int) -> None:
        """*take* is given kind, flags, stream and payload, a block of headers as one; *most_bytes* bounds a block."""
        self._take = take
        self._most_bytes = most_bytes
        self._rest = b""
        self._is_greeted = False
        self._block: list[bytes] = []
        self._block_of = (0, 0)
        self.is_settled = False
        """The caller's first settings are here."""
        self.is_over = False
        """Nothing more is to be read."""

    @property
    def is_within_block(self) -> bool:
        """Whether a block of headers is here in part."""
        return bool(self._block)

    def close(self) -> None:
        """Read no more."""
        self.is_over = True
        self._rest, self._block = b"", []

    def feed(self, data: bytes) -> None:
        """Take what came. Raises ConnectionFault."""
        buffer = self._rest + data if self._rest else data
        position, end = 0 if self._is_greeted else self._greet(buffer), len(buffer)
        while position + frames.HEAD_BYTES <= end and self._is_greeted and not self.is_over:
            high, low, kind, flags, number = frames.HEAD.unpack_from(buffer, position)
            length = high << 8 | low
            if length > frames.DEFAULT_FRAME:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of over {frames.DEFAULT_FRAME} bytes")
            start = position + frames.HEAD_BYTES
            if start + length > end:
                break
            position = start + length
            self._check(kind, flags, number & LARGEST, length)
            self._frame(kind, flags, number & LARGEST, buffer[start:position])
        self._rest = b"" if self.is_over else buffer[position:]

    def _greet(self, buffer: bytes) -> int:
        """Return where the frames begin, once the preface is whole."""
        if not PREFACE.startswith(buffer[: len(PREFACE)]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "this port speaks gRPC, over HTTP/2 without TLS")
        if len(buffer) < len(PREFACE):
            return 0
        self._is_greeted = True
        return len(PREFACE)

    def _check(self, kind: int, flags: int, number: int, length: int) -> None:
        if not self.is_settled:
            if kind != frames.SETTINGS or flags & ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self.is_settled = True
        if self._block and (kind != frames.CONTINUATION or number != self._block_of[0]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a block of headers is interrupted by another frame")
        if kind in OF_THE_CONNECTION if number else kind in OF_STREAMS:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"a frame of kind {kind} on stream {number}")
        if length != SIZES.get(kind, length):
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of kind {kind} has {length} bytes")

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == frames.HEADERS:
            block = _without_priority(flags, frames.without_padding(flags, payload))
            if flags & END_HEADERS:
                self._take(kind, flags, number, block)
            else:
                self._block, self._block_of = [block], (number, flags)
        elif kind == frames.CONTINUATION:
            self._go_on(flags, number, payload)
        else:
            self._take(kind, flags, number, payload)

    def _go_on(self, flags: int, number: int, payload: bytes) -> None:
        block = self._block
        if not block:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION of nothing")
        block.append(payload)
        if len(block) > MOST_FRAGMENTS or sum(map(len, block)) > self._most_bytes:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "the headers are too large (--limits head-bytes)")
        if flags & END_HEADERS:
            self._block = []
            self._take(frames.HEADERS, self._block_of[1], number, b"".join(block))


def _without_priority(flags: int, payload: bytes) -> bytes:
    if not flags & frames.WITH_PRIORITY:
        return payload
    if len(payload) < 5:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS too short for their priority")
    return payload[5:]
