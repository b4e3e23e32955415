"""The server of one step: the gateway's own parts up to it, and stand-ins for what is above.

    python -m load_tests.steps.server STEP --port PORT

STEP is a step of `load_tests.steps.step` below the whole gateway, or `parser`, which is beside the ladder. Every server
answers any request; those that run the model say how many runs there were where the gateway does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import httptools
import uvloop

from gateway.core.limits import DEFAULT
from gateway.processes.http_server import HttpServer
from gateway.processes.worker import GC_THRESHOLD
from gateway.rest import shortcut
from load_tests import reference, work
from load_tests.steps.parts import Parts
from load_tests.steps.step import Step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PARSER: Final = "parser"
STATISTICS: Final = f"/v2/models/{work.MODEL}/stats"
"""Where a server says how many rows and runs there were."""

CONSTANT: Final = (
    b"HTTP/1.1 200 OK\r\nx-gateway-version: 1\r\nx-gateway-revision: 1\r\nx-gateway-rule: split\r\n"
    b"content-type: application/json\r\nx-request-id: 0123456789ab-0123\r\ncontent-length: %d\r\n\r\n%s"
    % (len(reference.ANSWER), reference.ANSWER)
)
"""As long as what our connection writes."""


class Loop(asyncio.Protocol):
    """Answers every read with the constant: what a connection costs in any Python."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the *transport*."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - the protocol's parameter
        """Answer."""
        self._transport.write(CONSTANT)


class Parsed(Loop):
    """Answers every request with the constant."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to parse."""
        super().connection_made(transport)
        self.data_received = httptools.HttpRequestParser(self).feed_data  # type: ignore[method-assign] # one call less

    def on_message_complete(self) -> None:
        """Answer."""
        self._transport.write(CONSTANT)


BARE: Final = {Step.LOOP.key: Loop, PARSER: Parsed}
KEYS: Final = (*BARE, *(step.key for step in Step if step.key not in BARE and not step.is_whole))


class Told:
    """The ASGI application behind our connection, which has all requests but inference."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Say how many rows and runs there were, where that is asked; else answer the constant."""
        if scope["path"] != STATISTICS:
            await reference.app(scope, receive, send)
            return
        lane = self._parts.lane
        counted = {"inference_count": lane.queue.batch_rows, "execution_count": lane.queue.batches}
        body = json.dumps({"model_stats": [counted]}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(key: str, sock: socket.socket, directory: Path) -> AsyncIterator[None]:
    """Serve one step, or what is beside them, on *sock* while the context is entered; files go to *directory*."""
    if key in BARE:
        bare = await asyncio.get_running_loop().create_server(BARE[key], sock=sock)
        try:
            yield
        finally:
            bare.close()
        return
    parts = Parts(Step[key.upper()], directory)
    try:
        await parts.open()
        with patch.object(shortcut, "Fast", parts.exchange()):
            server = HttpServer(Told(parts), sock, shortcut.shortcut(parts.inference, DEFAULT))
            running = asyncio.create_task(server.run())
            try:
                yield
            finally:
                server.stop()
                await running
    finally:
        await parts.close()


async def _serve(key: str, port: int) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sock = socket.create_server(("127.0.0.1", port))
    with tempfile.TemporaryDirectory(prefix="step-") as directory:
        async with serving(key, sock, Path(directory)):
            gc.collect()  # as a worker does when it is ready
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLD)
            await ended.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one step until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.steps.server", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("step", choices=KEYS, help="what is served")
    parser.add_argument("--port", type=int, required=True, help="where, on loopback")
    chosen = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(chosen.step, chosen.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
