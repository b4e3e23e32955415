"""Load at a fixed rate, with another row in every request, and each answer checked to be its own row's.

    python -m load_tests.open_loop --port 8080 --rate 1000 --seconds 5

A closed loop waits with a slow server and so hides how long callers would have waited. Here
requests are due at fixed times, and latency counts from the time a request was due, sent or not.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import uvloop

from load_tests import generator, work

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

DRAIN_SECONDS: Final = 10.0

TIMER_SECONDS: Final = 0.002
"""The loop's timers are this coarse; what is left of a wait is spun away, or a request would be late by itself."""


@dataclass(slots=True)
class Outcome:
    """What became of the requests of one run: *latencies* in seconds since each was due, of all that were answered.

    due: when each of them was, by `time.perf_counter`.
    """

    latencies: list[float] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def check(self, items: Sequence[work.Work], *, labelled: bool = True) -> None:
        """Compare every answer with what its own row must get; done after the load, whose time it would take."""
        for number, body in self.answers:
            if fault := items[number % len(items)].fault(body, labelled=labelled):
                self.faults.append(fault)

    def quantile(self, share: float, since: float = 0.0, until: float = math.inf) -> float:
        """Return the latency in milliseconds that *share* of the requests did not exceed; 0 where there were none.

        since, until: only requests that were due between them count.
        """
        ordered = sorted(latency for at, latency in zip(self.due, self.latencies, strict=True) if since <= at < until)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3 if ordered else 0.0


async def load(
    port: int, rate: float, seconds: float, connections: int, requests: Sequence[bytes],
    ended: threading.Event | None = None,
) -> Outcome:  # fmt: skip
    """Send ``rate * seconds`` requests when each is due, over the first idle one of *connections*.

    ended: once it is set no more become due.
    """
    outcome = Outcome()
    due: asyncio.Queue[tuple[int, float] | None] = asyncio.Queue()
    senders = [asyncio.create_task(_sender(port, due, requests, outcome)) for _ in range(connections)]
    began = time.perf_counter()
    sent = 0
    while sent < int(rate * seconds) and not (ended and ended.is_set()):
        at = began + sent / rate
        while (early := at - time.perf_counter()) > 0:  # noqa: ASYNC110  # it waits for a time, not for an event
            await asyncio.sleep(max(0.0, early - TIMER_SECONDS))
        due.put_nowait((sent, at))
        sent += 1
    for _ in senders:
        due.put_nowait(None)
    _, late = await asyncio.wait(senders, timeout=DRAIN_SECONDS)
    for sender in late:
        sender.cancel()
    for result in await asyncio.gather(*senders, return_exceptions=True):
        if isinstance(result, BaseException):
            outcome.faults.append(f"a connection was lost or too slow: {result!r}")
    if missing := sent - len(outcome.latencies):
        outcome.faults.append(f"{missing} requests were not answered")
    return outcome


async def _sender(
    port: int, due: asyncio.Queue[tuple[int, float] | None], requests: Sequence[bytes], outcome: Outcome
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (job := await due.get()) is not None:
            number, at = job
            writer.write(requests[number % len(requests)])
            status, body = await _answer(reader)
            outcome.latencies.append(time.perf_counter() - at)
            outcome.due.append(at)
            if status == 200:
                outcome.answers.append((number, body))
            else:
                outcome.faults.append(f"status {status}: {body[:200]!r}")
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body of one answer that states its length."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one load, print its latencies, and return 1 if any answer was missing or wrong."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.open_loop")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    chosen = parser.parse_args(arguments)
    items = work.items()
    requests = [generator.post(work.PINNED_PATH, item.body) for item in items]
    outcome = uvloop.run(load(chosen.port, chosen.rate, chosen.seconds, chosen.connections, requests))
    outcome.check(items)
    p50, p99, p999 = (outcome.quantile(share) for share in (0.5, 0.99, 0.999))
    print(
        f"{chosen.rate:g} requests/s for {chosen.seconds:g} s: {len(outcome.latencies)} answered, "
        f"{len(outcome.faults)} faults, p50 {p50:.2f} ms, p99 {p99:.2f} ms, p99.9 {p999:.2f} ms since due"
    )
    for fault in outcome.faults[:5]:
        print(fault, file=sys.stderr)
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
