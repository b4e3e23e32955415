"""The short cut: inference answered from the HTTP parser's callbacks, without an ASGI task.

A subclass of uvicorn's protocol behind our guard, chosen by its public ``http=`` option. It takes a request only where
nothing is lost by it: ``POST …/infer`` with a plain path, nothing else under way on the connection. All
else goes uvicorn's way to the ASGI application, which stays the oracle: one table of tests runs over
both. While a request is under way a stand-in holds uvicorn's place for a cycle, so pipelining order,
keep-alive, drain and disconnects stay uvicorn's own.

Written for uvicorn 0.54, whose internals it touches; on any other the plain protocol serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.core import outcomes
from gateway.core.names import version_number
from gateway.rest.body_reader import LARGE_BYTES, BodyReader
from gateway.rest.bounded import BoundedHttp
from gateway.rest.exchange import OK_HEADERS, Exchange
from gateway.rest.guard import BODY, NOTHING, Guarded, guarded
from gateway.rest.known_heads import HEAD_END, MAX_HEAD_BYTES, KnownHeads
from gateway.rest.problems import JSON
from gateway.rest.request_head import RequestHead
from gateway.serving.outbox import SMALL_BYTES

if TYPE_CHECKING:
    from gateway.core.limits import Limits
    from gateway.rest.exchange import Answer, Inference
    from gateway.rest.head import Refused
    from gateway.rest.known_heads import KnownHead
    from gateway.rest.room import Room

WRITTEN_FOR: Final = "0.54."

PREFIX: Final = b"/v2/models/"
SUFFIX: Final = b"/infer"

MAX_TARGETS: Final = 4096
"""How many URLs are remembered with the model and version that they name."""

JSON_BLOCK: Final = b"%s: %s\r\n" % JSON


class Fast(Exchange):
    """An exchange on the short cut, in the place of the cycle that uvicorn keeps: it offers what uvicorn asks of one.

    *disconnected* is what uvicorn sets; that it is so comes by ``set``.
    """

    __slots__ = ("disconnected", "keep_alive", "known", "response_complete")

    def __init__(self, protocol: ShortCut, known: KnownHead) -> None:
        head, (model, version), self.keep_alive = known
        Exchange.__init__(self, protocol.inference, model, version, head, protocol.answered)
        self.known = known
        self.response_complete = False
        self.disconnected = False

    @property
    def message_event(self) -> Fast:
        """What uvicorn sets when the connection is lost."""
        return self

    def set(self) -> None:
        """The connection is lost: the caller's place is free."""
        if not self.response_complete:
            self.response_complete = True
            self.gone()


class BoundedFast(BoundedHttp, Fast):
    """The same, of a caller whose share is bounded."""

    __slots__ = ("_address", "_caller")

    def __init__(self, protocol: ShortCut, known: KnownHead) -> None:
        Fast.__init__(self, protocol, known)
        self._address = protocol.client[0] if protocol.client else ""
        self._caller = None


class ShortCut(Guarded):
    """One connection. ``shortcut`` makes the class for a worker."""

    exchange: type[Fast] = Fast
    inference: Inference
    heads: KnownHeads

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._fast: Fast | None = None
        """The request that is being read, where it is on the short cut."""
        self._under_way: Fast | None = None
        """The request on the short cut that is answered next: there is one at a time."""
        self._defaults: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")
        self._reader: BodyReader | None = None
        """What stands before the transport in our place, from the first large body on."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the reader, which knows us."""
        self._reader = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a request that came whole and whose head is known; leave all else to the parser.

        The parser stands between two requests then, and stays there: it need not hear of this one. A deadline runs for
        the first request of a connection, and while one is read in part.
        """
        end = data.find(HEAD_END, 0, MAX_HEAD_BYTES) + len(HEAD_END)
        known, before, is_between = self.heads.get(data[:end]), self._fast, not self.part
        if (
            known is not None
            and is_between
            and len(data) - end == known[0].body_bytes
            and self._deadline is None
            and not self.is_over
            and self.cycle.response_complete
        ):
            self._fast = self._under_way = fast = self.exchange(self, known)
            self.cycle = fast  # type: ignore[assignment] # as in ``begin_request``
            if fast.admit() and fast.take(data[end:]):
                fast.run()
            return
        Guarded.data_received(self, data)
        taken, is_whole = self._fast, is_between and not self.part  # a head alone is not, though no length is told
        if taken is not None and taken is not before and is_whole and len(data) - end == taken.known[0].body_bytes:
            self.heads.came(data[:end], taken.known)

    on_message_begin = Guarded.begin_message
    """The scope is for uvicorn's way only, and made when that is taken."""

    def begin_request(self) -> None:
        """Take an inference request, or leave it to uvicorn."""
        named = self._named()
        if named is None:
            self._leave_to_uvicorn()
            return
        fast = self.exchange(self, (RequestHead(self.headers, self.found), named, self.parser.should_keep_alive()))
        self._fast = self._under_way = fast
        self.cycle = fast  # type: ignore[assignment] # it offers what uvicorn asks of the cycle under way
        fast.admit()

    def _leave_to_uvicorn(self) -> None:
        self._fast = None
        url, headers = self.url, self.headers
        super().on_message_begin()  # makes the scope, and sets back what was read since
        self.url = url
        self.headers.extend(headers)
        super().begin_request()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body of the request that is being read."""
        fast = self._fast
        if fast is None:
            super().on_body(body)
            return
        self.has_body = True
        if not fast.response_complete:
            fast.take(body)

    def on_message_complete(self) -> None:
        """Run the request that was being read."""
        fast = self._fast
        if fast is None:
            super().on_message_complete()
            return
        self.part = NOTHING
        if not fast.response_complete:
            fast.run()

    def _went_on(self, read: int) -> None:
        super()._went_on(read)
        fast = self._fast
        room = None if fast is None or fast.response_complete or self.is_over else fast.room
        if room is not None and self.part == BODY and len(room.rest()) > LARGE_BYTES:
            self._read_in_place(room)

    def _read_in_place(self, room: Room) -> None:
        """Let the rest of the body that is being read come where its tensors are read."""
        if self._reader is None:
            self._reader = BodyReader(self)
            self.transport.set_protocol(self._reader)
        self._reader.room = room

    def read_as_usual(self) -> None:
        """Stand before the transport again: what is read is no large body."""
        self._reader = None
        self.transport.set_protocol(self)

    def body_came(self) -> None:
        """Run the request whose body was read past the parser, and go on with one that knows nothing of it."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._disarm()
        self.on_message_complete()

    def resume_writing(self) -> None:
        """The caller reads again: take further requests from it."""
        super().resume_writing()
        self.flow.resume_reading()

    def answered(self, answer: Answer) -> None:
        """Write the answer of the request under way."""
        fast, transport = self._under_way, self.transport
        assert fast is not None
        fast.response_complete = True
        if transport.is_closing():
            return
        keep = fast.keep_alive and not self.inference.closes(answer)
        goes_on, behind, held = keep and not self.is_over, answer.behind, self.inference.lanes.outbox.held
        if behind:
            transport.writelines((self._head(answer, behind, close=not keep), answer.body, *behind))
        elif held is None or not goes_on or len(answer.body) > SMALL_BYTES:
            transport.write(self._head(answer, behind, close=not keep) + answer.body)
        else:
            held.append((transport.write, self._head(answer, behind, close=False) + answer.body, self.flow))
        if goes_on:
            self._go_on()
        else:
            if not keep and self.part:
                self.close_gently()  # refused before its body was read: the rest is still coming
            elif not keep:
                transport.close()
            self.on_response_complete()
        if self.flow.write_paused:
            self.flow.pause_reading()  # answers that nobody reads: take no more requests until they are read

    def _go_on(self) -> None:
        """Hand the connection back to uvicorn, which goes on with what is next on it."""
        self.idle_since = self.loop.time()
        if self.pipeline or self.flow.read_paused or self.timeout_keep_alive_task is None:
            HttpToolsProtocol.on_response_complete(self)  # nothing that ours adds to it is due
        else:
            self.server_state.total_requests += 1  # all that is left of it: the clock runs already

    def note(self, refused: Refused, *, is_request: bool) -> str:
        """Count a refusal under no model; a request that was begun is counted as one already."""
        inference = self.inference
        if not is_request:
            outcome = outcomes.OVERLOAD if refused.status == 503 else outcomes.CLIENT_ERROR
            inference.unrouted("").answered(outcome, 0.0)
        return inference.request_id(dict(self.headers or ()).get(b"x-request-id"))

    def _named(self) -> tuple[str, int | None] | None:
        """Return the model and version of an inference request that may take the short cut."""
        named = self.inference.targets.get(self.url)
        if named is None and (named := self._read_target()) is None:
            return None
        cycle: Any = self.cycle  # None before the first request, which uvicorn's annotation leaves out
        if (cycle is not None and not cycle.response_complete) or b"expect" in self.found:
            return None
        parser = self.parser
        return named if parser.get_method() == b"POST" and parser.get_http_version() == "1.1" else None

    def _read_target(self) -> tuple[str, int | None] | None:
        """Read the URL of an inference request, and remember those that name a model with a route."""
        url = self.url
        if not url.startswith(PREFIX) or not url.endswith(SUFFIX) or b"%" in url or b"?" in url:
            return None
        model, *version = url[len(PREFIX) : -len(SUFFIX)].decode("latin-1").split("/")
        number = version_number(version[1]) if len(version) == 2 and version[0] == "versions" else None
        if not model or (version and number is None):
            return None
        targets = self.inference.targets
        if model in self.inference.table.routes and len(targets) < MAX_TARGETS:
            targets[url] = model, number
        return model, number

    def _head(self, answer: Answer, behind: tuple[bytes | memoryview, ...], *, close: bool) -> bytes:
        defaults, block = self._defaults
        if defaults is not self.server_state.default_headers:
            defaults = self.server_state.default_headers
            block = b"".join(b"%s: %s\r\n" % header for header in defaults)
            self._defaults = defaults, block
        arm, extra = answer.arm, answer.headers
        return b"%s%s%s%sx-request-id: %s\r\ncontent-length: %d\r\n%s" % (
            STATUS_LINE[answer.status],
            block,
            b"" if arm is None else arm.block,
            JSON_BLOCK if extra is OK_HEADERS else b"".join(b"%s: %s\r\n" % header for header in extra),
            answer.request_id.encode(),
            len(answer.body) + sum(map(len, behind)) if behind else len(answer.body),
            b"connection: close\r\n\r\n" if close else b"\r\n",
        )


def shortcut(inference: Inference, limits: Limits) -> type[Guarded]:
    """Return a worker's protocol class: with the short cut on the uvicorn it was written for, else without it."""
    if not uvicorn.__version__.startswith(WRITTEN_FOR):
        return guarded(limits)
    exchange = Fast if inference.callers is None else BoundedFast
    chosen = {"exchange": exchange, "inference": inference, "limits": limits, "heads": KnownHeads()}
    return type("WorkerShortCut", (ShortCut,), chosen)
