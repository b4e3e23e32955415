"""The answers of a batch go out together, in order, and whatever happens while they are made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gateway.rest import shortcut
from gateway.serving.batching import Lane
from gateway.serving.outbox import Outbox
from tests.rest.door import FakeDoor, send_all_to
from tests.rest.in_memory import REQUEST, Wire, connected
from tests.serving.fakes import Caller, FakeRuns, FakeSession, FakeWatchdog, a_turn, loaded_version, pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

ENDING = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


class Flow:
    """Stands in for a connection's flow that its caller does not keep up with."""

    write_paused = True

    def __init__(self) -> None:
        self.is_read = True

    def pause_reading(self) -> None:
        self.is_read = False


@pytest.fixture
async def door() -> FakeDoor:
    made = FakeDoor()
    made.floor.held.hold("fraud", 1)
    send_all_to(made, 1)
    return made


async def unanswered_at_each_write(door: FakeDoor, requests: Sequence[bytes], monkeypatch: Any) -> list[int]:
    """Send *requests* in one tick; return how many of them had no answer yet as each answer was written."""
    connections = connected(door, len(requests))
    seen: list[int] = []

    def note(wire: Wire, data: bytes) -> None:
        seen.append(door.inference.in_flight)
        wire.written.append(data)

    for _, wire in connections:
        monkeypatch.setattr(wire, "write", partial(note, wire))
    for (protocol, _), request in zip(connections, requests, strict=True):
        protocol.data_received(request)
    await a_turn()
    assert all(b"HTTP/1.1 200 " in b"".join(wire.written) for _, wire in connections)
    assert [wire.is_closed for _, wire in connections] == [each is ENDING for each in requests]
    return seen


async def test_answers_are_written_when_all_of_their_batch_are_made(door: FakeDoor, monkeypatch: Any) -> None:
    assert await unanswered_at_each_write(door, [REQUEST] * 3, monkeypatch) == [0, 0, 0]


async def test_an_answer_that_ends_its_connection_is_written_before_that(door: FakeDoor, monkeypatch: Any) -> None:
    assert await unanswered_at_each_write(door, [REQUEST, ENDING, REQUEST], monkeypatch) == [1, 0, 0]


async def test_a_large_answer_is_not_held(door: FakeDoor, monkeypatch: Any) -> None:
    monkeypatch.setattr(shortcut, "SMALL_BYTES", 10)

    assert await unanswered_at_each_write(door, [REQUEST] * 3, monkeypatch) == [2, 1, 0]


async def test_who_does_not_read_its_answers_is_not_read_either() -> None:
    outbox, flow = Outbox(), Flow()
    written: list[bytes] = []
    outbox.held = [(written.append, b"1", flow), (written.append, b"2", flow)]

    outbox.send()

    assert written == [b"1", b"2"]
    assert not flow.is_read
    assert outbox.held is None


async def test_a_fault_while_a_batch_is_told_keeps_no_answer_back() -> None:
    outbox, flow = Outbox(), Flow()
    written: list[bytes] = []
    lane = Lane(loaded_version(FakeSession()), FakeWatchdog(), FakeRuns(), max_queue=64, outbox=outbox)

    def told() -> None:
        assert outbox.held is not None
        outbox.held.append((written.append, b"1", flow))

    def fault() -> None:
        raise ZeroDivisionError

    Caller(lane, pairs(1.0), told=told)
    Caller(lane, pairs(2.0), told=fault)
    with pytest.raises(ZeroDivisionError):
        lane._flush()

    assert written == [b"1"]
    assert outbox.held is None
