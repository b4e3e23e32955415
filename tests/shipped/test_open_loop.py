"""The open loop counts what callers wait, and sees an answer that belongs to another row."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from load_tests import generator, open_loop, work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

pytest.importorskip("sklearn", reason="the rows of the benchmark come with the `convert` extra")

ITEMS = work.items()
REQUESTS = [generator.post(work.PINNED_PATH, item.body) for item in ITEMS]


def answer(item: work.Work) -> bytes:
    outputs = [{"name": "label", "data": [item.label]}, {"name": "probabilities", "data": list(item.probabilities)}]
    return json.dumps({"outputs": outputs}).encode()


OWN_ROWS = {item.body: answer(item) for item in ITEMS}
NEXT_ROWS = {item.body: answer(following) for item, following in zip(ITEMS, [*ITEMS[1:], ITEMS[0]], strict=True)}


@asynccontextmanager
async def a_gateway(answers: Mapping[bytes, bytes], stall: asyncio.Event | None = None) -> AsyncIterator[int]:
    """Serve *answers* by request body on a free port; while *stall* is not set nothing is answered."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(head.rpartition(b"content-length: ")[2]))
                if stall is not None:
                    await stall.wait()
                text = answers[body]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_every_request_that_is_due_is_sent_and_answered() -> None:
    async with a_gateway(OWN_ROWS) as port:
        outcome = await open_loop.load(port, 500, 0.2, 8, REQUESTS)

    outcome.check(ITEMS)

    assert (len(outcome.latencies), outcome.faults) == (100, [])


async def test_an_answer_for_another_row_is_a_fault() -> None:
    async with a_gateway(NEXT_ROWS) as port:
        outcome = await open_loop.load(port, 500, 0.1, 8, REQUESTS)

    outcome.check(ITEMS)

    assert len(outcome.faults) == 50


async def test_a_request_that_waits_for_a_stalled_server_counts_from_when_it_was_due() -> None:
    going = asyncio.Event()

    async with a_gateway(OWN_ROWS, going) as port:
        asyncio.get_running_loop().call_later(0.2, going.set)
        outcome = await open_loop.load(port, 500, 0.1, 1, REQUESTS)

    assert outcome.quantile(0.5) > 100  # one connection was stuck, and the requests behind it were due all the same
    assert outcome.quantile(0.0) <= outcome.quantile(1.0)


async def test_no_request_becomes_due_once_the_load_is_ended() -> None:
    ended = threading.Event()

    async with a_gateway(OWN_ROWS) as port:
        asyncio.get_running_loop().call_later(0.1, ended.set)
        outcome = await open_loop.load(port, 500, 10, 8, REQUESTS, ended)

    assert 0 < len(outcome.latencies) < 1000
    assert outcome.faults == []


def test_only_requests_that_were_due_in_a_span_of_time_count_for_it() -> None:
    outcome = open_loop.Outcome(latencies=[0.001, 0.009, 0.002], due=[10.0, 20.0, 30.0])

    slowest = [outcome.quantile(1.0, since, until) for since, until in ((0, 20), (20, 30), (20.5, 31), (31, 40))]

    assert slowest == [1.0, 9.0, 2.0, 0.0]


async def test_requests_of_a_lost_connection_are_faults() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        outcome = await open_loop.load(server.sockets[0].getsockname()[1], 100, 0.1, 1, REQUESTS)

    assert "10 requests were not answered" in outcome.faults
