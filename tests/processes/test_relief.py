"""New connections of a worker that stands still are taken by one that turns, and nobody else's are touched."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import grpc.aio
import pytest

from gateway.core.limits import DEFAULT
from gateway.processes.arrivals import Arrivals
from gateway.processes.http_server import HttpServer
from gateway.processes.relief import AT_ONCE, STALLED_SECONDS, Relief
from gateway.processes.slots import Slot
from gateway.processes.sockets import Entrance, open_sockets, shared
from gateway.processes.tls import read_contexts
from gateway.rest.guard import guarded
from gateway.rpc.server import GrpcServer
from gateway.settings import Settings
from tests.processes.certificates import Authority
from tests.processes.test_tls import answer_ok, ask
from tests.rpc.door import RpcDoor, message, numbers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from gateway.processes.kept_connections import KeptConnections
    from tests.rpc.door import Said

LOCAL: Final = "127.0.0.1"
NOW: Final = 1000.0
LATE: Final = STALLED_SECONDS + 0.1
PORTS: Final = {"http": 0, "grpc": 1}
"""Where each is among a worker's entrances."""
FULL: Final[Any] = SimpleNamespace(give=lambda _descriptor, *, is_new: not is_new)


@pytest.fixture
def slots() -> Iterator[list[Slot]]:
    """Three slots on ports of their own, so that a test says who is called; their workers are ready and listen."""
    with contextlib.ExitStack() as cleanup:
        made = []
        for number in range(3):
            entrances = shared([open_sockets(LOCAL, 0, 1, "--port")[0] for _ in PORTS])
            for entrance in entrances:
                cleanup.callback(entrance.close)
                entrance.sock.listen()
            made.append(Slot(number, *entrances))
            made[-1].child = ready(number)
        yield made


def ready(number: int, *, is_ready: bool = True) -> Any:
    return SimpleNamespace(pid=100 + number, is_ready=lambda: is_ready)


def beats(*late: float) -> list[Any]:
    """Return the beats of workers 0, 1 and 2, each so *late*."""
    return [SimpleNamespace(pid=100 + number, heartbeat=NOW - each) for number, each in enumerate(late)]


@contextlib.contextmanager
def callers(slot: Slot, count: int, port: int = 0) -> Iterator[None]:
    """Let *count* callers connect to the slot, and each send a byte."""
    with contextlib.ExitStack() as cleanup:
        for _ in range(count):
            cleanup.enter_context(socket.create_connection(address(slot, port))).sendall(b"?")
        yield


def address(slot: Slot, port: int = 0) -> tuple[str, int]:
    host, number = slot.entrances()[port].sock.getsockname()
    return host, number


def queue(slot: Slot, port: int = 0) -> KeptConnections:
    kept = slot.entrances()[port].kept
    assert kept is not None
    return kept


def taken(slot: Slot, port: int = 0) -> list[bytes]:
    """Return what came on each connection that the slot's worker is handed."""
    found = []
    for sock, is_new in queue(slot, port).take():
        with sock:
            assert is_new
            sock.settimeout(2.0)
            found.append(sock.recv(1))
    return found


def hand_on(slots: Sequence[Slot], found: Sequence[Any]) -> Relief:
    relief = Relief()
    relief.look(slots, found, NOW)
    relief.hand_on()
    return relief


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS)
def test_those_who_turn_take_in_turns_what_waits_for_one_that_stands_still(slots: list[Slot], port: int) -> None:
    with callers(slots[0], 4, port):
        relief = hand_on(slots, beats(LATE, 0.1, 0.1))

        assert relief.sockets() == [each.sock for each in slots[0].entrances()]
        assert [taken(slot, port) for slot in slots] == [[], [b"?"] * 2, [b"?"] * 2]
        assert [taken(slot, 1 - port) for slot in slots] == [[], [], []]


def test_without_grpc_there_is_one_port_to_take_over(slots: list[Slot]) -> None:
    for slot in slots:
        slot.rpc = None

    with callers(slots[0], 1):
        assert hand_on(slots, beats(LATE, 0.1, LATE)).sockets() == [slots[0].entrance.sock, slots[2].entrance.sock]
        assert taken(slots[1]) == [b"?"]


def test_nothing_is_taken_from_a_worker_that_turns(slots: list[Slot]) -> None:
    with callers(slots[0], 2):
        relief = hand_on(slots, beats(STALLED_SECONDS - 0.1, 0.1, 0.1))

        assert relief.sockets() == []
        assert [taken(slot) for slot in slots] == [[], [], []]


def test_where_all_stand_still_connections_wait_where_they_are(slots: list[Slot]) -> None:
    with callers(slots[0], 2):
        assert hand_on(slots, beats(LATE, LATE, LATE)).sockets() == []
        for _ in range(2):
            slots[0].entrance.sock.accept()[0].close()


def test_one_that_was_never_ready_is_left_alone_and_takes_nothing(slots: list[Slot]) -> None:
    slots[1].child, slots[2].child = ready(1, is_ready=False), None

    with callers(slots[0], 1):
        hand_on(slots, beats(LATE, 0.1, 0.1))

        assert [taken(slot) for slot in slots] == [[], [], []]
        assert hand_on(slots, beats(0.1, LATE, LATE)).sockets() == []


def test_a_socket_on_which_nobody_listens_yet_is_not_waited_for(slots: list[Slot]) -> None:
    with open_sockets(LOCAL, 0, 1, "--grpc-port")[0] as deaf:
        slots[0].rpc = Entrance(deaf)

        assert hand_on(slots, beats(LATE, 0.1, 0.1)).sockets() == [slots[0].entrance.sock]


def test_what_no_other_has_room_for_waits_for_the_successor(slots: list[Slot]) -> None:
    for slot in slots[1:]:
        slot.entrance = Entrance(slot.entrance.sock, FULL)

    with callers(slots[0], 2):
        hand_on(slots, beats(LATE, 0.1, 0.1))

        assert taken(slots[0]) == [b"?"] * 2


def test_the_launcher_looks_up_between_many(slots: list[Slot], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.processes.relief.AT_ONCE", 3)
    assert AT_ONCE > 3

    with callers(slots[0], 5):
        relief = hand_on(slots, beats(LATE, 0.1, 0.1))
        first = len(taken(slots[1]) + taken(slots[2]))
        relief.hand_on()

        assert (first, len(taken(slots[1]) + taken(slots[2]))) == (3, 2)


def test_a_worker_that_stands_still_is_told_of_once(slots: list[Slot], caplog: pytest.LogCaptureFixture) -> None:
    relief = Relief()

    for _ in range(3):
        relief.look(slots, beats(LATE, 0.1, 0.1), NOW)
    relief.look(slots, beats(0.1, 0.1, 0.1), NOW)

    assert [record.getMessage() for record in caplog.records] == [
        "worker 0 (process 100) has stood still for 1.1 s, its new connections go to 2 others"
    ]
    assert relief.sockets() == []


async def test_a_caller_of_a_port_with_tls_shakes_hands_with_who_takes_it(slots: list[Slot], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*authority.issue("gateway"))
    server = HttpServer(answer_ok, slots[1].entrance.sock, guarded(DEFAULT), tls, slots[1].entrance.kept)
    slots[2].child = None
    running = asyncio.create_task(server.run())
    port = address(slots[0])[1]

    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    asking = asyncio.create_task(ask(port, authority.client(), request))
    await asyncio.sleep(0.1)  # until it has connected
    hand_on(slots, beats(LATE, 0.1, 0.1))

    assert b"https" in await asking
    server.stop()
    await running


async def test_a_new_caller_that_says_nothing_has_as_long_for_its_head_as_any(slots: list[Slot]) -> None:
    limits = guarded(dataclasses.replace(DEFAULT, head_seconds=0.3))
    server = HttpServer(answer_ok, slots[1].entrance.sock, limits, None, slots[1].entrance.kept)
    slots[2].child = None
    running = asyncio.create_task(server.run())
    reader, writer = await asyncio.open_connection(*address(slots[0]))

    hand_on(slots, beats(LATE, 0.1, 0.1))

    async with asyncio.timeout(5):  # far sooner than a connection may rest
        await reader.read()
    writer.close()
    server.stop()
    await running


@contextlib.asynccontextmanager
async def taker_of_grpc(slots: list[Slot], tls: ssl.SSLContext | None = None) -> AsyncIterator[RpcDoor]:
    """Serve gRPC in slot 1, the only one of which the worker turns."""
    door, rpc = RpcDoor(timeout=20.0, max_body=10_000), slots[1].rpc
    assert rpc is not None
    door._port.close()  # it is called elsewhere
    server = GrpcServer(door.service, door.inference, rpc.sock, tls, Arrivals(queue(slots[1], PORTS["grpc"])))
    slots[2].child = None
    running = asyncio.create_task(server.run())
    try:
        yield door
    finally:
        server.stop()
        await running


async def relieved(slots: list[Slot], door: RpcDoor) -> Said:
    """Return what a call over the door's channel, which goes to slot 0, comes to once that is relieved."""
    async with door.channel:
        calling = asyncio.create_task(door.infer_message(message()))
        await asyncio.sleep(0.2)  # until it has connected
        assert not calling.done()
        hand_on(slots, beats(LATE, 0.1, 0.1))
        return await calling


async def test_a_caller_over_grpc_is_answered_by_who_takes_it(slots: list[Slot]) -> None:
    async with taker_of_grpc(slots) as door:
        door.channel = grpc.aio.insecure_channel("{}:{}".format(*address(slots[0], PORTS["grpc"])))

        said = await relieved(slots, door)

    assert numbers(said) == [101.0, 102.0]


async def test_a_caller_over_grpc_with_tls_shakes_hands_with_who_takes_it(slots: list[Slot], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("gateway")
    async with taker_of_grpc(slots, read_contexts(Settings(tls_cert=cert, tls_key=key)).rpc) as door:
        shown = grpc.ssl_channel_credentials(authority.path.read_bytes())
        target = "{}:{}".format(*address(slots[0], PORTS["grpc"]))
        door.channel = grpc.aio.secure_channel(target, shown)

        said = await relieved(slots, door)

    assert numbers(said) == [101.0, 102.0]


async def test_a_door_that_closes_takes_nothing_more(slots: list[Slot]) -> None:
    async with taker_of_grpc(slots):
        await asyncio.sleep(0.05)

    with callers(slots[0], 1, PORTS["grpc"]):
        hand_on(slots, beats(LATE, 0.1, 0.1))
        await asyncio.sleep(0.05)

        assert taken(slots[1], PORTS["grpc"]) == [b"?"], "it waits for who is next"
