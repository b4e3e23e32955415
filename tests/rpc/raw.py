"""A caller that writes HTTP/2 frame by frame, as no library would, and reads what comes back."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hpack import Decoder, Encoder

from gateway.rpc import frames
from gateway.rpc.frames import END_HEADERS, END_STREAM, PREFACE, Code, frame
from gateway.rpc.messages import prefixed

if TYPE_CHECKING:
    from collections.abc import Sequence

INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
SETTINGS: Final = frame(frames.SETTINGS, 0, 0, b"")


@dataclass(frozen=True)
class Frame:
    """One that the door sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.encoder = Encoder()
        self._decoder = Decoder()
        self._next = 1
        self.seen: list[Frame] = []

    @classmethod
    async def connect(cls, port: int, *, greet: bool = True) -> Raw:
        """Return a connection, with the preface and empty settings sent unless it is not to *greet*."""
        raw = cls(*await asyncio.open_connection("127.0.0.1", port))
        if greet:
            raw.writer.write(PREFACE + SETTINGS)
        return raw

    def close(self) -> None:
        self.writer.close()

    # ---- sending

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    def head(self, *more: tuple[str, str], **instead: str | None) -> bytes:
        """Return the block of a request's headers; *instead* replaces those it names (``te``, ``path``)."""
        usual = {
            "method": "POST",
            "scheme": "http",
            "path": INFER,
            "te": "trailers",
            "content_type": "application/grpc",
        }
        names = {"method": ":method", "scheme": ":scheme", "path": ":path", "content_type": "content-type"}
        wanted = {**usual, **instead}
        headers = [(names.get(name, name), value) for name, value in wanted.items() if value is not None]
        block: bytes = self.encoder.encode([*headers, *more])
        return block

    def begin(self, block: bytes | None = None, flags: int = END_HEADERS) -> int:
        """Send HEADERS on a new stream; return its number."""
        number, self._next = self._next, self._next + 2
        self.send(frame(frames.HEADERS, flags, number, self.head() if block is None else block))
        return number

    def data(self, number: int, payload: bytes, *, ends: bool = True) -> None:
        self.send(frame(frames.DATA, END_STREAM if ends else 0, number, payload))

    def call(self, body: bytes, block: bytes | None = None) -> int:
        """Send a whole call; return its stream."""
        number = self.begin(block)
        self.data(number, prefixed(body))
        return number

    # ---- reading

    async def read(self, seconds: float = 10) -> Frame:
        """Return the next frame. Raises IncompleteReadError at the end of the connection."""
        async with asyncio.timeout(seconds):
            high, low, kind, flags, number = frames.HEAD.unpack(await self._reader.readexactly(9))
            found = Frame(kind, flags, number, await self._reader.readexactly(high << 8 | low))
        self.seen.append(found)
        return found

    async def until(self, kind: int, *, stream: int | None = None, flags: int = 0) -> Frame:
        """Return the next frame of a kind, with *flags* at least."""
        while True:
            found = await self.read()
            if found.kind == kind and stream in (None, found.stream) and found.flags & flags == flags:
                return found

    async def ended(self) -> tuple[Code | None, str]:
        """Read to the end of the connection; return what the last GOAWAY said, None where there was none."""
        said: tuple[Code | None, str] = (None, "")
        try:
            while True:
                found = await self.read()
                if found.kind == frames.GOAWAY:
                    said = Code(frames.LAST_AND_CODE.unpack(found.payload[:8])[1]), found.payload[8:].decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return said

    async def was_reset(self, stream: int) -> Code:
        """Return why the door reset a stream."""
        found = await self.until(frames.RST_STREAM, stream=stream)
        return Code(struct.unpack(">L", found.payload)[0])

    async def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """Return the headers and trailers of an answer, and its DATA."""
        headers: dict[str, str] = {}
        body = b""
        while True:
            found = await self.read()
            if found.kind == frames.HEADERS:
                said: Sequence[Any] = list(self._decoder.decode(found.payload))
                if found.stream == stream:
                    headers.update(said)
            elif found.kind == frames.DATA and found.stream == stream:
                body += found.payload
            if found.stream == stream and found.kind in (frames.HEADERS, frames.DATA) and found.flags & END_STREAM:
                return headers, body

    async def status(self, stream: int) -> int:
        """Return the status that a call ended with."""
        headers, _ = await self.answer(stream)
        return int(headers["grpc-status"])

    async def is_served(self) -> bool:
        """Say whether a ping is answered."""
        self.send(frame(frames.PING, 0, 0, b"are you "))
        try:
            found = await self.until(frames.PING, flags=frames.ACK)
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return found.payload == b"are you "
