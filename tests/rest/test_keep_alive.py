"""An idle connection ends in its time, though no request on the short cut begins that clock anew."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.rest.door import FakeDoor, send_all_to
from tests.rest.in_memory import REQUEST, Wire, connected
from tests.serving.fakes import a_turn

IDLE = 0.2


@pytest.fixture
async def door() -> FakeDoor:
    made = FakeDoor()
    made.floor.held.hold("fraud", 1)
    send_all_to(made, 1)
    return made


async def closed(wire: Wire) -> float:
    """Return when the connection was closed, on the monotonic clock."""
    async with asyncio.timeout(20):
        while not wire.is_closed:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
    return time.monotonic()


async def test_a_connection_is_idle_from_its_last_answer_on(door: FakeDoor) -> None:
    [(protocol, wire)] = connected(door, 1, timeout_keep_alive=IDLE)
    for _ in range(4):
        protocol.data_received(REQUEST)
        await a_turn()
        await asyncio.sleep(IDLE * 0.6)
        last = time.monotonic() - IDLE * 0.6

    assert len(wire.written) == 4
    assert not wire.is_closed
    assert IDLE - 0.02 < await closed(wire) - last < 20


async def test_a_request_that_is_being_read_when_the_clock_ends_is_answered(door: FakeDoor) -> None:
    [(protocol, wire)] = connected(door, 1, timeout_keep_alive=IDLE)
    protocol.data_received(REQUEST)
    await a_turn()
    protocol.data_received(REQUEST[:-5])

    await asyncio.sleep(IDLE * 1.5)
    assert not wire.is_closed
    protocol.data_received(REQUEST[-5:])
    await a_turn()

    assert len(wire.written) == 2
    await closed(wire)


async def test_a_connection_that_is_lost_leaves_no_clock(door: FakeDoor) -> None:
    [(protocol, _)] = connected(door, 1, timeout_keep_alive=IDLE)
    protocol.data_received(REQUEST)
    await a_turn()

    protocol.connection_lost(ConnectionResetError())

    assert protocol.timeout_keep_alive_task is None
