"""One connection: HTTP/2 as far as a server of gRPC needs it, and what a caller may not do.

Keeps both sides' rules; ``reader.py`` takes apart what comes, what a stream says is ``stream.py``, what goes out
``outgoing.py``. There is no timer here: the server looks at every connection now and then (``check``), and a call
arms nothing.

Sources: RFC 9113, sections 3.4, 5, 6 and 6.8; gRPC over HTTP/2, "Connection Management".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway.core import outcomes
from gateway.core.errors import BodiesOverloaded
from gateway.rpc import frames
from gateway.rpc.budget import Budget
from gateway.rpc.frames import ACK, END_STREAM, LARGEST, Code, ConnectionFault
from gateway.rpc.heads import HeadReader, Malformed
from gateway.rpc.messages import PREFIX
from gateway.rpc.outgoing import Outgoing
from gateway.rpc.reader import FrameReader
from gateway.rpc.room import Room
from gateway.rpc.stream import FIRST_WINDOW, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.errors import RequestTooLarge
    from gateway.rpc.stream import Method
    from gateway.serving.exchange import Traffic

log = logging.getLogger(__name__)

WINDOW: Final = 1 << 30
"""What a caller may send on the whole connection before we say more; what it can make us hold is bounded by stream."""

WRITE_BYTES: Final = 256 * 1024
"""More than this unread in the socket, and neither answers nor requests go on."""

MOST_IDLE_FRAMES: Final = 1000
IDLE_FRAMES_PER_SECOND: Final = 200
"""Frames that bring no call further."""

MOST_RESETS: Final = 200
RESETS_PER_SECOND: Final = 100
"""Calls that a caller begins and ends at once (CVE-2023-44487); each answer allows one more."""

SMALL_UPDATE_BYTES: Final = 4096
"""Updates of a window by at least so much are few before it overflows; those by less cost the caller a token."""

GOODBYE: Final = b"goodbye!"
GOODBYE_SECONDS: Final = 1.0
"""How long a connection that is to end waits for the caller to say that it heard so."""

LINGER_SECONDS: Final = 1.0
"""How long a refused caller's bytes are thrown away before the close; at once, a reset would outrun the reason."""


UNPACKED_AT_ONCE: Final = 2
"""Packed messages that are unpacked on threads at once, in one worker; each may become the largest there is."""


class Shared:
    """What all connections of a door have in common."""

    def __init__(self, methods: Mapping[bytes, Method], traffic: Traffic) -> None:
        """*methods*: path → what answers it."""
        self.methods = methods
        self.traffic = traffic
        self.limits = traffic.limits
        self.connections: set[Connection] = set()
        self.unpacking = asyncio.Semaphore(UNPACKED_AT_ONCE)


class Connection(asyncio.Protocol):
    """One caller's connection."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.clock: Callable[[], float] = asyncio.get_running_loop().time
        self.max_body = shared.traffic.max_body
        self.address: str | None = None
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._accepted = LARGEST
        """The highest number of a stream that is looked at."""
        self._window = WINDOW
        self._room = Room(self.max_body + PREFIX.size, self.widen)
        self._since = self.clock()
        """When the connection began, its last stream ended, or it was closed."""
        self._paused_at: float | None = None
        self._leaving_at: float | None = None
        self._reader = FrameReader(self._take, shared.limits.head_bytes)
        self._reading_since = self._since
        """When the caller's preface and settings, or a block of headers, were first not whole."""
        self._heads = HeadReader(shared.limits.headers, shared.limits.head_bytes)
        self._idle_frames = Budget(MOST_IDLE_FRAMES, IDLE_FRAMES_PER_SECOND, self.clock)
        self._resets = Budget(MOST_RESETS, RESETS_PER_SECOND, self.clock)

    # ---- the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as sockets have it
        """Greet a caller, or say that there are too many."""
        limits, connections = self._shared.limits, self._shared.connections
        self._transport = transport
        transport.set_write_buffer_limits(WRITE_BYTES)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else None
        self.out = Outgoing(transport, self._sent, self.clock)
        self.out.write(
            frames.settings({
                frames.MAX_CONCURRENT_STREAMS: limits.streams,
                frames.INITIAL_WINDOW_SIZE: FIRST_WINDOW,
                frames.MAX_HEADER_LIST_SIZE: limits.head_bytes,
            })
            + frames.window_update(0, WINDOW - frames.DEFAULT_WINDOW)
        )  # fmt: skip
        connections.add(self)
        if len(connections) > limits.connections:
            self._fail(Code.ENHANCE_YOUR_CALM, "this worker has as many connections as it may")

    def connection_lost(self, _: Exception | None) -> None:
        """Free the places of all calls."""
        self._shared.connections.discard(self)
        self._drop_all()

    def data_received(self, data: bytes) -> None:
        """Read the frames that are whole."""
        reader = self._reader
        if reader.is_over:
            return
        was_within = reader.is_within_block
        try:
            reader.feed(data)
        except ConnectionFault as fault:
            self._fail(fault.code, str(fault))
        except Exception:  # the outermost door of a callback: this connection ends, the others do not
            log.exception("a frame could not be read")
            self._fail(Code.INTERNAL_ERROR, "the gateway failed on this connection")
        if reader.is_within_block and not was_within:
            self._reading_since = self.clock()

    def pause_writing(self) -> None:
        """The caller does not read: take nothing from it either."""
        self._paused_at = self.clock()
        self.out.pause()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The caller reads again."""
        self._paused_at = None
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self.out.resume()

    # ---- its end

    def leave(self) -> None:
        """End gently: tell the caller to begin no more calls, and take those that cross this word on its way."""
        if self._leaving_at is None and not self._reader.is_over:
            self._leaving_at = self.clock()
            self.out.write(frames.goaway(LARGEST, Code.NO_ERROR) + frames.frame(frames.PING, 0, 0, GOODBYE))

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def check(self, now: float) -> None:
        """End what took too long; *now* is on the loop's clock."""
        limits = self._shared.limits
        if self._reader.is_over:
            unread = self._transport.get_write_buffer_size()
            if now - self._since > (limits.write_seconds if unread else LINGER_SECONDS):
                self._transport.abort()
            return
        if self._paused_at is not None and now - self._paused_at > limits.write_seconds:
            self._transport.abort()
            return
        if self._leaving_at is not None and now - self._leaving_at > GOODBYE_SECONDS:
            self._accept_no_more()
        if not self._reader.is_settled or self._reader.is_within_block:
            if now - self._reading_since > limits.head_seconds:
                self._fail(Code.ENHANCE_YOUR_CALM, "the preface, the settings or the headers did not come in time")
            return
        for stream in self.out.late(now - limits.write_seconds):
            self.reset(stream, Code.CANCEL)
        for stream in [each for each in self._streams.values() if not each.has_ended and not each.is_answered]:
            remaining = stream.remaining()
            if now - stream.began > limits.body_seconds or remaining == 0:
                stream.late()
        if not self._streams and now - self._since > limits.idle_seconds:
            self.leave()

    def _accept_no_more(self) -> None:
        if self._accepted == LARGEST:
            self._accepted = self._last
            self.out.write(frames.goaway(self._last, Code.NO_ERROR))
        if not self._streams:
            self._close()

    def _fail(self, code: Code, why: str) -> None:
        """Say why the connection ends, and end it."""
        if not self._reader.is_over:
            self.out.write(frames.goaway(self._last, code, why))
            self._drop_all()
            self._close()

    def _close(self) -> None:
        """Send what is written, say that no more comes, and throw away what still does, for a moment."""
        if not self._reader.is_over:
            self._reader.close()
            self._since = self.clock()
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()  # over TLS: it sends what is written, and says so in its own way

    def _drop_all(self) -> None:
        streams, self._streams = self._streams, {}
        self._room.close()
        for stream in streams.values():
            self.out.drop(stream)
            stream.gone()

    # ---- frames

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        read = READERS.get(kind)
        if read is not None:
            read(self, flags, number, payload)
        else:
            self._spend()  # PRIORITY, the caller's own GOAWAY, and kinds that are not known: all to be ignored

    def _headers(self, flags: int, number: int, block: bytes) -> None:
        if not number & 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a caller's streams have odd numbers")
        if number > self._last:
            self._last = number
            self._open(number, flags, block)
            return
        self._heads.decode(block)  # trailers, at which nobody looks; the table goes on with them
        stream = self._streams.get(number)
        if stream is None:
            self._spend()
            self.out.write(frames.reset(number, Code.STREAM_CLOSED))
        elif stream.has_ended or not flags & END_STREAM:
            self.reset(stream, Code.PROTOCOL_ERROR)
        else:
            self._ended(stream)

    def _open(self, number: int, flags: int, block: bytes) -> None:
        try:
            head = self._heads.read(block)
        except Malformed:
            self._spend()
            self.out.write(frames.reset(number, Code.PROTOCOL_ERROR))
            return
        if number > self._accepted:
            return  # the caller has been told, and asks again elsewhere
        if len(self._streams) >= self._shared.limits.streams:
            self._spend()
            self.out.write(frames.reset(number, Code.REFUSED_STREAM))
            return
        stream = Stream(self, number, head, self._shared.methods.get(head.path), self.out.first_window)
        self._streams[number] = stream
        stream.has_ended = bool(flags & END_STREAM)
        stream.begin()
        if stream.has_ended:
            stream.end()

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        if not number & 1 or number > self._last:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "DATA on a stream that was not begun")
        size = len(payload)
        self._window -= size
        if self._window < 0:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more DATA than the connection's window allows")
        if self._window < WINDOW // 2:
            self.out.write(frames.window_update(0, WINDOW - self._window))
            self._window = WINDOW
        body = frames.without_padding(flags, payload)
        stream = self._streams.get(number)
        if stream is None or (not body and not flags & END_STREAM):
            self._spend()
        if stream is None:
            return  # answered or reset by us, which the caller did not know yet
        stream.receive_window -= size
        if stream.has_ended:
            self.reset(stream, Code.STREAM_CLOSED)
        elif stream.receive_window < 0:
            self.reset(stream, Code.FLOW_CONTROL_ERROR)
        else:
            if body:
                stream.take(body)
            if flags & END_STREAM:
                self._ended(stream)

    def _ended(self, stream: Stream) -> None:
        self._room.give_back(stream)
        stream.end()

    def _rst_stream(self, _: int, number: int, __: bytes) -> None:
        self._must_be_begun(number)
        if not self._resets.spend():
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many calls are begun and ended at once")
        stream = self._streams.get(number)
        if stream is not None:
            self._forget(stream)
            stream.gone()

    def _settings(self, flags: int, _: int, payload: bytes) -> None:
        if flags & ACK:
            if payload:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        self._spend()
        self.out.take_settings(frames.read_settings(payload), self._streams)
        self.out.write(frames.frame(frames.SETTINGS, ACK, 0, b""))

    def _ping(self, flags: int, _: int, payload: bytes) -> None:
        self._spend()
        if not flags & ACK:
            self.out.write(frames.frame(frames.PING, ACK, 0, payload))
        elif payload == GOODBYE and self._leaving_at is not None:
            self._accept_no_more()

    def _window_update(self, _: int, number: int, payload: bytes) -> None:
        more = frames.read_number(payload)
        if not number:
            if not more:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self._spend_small(more)
            self.out.widen(more)
            return
        self._must_be_begun(number)
        self._spend_small(more)
        stream = self._streams.get(number)
        if stream is None:
            return
        if not more:
            self.reset(stream, Code.PROTOCOL_ERROR)
        elif not self.out.widen_stream(stream, more):
            self.reset(stream, Code.FLOW_CONTROL_ERROR)

    def _push_promise(self, _: int, __: int, ___: bytes) -> None:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "a caller cannot push")

    # ---- rules

    def _must_be_begun(self, number: int) -> None:
        if not number & 1 or number > self._last:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a frame for a stream that was not begun")

    def _spend_small(self, more: int) -> None:
        if more < SMALL_UPDATE_BYTES:
            self._spend()

    def _spend(self) -> None:
        if not self._idle_frames.spend():
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that bring no call further")

    # ---- streams

    def too_large(self) -> RequestTooLarge:
        """Return the refusal of a message over the limit."""
        return self._shared.traffic.too_large()

    def hold(self, before: int, after: int) -> None:
        """Let a stream that holds *before* bytes of a message hold *after*. Raises BodiesOverloaded."""
        traffic = self._shared.traffic
        try:
            traffic.bodies.change(before, after)
        except BodiesOverloaded:
            traffic.unrouted("").answered(outcomes.OVERLOAD, 0.0)
            raise

    @property
    def unpacking(self) -> asyncio.Semaphore:
        """Held by who unpacks a message, of which nobody knows how large it will be."""
        return self._shared.unpacking

    def make_room(self, stream: Stream, needed: int) -> None:
        """Let the caller send a message that is larger than a first window, when there is room for it."""
        self._room.take(stream, needed)

    def widen(self, stream: Stream, more: int) -> None:
        """Let the caller send so many bytes more on a stream."""
        stream.receive_window += more
        self.out.write(frames.window_update(stream.number, more))

    def _sent(self, stream: Stream) -> None:
        """An answer is written to its end."""
        if not stream.has_ended:
            self.out.write(frames.reset(stream.number, Code.NO_ERROR))
        self._forget(stream)
        self._idle_frames.earn()
        self._idle_frames.earn()
        self._resets.earn()

    def reset(self, stream: Stream, code: Code) -> None:
        """End a stream whose caller broke a rule, or takes no answer."""
        self._spend()
        self.out.write(frames.reset(stream.number, code))
        stream.gone()
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self.out.drop(stream)
        self._streams.pop(stream.number, None)
        self._room.give_back(stream)
        if not self._streams:
            self._since = self.clock()
            if self._accepted != LARGEST:
                self._close()


READERS: Final[Mapping[int, Callable[[Connection, int, int, bytes], None]]] = {
    frames.DATA: Connection._data,
    frames.HEADERS: Connection._headers,
    frames.RST_STREAM: Connection._rst_stream,
    frames.SETTINGS: Connection._settings,
    frames.PUSH_PROMISE: Connection._push_promise,
    frames.PING: Connection._ping,
    frames.WINDOW_UPDATE: Connection._window_update,
}
"""Kind of frame → what takes it."""
