"""An upstream that can be smuggled into: what it takes for no body it takes for the next request.

It knows Content-Length and no chunks, looks for the next request line in whatever follows, and answers one request for
each piece that arrives. So the answer to a smuggled request goes to whoever asks next over the same connection.
"""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD: Final = re.compile(rb"(?:GET|POST) (\S+) HTTP/1\.1\r\n.*?\r\n\r\n", re.DOTALL)
LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
NAME: Final = re.compile(rb"x-request-id: (\S+)", re.IGNORECASE)


class Credulous(socketserver.ThreadingTCPServer):
    """Listens on a port of loopback, a thread for each connection; ``counted`` holds requests by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port: int = self.socket.getsockname()[1]
        self.counted: Counter[str] = Counter()


class _Connection(socketserver.BaseRequestHandler):
    server: Credulous

    def handle(self) -> None:
        """Answer with the body that came, until the caller goes."""
        kept = b""
        with contextlib.suppress(OSError):
            while piece := self.request.recv(65_536):
                kept = self._answered(kept + piece)

    def _answered(self, kept: bytes) -> bytes:
        """Answer the first request in *kept* if it is whole, and return what follows it."""
        if not (head := HEAD.search(kept)):
            return kept
        named, length = NAME.search(head[0]), LENGTH.search(head[0])
        end = head.end() + (int(length[1]) if length else 0)
        if len(kept) < end:
            return kept
        body = kept[head.end() : end]
        self.server.counted[head[1].decode()] += 1
        name = named[1] if named else b"none"
        self.request.sendall(
            b"HTTP/1.1 200 OK\r\nx-request-id: %b\r\ncontent-length: %d\r\n\r\n%b" % (name, len(body), body)
        )
        return kept[end:]


@contextlib.contextmanager
def credulous() -> Iterator[Credulous]:
    """Serve until the block ends."""
    with Credulous() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
