"""What goes to one caller: frames at once, answers as far as the caller's windows and the socket let them.

An answer that fits is one write. One that does not waits here, and is sent piece by piece, in turns with others.

Source: RFC 9113, sections 5.2 and 6.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.rpc import frames
from gateway.rpc.frames import DATA, END_HEADERS, END_STREAM, HEADERS, LARGEST, Code, ConnectionFault
from gateway.rpc.heads import DONE
from gateway.rpc.messages import prefixed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.rpc.stream import Stream

PIECE_BYTES: Final = 64 * 1024
"""Of an answer that is sent in turns with others, at a time; less where the caller takes no such frames."""


class Outgoing:
    """The way out of one connection."""

    def __init__(
        self, transport: asyncio.Transport, sent: Callable[[Stream], None], clock: Callable[[], float]
    ) -> None:
        """*sent* is told of each stream whose answer is written to its end."""
        self._transport = transport
        self._sent = sent
        self._clock = clock
        self._window = frames.DEFAULT_WINDOW
        self._piece = frames.DEFAULT_FRAME
        self._waiting: dict[Stream, None] = {}
        self._is_paused = False
        self.first_window = frames.DEFAULT_WINDOW
        """What each new stream may send."""
        self.write = transport.write

    def pause(self) -> None:
        """The socket takes no more for now."""
        self._is_paused = True

    def resume(self) -> None:
        """The socket takes more."""
        self._is_paused = False
        self._pump()

    # ---- answers

    def answer(self, stream: Stream, block: bytes, body: bytes) -> None:
        """Send headers, a message and the end of a call that went well."""
        number, size = stream.number, len(body) + 5
        head = frames.frame(HEADERS, END_HEADERS, number, block)
        if size <= stream.window and size <= self._window and size <= self._piece and not self._is_paused:
            stream.window -= size
            self._window -= size
            self.write(
                b"%b%b%b%b" % (head, frames.frame_head(size, DATA, 0, number), prefixed(body), _end(number, DONE))
            )
            self._sent(stream)
        else:
            self.write(head)
            stream.pending = memoryview(prefixed(body))
            stream.ending = DONE
            self._wait(stream)

    def begin(self, stream: Stream, block: bytes) -> None:
        """Send the headers of an answer that is not one message."""
        self.write(frames.frame(HEADERS, END_HEADERS, stream.number, block))

    def message(self, stream: Stream, body: bytes) -> None:
        """Send one of several messages."""
        stream.pending = memoryview(bytes(stream.pending) + prefixed(body))
        self._wait(stream)

    def end(self, stream: Stream, trailers: bytes) -> None:
        """Send the end, behind what still waits."""
        stream.ending = trailers
        self._wait(stream)

    def only(self, stream: Stream, block: bytes) -> None:
        """Send an answer that is headers and nothing else."""
        self.write(_end(stream.number, block))
        self._sent(stream)

    def drop(self, stream: Stream) -> None:
        """Send no more on a stream."""
        self._waiting.pop(stream, None)

    # ---- windows

    def take_settings(self, found: dict[int, int], streams: dict[int, Stream]) -> None:
        """Go by the caller's settings. Raises ConnectionFault."""
        self._piece = min(found.get(frames.MAX_FRAME_SIZE, self._piece), PIECE_BYTES)
        first = found.get(frames.INITIAL_WINDOW_SIZE, self.first_window)
        more, self.first_window = first - self.first_window, first
        if more:
            for stream in streams.values():
                stream.window += more
                if stream.window > LARGEST:
                    raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a stream's window is over 2^31 - 1")
            self._pump()

    def widen(self, more: int) -> None:
        """The caller takes so many bytes more on the connection. Raises ConnectionFault."""
        self._window += more
        if self._window > LARGEST:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "the connection's window is over 2^31 - 1")
        self._pump()

    def widen_stream(self, stream: Stream, more: int) -> bool:
        """The caller takes so many bytes more on a stream; say whether that is possible."""
        stream.window += more
        if stream.window > LARGEST:
            return False
        self._pump()
        return True

    # ---- what waits

    def late(self, before: float) -> list[Stream]:
        """Return the streams of which nothing could be sent since *before*."""
        return [stream for stream in self._waiting if stream.moved_at < before]

    def _wait(self, stream: Stream) -> None:
        stream.moved_at = self._clock()
        self._waiting[stream] = None
        self._pump()

    def _pump(self) -> None:
        """Send a piece of each answer in turn, as long as there is room."""
        moving = list(self._waiting)
        while moving:
            moving = [stream for stream in moving if not self._is_paused and self._push(stream)]

    def _push(self, stream: Stream) -> bool:
        """Send the next piece of an answer; say whether it is worth trying to send another."""
        number, size = stream.number, min(len(stream.pending), self._piece, self._window, stream.window)
        if size > 0:
            piece, stream.pending = stream.pending[:size], stream.pending[size:]
            self._window -= size
            stream.window -= size
            stream.moved_at = self._clock()
            self._transport.writelines([frames.frame_head(size, DATA, 0, number), piece])
        if stream.pending:
            return size > 0
        self._waiting.pop(stream, None)
        if stream.ending:
            self.write(_end(number, stream.ending))
            self._sent(stream)
        return False


def _end(number: int, block: bytes) -> bytes:
    return frames.frame(HEADERS, END_HEADERS | END_STREAM, number, block)
