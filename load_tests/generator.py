"""A small closed-loop load generator, for machines without wrk.

    python -m load_tests.generator --port 8080 --connections 64 --seconds 3 --body FILE [--users 1000]

Every connection sends the same body again as soon as it is answered, each as one of the users. Prints one line of
JSON. It is a Python program on one core: with it, fast servers look alike, so prefer wrk.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httptools
import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(slots=True)
class Tally:
    """What all connections saw: the latency of each good answer, in seconds, and how many were not good."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    def summary(self, seconds: float) -> dict[str, float]:
        """Return the same members as ``wrk.lua`` prints."""
        ordered = sorted(self.latencies) or [0.0]
        return {
            "requests": len(self.latencies) + self.errors,
            "seconds": seconds,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
            "errors": self.errors,
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection that has one request under way at a time. A lost one is an error and stays lost."""

    def __init__(self, requests: Iterator[bytes], tally: Tally, until: float) -> None:
        self._requests = requests
        self._tally = tally
        self._until = until
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        if time.perf_counter() < self._until:
            self._tally.errors += 1
        if not self.closed.done():
            self.closed.set_result(None)

    def on_message_complete(self) -> None:
        """Count the answer that is now whole, and send the next request (a callback of the parser)."""
        now = time.perf_counter()
        if self._parser.get_status_code() == 200:
            self._tally.latencies.append(now - self._sent)
        else:
            self._tally.errors += 1
        if now < self._until:
            self._send()
        elif self._transport is not None:
            self._transport.close()

    def _send(self) -> None:
        if self._transport is not None:
            self._sent = time.perf_counter()
            self._transport.write(next(self._requests))


def post(path: str, body: bytes, **more: str) -> bytes:
    """Return the bytes of a keep-alive POST of JSON, with *more* headers."""
    headers = {"host": "127.0.0.1", "content-type": "application/json", "content-length": len(body), **more}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


async def load(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> dict[str, float]:
    """Return what *connections* closed loops saw in *seconds*; *requests* are sent in turns."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    tally, turns = Tally(), itertools.cycle(requests)
    until = began + seconds
    opened = [
        (await loop.create_connection(lambda: Connection(turns, tally, until), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.wait([connection.closed for connection in opened], timeout=seconds + 10)
    return tally.summary(time.perf_counter() - began)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one load and print what it saw."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.generator")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/v2/models/breast-cancer/infer")
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--users", type=int, default=0, help="values of x-user-id that take turns (default: none)")
    chosen = parser.parse_args(arguments)
    body = chosen.body.read_bytes()
    users = [{"x-user-id": f"user-{number}"} for number in range(1, chosen.users + 1)] or [{}]
    requests = [post(chosen.path, body, **user) for user in users]
    print("@@" + json.dumps(uvloop.run(load(chosen.port, requests, chosen.connections, chosen.seconds))))


if __name__ == "__main__":
    main()
