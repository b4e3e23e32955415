"""A port that answers only to callers with a certificate, for tests of those that have to show one."""

from __future__ import annotations

import http.server
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.processes.certificates import Authority


@contextmanager
def answering(authority: Authority, status: int = 200, body: bytes = b"{}") -> Iterator[tuple[int, list[str]]]:
    """Answer on a port that wants certificates of *authority*; yield its number and the paths that were asked for."""
    asked: list[str] = []

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    with http.server.HTTPServer(("127.0.0.1", 0), Door) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a handshake that fails, as it should
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()
