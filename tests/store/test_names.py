"""Names of servers while no name server answers: one lookup at a time, and nobody waits for it at the end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from gateway.store.connections import TcpConnection
from gateway.store.names import look_up

if TYPE_CHECKING:
    from collections.abc import Iterator


class Resolver:
    """Answers nothing until it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = threading.Event()

    def __call__(self, host: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        self.may_answer.wait(30)
        raise socket.gaierror(-3, "Temporary failure in name resolution")


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.may_answer.set()


async def test_whoever_wants_the_same_name_waits_for_one_lookup(resolver: Resolver) -> None:
    asking = [asyncio.create_task(look_up("store", 6379)) for _ in range(50)]
    await asyncio.sleep(0.05)
    resolver.may_answer.set()
    said = await asyncio.gather(*asking, return_exceptions=True)

    assert resolver.asked == ["store"]
    assert {type(each) for each in said} == {socket.gaierror}


async def test_a_name_is_looked_up_anew_after_an_answer(resolver: Resolver) -> None:
    resolver.may_answer.set()
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await look_up("store", 6379)

    assert resolver.asked == ["store", "store"]


async def test_an_address_is_not_looked_up(resolver: Resolver) -> None:
    await look_up("192.0.2.1", 6379)
    await look_up("::1", 6379)

    assert resolver.asked == []


def test_a_loop_ends_at_once_while_names_are_not_answered(resolver: Resolver) -> None:
    async def connect_in_vain() -> None:
        for _ in range(3):
            connection = TcpConnection(host="store", port=6379, socket_connect_timeout=0.05)
            with pytest.raises(TimeoutError):
                await connection._connect()

    began = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(connect_in_vain())

    assert resolver.asked == ["store"]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("host", ["a" * 300, "\0"])
async def test_what_can_be_no_name_is_not_known(host: str) -> None:
    with pytest.raises(socket.gaierror):
        await look_up(host, 6379)
