"""Open-loop load: requests leave when they are due, whether or not earlier ones were answered.

Every answer is kept with what the headers and the model itself say of the version, so that counts
can be reconciled. A failure is never tried again here: what a caller would see is what is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.flows.models import MODEL, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

TIMEOUT_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request. Times are of the monotonic clock; *latency* counts from when it was *due*.

    *version* is the header's, *said* the model's own. *fault* is empty where the right row came back with 200.
    """

    number: int
    due: float
    latency: float
    fault: str = ""
    status: int = 0
    version: str = ""
    revision: int = -1
    said: str = ""
    request_id: str = ""
    fallback_from: str = ""
    retry_after: str = ""

    @property
    def worker(self) -> str:
        """What is the same for all request ids that one worker gave."""
        return self.request_id.partition("-")[0]


class Connection:
    """One connection to the gateway, asked for one thing at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.reusable = True

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1", source: str | None = None) -> Connection:
        """*source* is the address that the gateway sees, where another than the usual one."""
        return cls(*await asyncio.open_connection(host, port, local_addr=None if source is None else (source, 0)))

    def is_open(self) -> bool:
        """Say whether nothing is known of an end: what any pool checks before it uses a connection again."""
        return self.reusable and not self._reader.at_eof() and not self._writer.is_closing()

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (names in lower case) and body of the answer."""
        lines = [f"POST {path} HTTP/1.1", "host: gateway", f"content-length: {len(body)}"]
        lines += [f"{name}: {text}" for name, text in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        answered = {name.lower(): text for name, text in pairs}
        content = await self._reader.readexactly(int(answered["content-length"]))
        self.reusable = answered.get("connection", "") != "close"
        return int(head[0].split(" ", 2)[1]), answered, content

    async def aclose(self) -> None:
        """Close, and return when that is done; how the other side ended does not matter any more."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Load:
    """Sends requests to MODEL from entering to leaving; each holds a row of its own and must get it back."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        source: str | None = None,
        rate: float = 100.0,
        keep_alive: bool = True,
        path: str = f"/v2/models/{MODEL}/infer",
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        """*source* is what ``Connection.open`` takes.

        *may_send* is asked before each request, as a balancer asks whether its target is ready.
        """
        self.outcomes: list[Outcome] = []
        self._port = port
        self._host = host
        self._source = source
        self._rate = rate
        self._keep_alive = keep_alive
        self._path = path
        self._may_send = may_send
        self._progress = asyncio.Event()
        self._idle: deque[Connection] = deque()
        """The one that rests longest goes first, or one worker alone would be asked: the one that refused last."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._arrivals: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Load:
        self._arrivals = asyncio.create_task(self._arrive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._arrivals is not None
        self._arrivals.cancel()
        await asyncio.gather(self._arrivals, return_exceptions=True)
        await asyncio.gather(*self._under_way)
        for connection in self._idle:
            await connection.aclose()

    @property
    def faults(self) -> list[Outcome]:
        """The requests that a caller would call failed."""
        return [outcome for outcome in self.outcomes if outcome.fault]

    def by_header(self) -> Counter[str]:
        """Return how many answers named each version in their headers."""
        return Counter(outcome.version for outcome in self.outcomes if outcome.status == 200)

    def by_model(self) -> Counter[str]:
        """Return how many answers each version signed in its output."""
        return Counter(outcome.said for outcome in self.outcomes if outcome.status == 200)

    async def answered(self, count: int) -> None:
        """Return when *count* more requests have an outcome."""
        goal = len(self.outcomes) + count
        async with asyncio.timeout(TIMEOUT_SECONDS + count / self._rate):
            while len(self.outcomes) < goal:
                self._progress.clear()
                await self._progress.wait()

    async def _arrive(self) -> None:
        began, number = time.monotonic(), 0
        while True:
            due = began + number / self._rate
            await asyncio.sleep(due - time.monotonic())
            if self._may_send():
                task = asyncio.create_task(self._send(number, due))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            number += 1

    async def _send(self, number: int, due: float) -> None:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                connection = await self._take() or await Connection.open(self._port, self._host, self._source)
                row = [float(number), float(number % 97)]
                close = {} if self._keep_alive else {"connection": "close"}
                status, headers, body = await connection.post(self._path, json.dumps(request(row)).encode(), close)
        except (OSError, EOFError, TimeoutError) as exc:
            self._note(Outcome(number, due, time.monotonic() - due, repr(exc)))
            if connection is not None:
                await connection.aclose()
            return
        self._note(read_answer(number, due, status, headers, body, row))
        if self._keep_alive and connection.is_open():
            self._idle.append(connection)
        else:
            await connection.aclose()

    def _note(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._progress.set()

    async def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.popleft()
            if connection.is_open():
                return connection
            await connection.aclose()
        return None


def read_answer(
    number: int, due: float, status: int, headers: Mapping[str, str], body: bytes, row: list[float]
) -> Outcome:
    """Return what an answer says, and whether it is the right one for *row*."""
    latency = time.monotonic() - due
    said, fault = "", ""
    if status != 200:
        fault = f"{status}: {body[:200]!r}"
    else:
        outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
        said = str(outputs["version"][0])
        fault = "" if outputs["y"] == row else f"the row {row} came back as {outputs['y']}"
    return Outcome(
        number,
        due,
        latency,
        fault,
        status,
        version=headers.get("x-gateway-version", ""),
        revision=int(headers.get("x-gateway-revision", -1)),
        said=said,
        request_id=headers.get("x-request-id", ""),
        fallback_from=headers.get("x-gateway-fallback-from", ""),
        retry_after=headers.get("retry-after", ""),
    )
