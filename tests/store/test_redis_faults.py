"""The store while its server is frozen, killed, gone, deaf or slow. Real servers, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import RevisionConflict, StoreUnavailable
from gateway.ports.evidence import Deltas
from gateway.ports.routes import AuditEntry, Fence
from gateway.store.calls import OneClient
from gateway.store.keys import seen_key
from gateway.store.redis_store import RedisRouteStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from gateway.ports.routes import StoredRoute
    from gateway.store.embedded import EmbeddedServer
    from tests.store.conftest import Proxy

ENTRY = AuditEntry(0, "ada", "because", "route", None, {"split": {"1": 100}})
FENCE = Fence("r", "1:9500,2:500")
ENDING = seen_key("m", "r", "error").encode()
"""Stands only in the second call of a write that ends a rollout."""
ONE_FAILURE = Deltas({"1|2|n": 1}, [("1|2|error", [7])])

CALLS: dict[str, Callable[[RedisRouteStore], Awaitable[Any]]] = {
    "heads": lambda store: store.heads(["m"]),
    "read": lambda store: store.read("m"),
    "write": lambda store: store.write("m", b"new", ENTRY, expected=1),
    "order": lambda store: store.order("m", 1, "load", ENTRY),
    "history": lambda store: store.history("m", limit=5),
    "ping": lambda store: store.ping(),
    "fenced write": lambda store: store.write("m", b"new", ENTRY, expected=1, fence=FENCE),
    "flush": lambda store: store.flush("m", "r", worker="w", seq=1, deltas=ONE_FAILURE),
    "totals": lambda store: store.totals("m", "r"),
    "lease": lambda store: store.lease("m", "w"),
    "now": lambda store: store.now(),
    "announce": lambda store: store.announce("a", "{}"),
}


async def seconds_to_fail(call: Awaitable[Any]) -> float:
    """Return how long *call* took to raise StoreUnavailable."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await call
    return time.monotonic() - started


def send(server: EmbeddedServer, what: signal.Signals) -> None:
    assert server.process_id is not None
    os.kill(server.process_id, what)


@pytest.mark.parametrize("is_warm", [True, False], ids=["connected before", "never connected"])
async def test_a_frozen_server_fails_every_call_within_its_deadline(
    server: EmbeddedServer, store: RedisRouteStore, is_warm: bool
) -> None:
    if is_warm:
        await store.write("m", b"old", ENTRY, expected=0)
    send(server, signal.SIGSTOP)

    took = await asyncio.gather(*(seconds_to_fail(call(store)) for call in CALLS.values()))

    assert max(took) < 1.1


async def test_more_callers_than_connections_wait_no_longer_for_a_frozen_server(
    server: EmbeddedServer, store: RedisRouteStore
) -> None:
    send(server, signal.SIGSTOP)

    took = await asyncio.gather(*(seconds_to_fail(store.read(f"m-{n}")) for n in range(200)))

    assert max(took) < 1.1


async def test_after_a_freeze_everybody_gets_their_own_answer(server: EmbeddedServer, store: RedisRouteStore) -> None:
    models = [f"m-{n}" for n in range(100)]
    for model in models:
        await store.write(model, model.encode(), ENTRY, expected=0)
    send(server, signal.SIGSTOP)
    await asyncio.gather(*(seconds_to_fail(store.read(model)) for model in models))

    send(server, signal.SIGCONT)
    async with asyncio.timeout(10):
        routes = await asyncio.gather(*(read_again_and_again(store, model) for model in models))

    assert [route and route.payload.decode() for route in routes] == models


async def read_again_and_again(store: RedisRouteStore, model: str) -> StoredRoute | None:
    """Return what is read of a server that was just thawed, which answers first what it was asked before."""
    while True:
        with contextlib.suppress(StoreUnavailable):
            return await store.read(model)


async def test_a_cancelled_call_leaves_its_answer_and_its_connection_to_nobody(store: RedisRouteStore) -> None:
    models = [f"m-{n}" for n in range(40)]
    for model in models:
        await store.write(model, model.encode(), ENTRY, expected=0)
    chance = random.Random(7)

    for _ in range(20):
        calls = [asyncio.ensure_future(store.read(model)) for model in models]
        for call in chance.sample(calls, 25):
            asyncio.get_running_loop().call_later(chance.uniform(0, 0.02), call.cancel)
        await asyncio.wait(calls)
    routes = await asyncio.gather(*(store.read(model) for model in models))

    assert [route and route.payload.decode() for route in routes] == models
    assert isinstance(store._calls._client, OneClient)
    assert not store._calls._client._client.connection_pool._in_use_connections


async def test_a_kill_loses_nothing_and_the_same_client_finds_the_new_server(
    server: EmbeddedServer, store: RedisRouteStore, kill: Callable[[], Awaitable[None]]
) -> None:
    url = server.start()
    written = await store.write("m", b"kept", ENTRY, expected=0)
    await kill()
    took = await seconds_to_fail(store.read("m"))

    again = server.start()

    assert took < 0.2
    assert again == url
    assert await store.read("m") == written
    assert (await store.write("m", b"next", ENTRY, expected=1)).revision == 2


async def test_the_first_call_after_a_restart_succeeds(
    server: EmbeddedServer, store: RedisRouteStore, kill: Callable[[], Awaitable[None]]
) -> None:
    await store.write("m", b"kept", ENTRY, expected=0)
    await kill()
    server.start()

    written = await store.write("m", b"next", ENTRY, expected=1)

    assert written.revision == 2


async def test_a_closed_port_fails_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        store = RedisRouteStore(f"redis://127.0.0.1:{taken.getsockname()[1]}")

        took = [await seconds_to_fail(call(store)) for call in CALLS.values()]

    await store.close()
    assert max(took) < 0.2


async def test_a_wire_that_swallows_everything_fails_every_call_within_its_deadline(
    proxy: Proxy, far_store: RedisRouteStore
) -> None:
    await far_store.ping()
    proxy.mute()
    proxy.is_mute = True

    took = await asyncio.gather(*(seconds_to_fail(call(far_store)) for call in CALLS.values()))

    assert max(took) < 1.1


async def test_a_server_that_answers_drop_by_drop_is_given_up_within_the_deadline() -> None:
    """Each part of the answer comes within the socket's timeout, the whole does not."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            writer.write(b"*20\r\n")
            while not writer.is_closing():
                writer.write(b"*4\r\n" + b"$-1\r\n" * 4)
                await asyncio.sleep(0.3)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as listener:
        store = RedisRouteStore(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        took = await seconds_to_fail(store.heads([f"m-{n}" for n in range(20)]))
        await store.close()

    assert took < 1.1


async def test_a_write_whose_reply_is_lost_is_one_write(proxy: Proxy, far_store: RedisRouteStore) -> None:
    await far_store.write("m", b"one", ENTRY, expected=0)
    proxy.lose_the_reply_to(b"EVALSHA")

    written = await far_store.write("m", b"two", ENTRY, expected=1)

    assert written.revision == 2
    assert await far_store.read("m") == written
    assert [entry.revision for entry in await far_store.history("m", limit=9)] == [2, 1]


async def test_an_order_whose_reply_is_lost_is_one_order(proxy: Proxy, far_store: RedisRouteStore) -> None:
    await far_store.order("m", 1, "load", ENTRY)
    proxy.lose_the_reply_to(b"EVALSHA")

    await far_store.order("m", 2, "load", ENTRY)

    assert len(await far_store.history("m", limit=9)) == 2


async def test_a_flush_whose_reply_is_lost_counts_once(proxy: Proxy, far_store: RedisRouteStore) -> None:
    await far_store.write("m", b"one", ENTRY, expected=0, fence=FENCE)
    await far_store.flush("m", "r", worker="w", seq=1, deltas=ONE_FAILURE)
    proxy.lose_the_reply_to(b"EVALSHA")

    totals = await far_store.flush("m", "r", worker="w", seq=2, deltas=ONE_FAILURE)

    assert totals is not None
    assert (totals["1|2|n"], totals["1|2|error"]) == ("2", "1")


async def test_the_end_of_a_rollout_whose_reply_is_lost_is_one_end(proxy: Proxy, far_store: RedisRouteStore) -> None:
    await far_store.write("m", b"one", ENTRY, expected=0, fence=FENCE)
    proxy.lose_the_reply_to(ENDING)

    written = await far_store.write("m", b"two", ENTRY, expected=1)

    assert written.revision == 2
    assert [entry.revision for entry in await far_store.history("m", limit=9)] == [2, 1]
    assert await far_store.flush("m", "r", worker="w", seq=1, deltas=ONE_FAILURE) is None


async def test_a_write_whose_reply_is_lost_is_not_denied_when_others_wrote_on(
    proxy: Proxy, far_store: RedisRouteStore, store: RedisRouteStore
) -> None:
    await far_store.write("m", b"one", ENTRY, expected=0)
    proxy.lose_the_reply_to(b"EVALSHA")
    proxy.before_loss = lambda: store.write("m", b"three", ENTRY, expected=2)

    written = await far_store.write("m", b"two", ENTRY, expected=1)

    assert (written.revision, written.payload) == (2, b"two")
    assert [entry.revision for entry in await store.history("m", limit=9)] == [3, 2, 1]


async def test_a_loser_whose_reply_is_lost_is_still_told(
    proxy: Proxy, far_store: RedisRouteStore, store: RedisRouteStore
) -> None:
    await store.write("m", b"one", ENTRY, expected=0)
    await store.write("m", b"two", ENTRY, expected=1)
    proxy.lose_the_reply_to(b"EVALSHA")

    with pytest.raises(RevisionConflict) as told:
        await far_store.write("m", b"mine", ENTRY, expected=1)

    assert told.value.actual == 2


async def test_plain_get_and_set_would_lose_edits(command: Callable[..., Awaitable[Any]]) -> None:
    """The negative control of the compare-and-set: the same operators without it."""

    async def edit(who: str) -> None:
        for _ in range(20):
            held = await command("GET", "naive")
            await command("SET", "naive", (held or b"") + f"{who}\n".encode())

    await asyncio.gather(*(edit(f"operator-{n}") for n in range(50)))

    assert len((await command("GET", "naive")).splitlines()) < 1000
