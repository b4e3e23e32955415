"""What a connection may not do: the parser and uvicorn let by what this class refuses.

Between uvicorn's protocol and ours, on both ports. It bounds what a caller can make us hold (head,
chunks, pipelined requests, connections) and for how long (head, body, an answer that nobody reads),
and refuses what a proxy in front of us might frame otherwise than we do. A request that comes whole in
one read arms no timer; its head is checked for what is odd at all, and closely only where something is.

Refusals here are no requests; what else is said and counted of them is the port's (``note``). Written for uvicorn 0.54.

Sources: RFC 9112, sections 2.3, 3.2, 6.1 and 9.6; RFC 9110, sections 7.8 and 10.1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.core.limits import DEFAULT
from gateway.rest.departure import Departure
from gateway.rest.head import ODD, SLASH, Refused, check, check_size, check_version

if TYPE_CHECKING:
    import asyncio

    from gateway.core.limits import Limits

SMALL_BYTES: Final = 4096
"""A head that came whole in a read of so many bytes cannot be over a limit of its size, as low as that may be set."""

LINGER_SECONDS: Final = 1.0
"""How long a refused caller's bytes are thrown away before the close; at once, a reset would outrun the answer."""

NOTHING: Final = 0
HEAD_BEGUN: Final = 1
HEAD: Final = 2
BODY_BEGUN: Final = 3
BODY: Final = 4
"""The part of a request that is being read; begun in this read, or in an earlier one, which has armed its deadline."""


class Guarded(HttpToolsProtocol):
    """One connection within its limits. ``guarded`` makes the class for other than the usual ones."""

    limits = DEFAULT

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.part = NOTHING
        self.has_body = False
        """Whether the last read brought a piece of a body."""
        self.is_over = False
        """Nothing that comes is read any more."""
        self._answering: Any = None
        self.found: dict[bytes, bytes] = {}
        """The headers of the request being read; of a repeated one the last."""
        self.idle_since = 0.0
        """When the last answer was written, on the loop's clock."""
        self._host = b""
        self._read_bytes = 0
        self._extra_bytes = 0
        self._chunks = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self._departure: Departure | None = None
        """Of a caller that ended its side, whether it still waits."""

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take a connection, or say that there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(Refused(503, "too_many_connections", "this worker has as many connections as it may"))
        else:
            self._arm(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        self._disarm()
        if self._departure is not None:
            self._departure.cancel()
        self._unset_keepalive_if_required()
        self._stop_waiting_for_the_reader()
        if self._answering is not None:
            self._answering.disconnected = True  # uvicorn tells the newest request only
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and see that what is incomplete does not stay so."""
        if self.is_over:
            return
        self._read_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as exc:
            self._fail(exc)
        except httptools.HttpParserError as exc:
            self._refuse(Refused(400, "invalid_http", f"this is not HTTP/1.1: {str(exc)[:80]}"))
        except httptools.HttpParserUpgrade:
            self._refuse(Refused(400, "no_upgrade", "this port speaks HTTP/1.1 only"))
        else:
            if self.part or self._deadline is not None:
                self._was_read(len(data))

    def _was_read(self, size: int) -> None:
        if self.is_over:
            return
        if self.part:
            self._went_on(size)
        elif self.cycle is not None:  # else there were only line breaks
            self._disarm()

    def is_idle(self) -> bool:
        """Say whether nothing is read, under way or still to be sent, so that any other could go on with this."""
        cycle: Any = self.cycle
        return (
            not self.part
            and not self.is_over
            and (cycle is None or cycle.response_complete)
            and not self.pipeline
            and not self.transport.is_closing()
            and not self.transport.get_write_buffer_size()
        )

    def was_kept(self) -> None:
        """Let a connection that another worker has kept rest for as long as one of ours."""
        cycle: Any = self.cycle
        if cycle is None and not self.part:  # else its next request has come already
            self._arm(self.limits.idle_seconds)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's own type; uvicorn always closes
        """A caller that has sent all of its request may say so, and is answered; keep the connection for that.

        Who hung up says the same: that is found out, of HTTP/1.1, where nothing of the answer comes soon.
        """
        cycle: Any = self.cycle
        if self.part or cycle is None or cycle.response_complete:
            return False
        cycle.keep_alive = False
        if self.parser.get_http_version() == "1.1":
            self._departure = Departure(self.loop, self.transport, self._is_silent)
        return True

    def _is_silent(self) -> bool:
        """Say whether a request is still to be answered, and no answer is half written."""
        cycle, answering = self.cycle, self._answering  # the newest request; what uvicorn answers, or answered last
        if answering is not None and answering.response_started and not answering.response_complete:
            return False
        return not cycle.response_complete

    def _fail(self, exc: Exception) -> None:
        cause = exc.__context__
        if isinstance(cause, Refused):
            self._refuse(cause)
        elif not self.is_over:
            self.logger.error("a request could not be read", exc_info=cause)
            self._refuse(Refused(400, "invalid_http", "this request cannot be read"))

    # ---- the parser's callbacks

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.begin_message()
        super().on_message_begin()

    def begin_message(self) -> None:
        """Note a request's first byte; a connection is idle up to that, also where line breaks come before."""
        self.part = HEAD_BEGUN
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head, and only then begin to answer."""
        headers, url = self.headers, self.url
        self.found = found = dict(headers)
        if (
            self._read_bytes > SMALL_BYTES
            or len(headers) > self.limits.headers
            or self._deadline is not None
            or url[0] != SLASH
            or len(found) != len(headers)
            or found.get(b"host") != self._host
            or not ODD.isdisjoint(found)
        ):
            check_size(url, headers, self.limits)
            check(self.parser, url, headers, found)
            self._host = found.get(b"host", b"")
        self._chunks = 0
        self.begin_request()
        self.part = BODY_BEGUN

    def begin_request(self) -> None:
        """Begin to answer uvicorn's way, behind those that wait."""
        check_version(self.parser)
        self.expect_100_continue = b"expect" in self.found
        if len(self.pipeline) >= self.limits.pipelined:
            raise Refused(503, "too_many_pipelined", "too many requests wait on this connection")
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Count the pieces of a body; what follows the last is read into a list that nobody looks at."""
        if not self._chunks:
            self.headers = []
        self._chunks += 1
        if self._chunks > self.limits.chunks:
            raise Refused(413, "too_large", f"the body comes in more than {self.limits.chunks} chunks")

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self.has_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has been read."""
        self.part = NOTHING
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what is next; an answer that ends its connection may wait for its reader only so long."""
        is_last = not self.pipeline
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_the_reader()
        elif self.is_over and is_last:
            self.close_gently()

    # ---- deadlines

    def _went_on(self, read: int) -> None:
        """A request is read in part: bound what it may still bring, and when."""
        if self.part in (HEAD_BEGUN, BODY_BEGUN):
            limits = self.limits
            self._arm(limits.head_seconds if self.part == HEAD_BEGUN else limits.body_seconds)
            self.part += 1
            self._extra_bytes = 0
        elif self.has_body and not self._chunks:
            self.has_body = False
            return  # a body of a known length: nothing but pieces of it comes
        else:
            self._extra_bytes = 0 if self.has_body else self._extra_bytes + read
        self.has_body = False
        try:
            check_size(self.url, self.headers, self.limits, self._extra_bytes)
        except Refused as refused:
            self._refuse(refused)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if not self.part:
            self._end_connection()
        else:
            which = "headers" if self.part < BODY_BEGUN else "body"
            self._refuse(Refused(408, "too_slow", f"the {which} did not come in time"))

    def pause_writing(self) -> None:
        """Give a caller that does not read so long, and no longer."""
        super().pause_writing()
        self._wait_for_the_reader()

    def resume_writing(self) -> None:
        """The caller reads again."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_waiting_for_the_reader()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose last answer was never read.

        uvicorn starts this clock with every answer. The short cut lets one that runs already go on, because a timer
        for each request costs 2 µs: it may end while a request is under way, or too early, and is then begun anew.
        """
        self.timeout_keep_alive_task = None
        cycle: Any = self.cycle
        if self.part or not cycle.response_complete:
            return  # the next answer begins it
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            self._end_connection()

    def _wait_for_the_reader(self) -> None:
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def _stop_waiting_for_the_reader(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _end_connection(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    # ---- refusals

    def _refuse(self, refused: Refused) -> None:
        """Answer *refused* and end the connection; where earlier requests wait for answers, end it after theirs."""
        self.is_over = True
        self._disarm()
        cycle: Any = self.cycle  # the newest request that was begun
        others_wait = cycle is not None and not cycle.response_complete
        if self.part >= BODY_BEGUN:
            if not others_wait:
                self.close_gently()  # this one has its answer
                return
            others_wait = bool(self.pipeline)
            if others_wait:
                self.pipeline.popleft()
            else:
                cycle.disconnected = True
                cycle.message_event.set()
        if not others_wait and not self.transport.is_closing():
            named = self.note(refused, is_request=self.part >= BODY_BEGUN)
            self.transport.write(refused.answer(STATUS_LINE[refused.status], self.server_state.default_headers, named))
            self.close_gently()

    def note(self, refused: Refused, *, is_request: bool) -> str:  # noqa: ARG002 - for those who count
        """Count a refusal, and return its request id, empty for none; *is_request*: its head was read and taken."""
        return ""

    def close_gently(self) -> None:
        """Send what is written, say that no more comes, and throw away what still does, for a moment."""
        self.is_over = True
        self._unset_keepalive_if_required()
        transport = self.transport
        if transport.is_closing():
            return
        self.flow.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()  # over TLS: it sends what is written, and says so in its own way
        self._disarm()
        self._deadline = self.loop.call_later(LINGER_SECONDS, transport.abort)


def guarded(limits: Limits, base: type[Guarded] = Guarded) -> type[Guarded]:
    """Return the protocol class *base* with *limits*."""
    return type(base.__name__, (base,), {"limits": limits})
