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

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.core.names import version_number
from gateway.rest.exchange import OK_HEADERS, Exchange
from gateway.rest.guard import NOTHING, Guarded, guarded
from gateway.rest.problems import JSON

if TYPE_CHECKING:
    from gateway.core.limits import Limits
    from gateway.rest.exchange import Answer, Inference

WRITTEN_FOR: Final = "0.54."

PREFIX: Final = b"/v2/models/"
SUFFIX: Final = b"/infer"

MAX_TARGETS: Final = 4096
"""How many URLs are remembered with the model and version that they name."""

JSON_BLOCK: Final = b"%s: %s\r\n" % JSON


class Fast:
    """A request on the short cut, in the place of the cycle that uvicorn keeps: it offers what uvicorn asks of one."""

    __slots__ = ("disconnected", "exchange", "keep_alive", "parts", "protocol", "response_complete", "size")

    def __init__(self, protocol: ShortCut, model: str, version: int | None, *, keep_alive: bool) -> None:
        self.protocol = protocol
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.parts: list[bytes] = []
        self.size = 0
        self.exchange = Exchange(protocol.inference, model, version, protocol.headers, protocol.found, b"", self._reply)

    @property
    def message_event(self) -> Fast:
        """What uvicorn sets when the connection is lost."""
        return self

    def set(self) -> None:
        """The connection is lost: the caller's place is free."""
        if not self.response_complete:
            self.response_complete = True
            self.exchange.gone()

    def take(self, piece: bytes) -> None:
        """Keep a piece of the body, up to the limit."""
        if self.response_complete:
            return
        self.size += len(piece)
        inference = self.protocol.inference
        if self.size > inference.max_body:
            self.exchange.refuse(inference.too_large())
        elif not self.exchange.is_compressed:
            self.parts.append(piece)
        elif (inflated := self.exchange.inflate(piece)) is not None:
            self.parts.append(inflated)

    def run(self) -> None:
        """The body is whole: run the request, unless it was refused before."""
        if not self.response_complete:
            parts, self.parts = self.parts, []
            self.exchange.run(parts[0] if len(parts) == 1 else b"".join(parts))

    def _reply(self, answer: Answer) -> None:
        self.response_complete = True
        self.protocol.write(answer, keep=self.keep_alive)


class ShortCut(Guarded):
    """One connection. ``shortcut`` makes the class for a worker."""

    inference: Inference

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._fast: Fast | None = None
        self._defaults: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    on_message_begin = Guarded.begin_message
    """The scope is for uvicorn's way only, and made when that is taken."""

    def begin_request(self) -> None:
        """Take an inference request, or leave it to uvicorn."""
        named = self._named()
        if named is None:
            self._leave_to_uvicorn()
            return
        fast = Fast(self, *named, keep_alive=self.parser.should_keep_alive())
        self._fast = fast
        self.cycle = fast  # type: ignore[assignment] # it offers what uvicorn asks of the cycle under way
        fast.exchange.admit()

    def _leave_to_uvicorn(self) -> None:
        self._fast = None
        url, headers = self.url, self.headers
        super().on_message_begin()  # makes the scope, and sets back what was read since
        self.url = url
        self.headers.extend(headers)
        super().begin_request()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body of the request that is being read."""
        if self._fast is None:
            super().on_body(body)
        else:
            self.has_body = True
            self._fast.take(body)

    def on_message_complete(self) -> None:
        """Run the request that was being read."""
        if self._fast is None:
            super().on_message_complete()
        else:
            self.part = NOTHING
            self._fast.run()

    def resume_writing(self) -> None:
        """The caller reads again: take further requests from it."""
        super().resume_writing()
        self.flow.resume_reading()

    def write(self, answer: Answer, *, keep: bool) -> None:
        """Write an answer and hand the connection back to uvicorn, which goes on with what is next on it."""
        transport = self.transport
        if transport.is_closing():
            return
        keep = keep and not self.inference.closes(answer)
        transport.write(self._head(answer, close=not keep) + answer.body)
        if keep and not self.is_over:
            HttpToolsProtocol.on_response_complete(self)  # nothing that ours adds to it is due
        else:
            if not keep and self.part:
                self.close_gently()  # refused before its body was read: the rest is still coming
            elif not keep:
                transport.close()
            self.on_response_complete()
        if self.flow.write_paused:
            self.flow.pause_reading()  # answers that nobody reads: take no more requests until they are read

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

    def _head(self, answer: Answer, *, close: bool) -> bytes:
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
            len(answer.body),
            b"connection: close\r\n\r\n" if close else b"\r\n",
        )


def shortcut(inference: Inference, limits: Limits) -> type[Guarded]:
    """Return a worker's protocol class: with the short cut on the uvicorn it was written for, else without it."""
    if not uvicorn.__version__.startswith(WRITTEN_FOR):
        return guarded(limits)
    return type("WorkerShortCut", (ShortCut,), {"inference": inference, "limits": limits})
