"""A subscriber survives everything that happens to its connection."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from gateway.ports.routes import AuditEntry
from gateway.store.nudges import SILENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from gateway.store.embedded import EmbeddedServer
    from gateway.store.redis_store import RedisRouteStore
    from tests.store.conftest import Proxy

ENTRY = AuditEntry(0, "ada", "because", "route", None, None)

RECOVERY_SECONDS = 2 * SILENCE_SECONDS + 1.5
"""Silence, the wait for a PONG, the pause before the next connection, and time for two busy cores."""


async def nudge_within(nudges: Any, seconds: float) -> float:
    started = time.monotonic()
    await asyncio.wait_for(anext(nudges), seconds)
    return time.monotonic() - started


async def test_a_half_open_connection_is_noticed_and_replaced(
    proxy: Proxy, far_store: RedisRouteStore, store: RedisRouteStore
) -> None:
    nudges = far_store.nudges()
    await nudge_within(nudges, 2)
    proxy.mute()

    await nudge_within(nudges, RECOVERY_SECONDS)
    await store.write("m", b"x", ENTRY, expected=0)
    took = await nudge_within(nudges, 2)

    assert took < 0.5
    assert proxy.accepted == 2


async def test_a_quiet_connection_is_kept(proxy: Proxy, far_store: RedisRouteStore) -> None:
    nudges = far_store.nudges()
    await nudge_within(nudges, 2)

    waiting = asyncio.ensure_future(anext(nudges))
    await asyncio.wait({waiting}, timeout=3 * SILENCE_SECONDS)

    assert not waiting.done()
    assert proxy.accepted == 1
    waiting.cancel()


async def test_a_server_that_refuses_a_ping_is_there_and_its_connection_is_kept(
    proxy: Proxy, far_store: RedisRouteStore, command: Callable[..., Awaitable[Any]]
) -> None:
    """As one does whose disk is full."""
    nudges = far_store.nudges()
    await nudge_within(nudges, 2)
    waiting = asyncio.ensure_future(anext(nudges))

    await command("ACL", "SETUSER", "default", "-ping")
    try:
        await asyncio.wait({waiting}, timeout=3 * SILENCE_SECONDS)
    finally:
        await command("ACL", "SETUSER", "default", "+ping")

    assert not waiting.done()
    assert proxy.accepted == 1
    waiting.cancel()


async def test_a_restarted_server_is_subscribed_to_again_and_the_outage_logged_once(
    server: EmbeddedServer,
    store: RedisRouteStore,
    kill: Callable[[], Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    nudges = store.nudges()
    await nudge_within(nudges, 2)
    waiting = asyncio.ensure_future(nudge_within(nudges, 10))

    with caplog.at_level(logging.INFO, "gateway.store"):
        await kill()
        await asyncio.wait({waiting}, timeout=1)
        was_nudged_without_a_server = waiting.done()
        server.start()
        await waiting

    assert not was_nudged_without_a_server
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_subscriber_may_come_before_the_server(
    server: EmbeddedServer, store: RedisRouteStore, kill: Callable[[], Awaitable[None]]
) -> None:
    await kill()
    waiting = asyncio.ensure_future(nudge_within(store.nudges(), 10))
    await asyncio.wait({waiting}, timeout=0.5)

    server.start()

    assert await waiting < 5


async def test_a_thawed_server_is_subscribed_to_again(server: EmbeddedServer, store: RedisRouteStore) -> None:
    nudges = store.nudges()
    await nudge_within(nudges, 2)
    waiting = asyncio.ensure_future(nudge_within(nudges, 10))
    assert server.process_id is not None

    os.kill(server.process_id, signal.SIGSTOP)
    await asyncio.wait({waiting}, timeout=2 * SILENCE_SECONDS + 0.5)
    os.kill(server.process_id, signal.SIGCONT)
    await waiting
    await store.write("m", b"x", ENTRY, expected=0)

    assert await nudge_within(nudges, 2) < 0.5


async def test_every_subscriber_is_nudged(store: RedisRouteStore) -> None:
    subscribers = [store.nudges() for _ in range(8)]
    await asyncio.gather(*(nudge_within(nudges, 2) for nudges in subscribers))

    await store.write("m", b"x", ENTRY, expected=0)

    assert max(await asyncio.gather(*(nudge_within(nudges, 2) for nudges in subscribers))) < 0.5


async def test_a_cancelled_subscriber_gives_its_connection_back(
    store: RedisRouteStore, command: Callable[..., Awaitable[Any]]
) -> None:
    async def listen() -> None:
        async for _ in store.nudges():
            subscribed.set()

    subscribed = asyncio.Event()
    task = asyncio.create_task(listen())
    await asyncio.wait_for(subscribed.wait(), 2)

    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    async with asyncio.timeout(2):
        while await command("PUBSUB", "CHANNELS"):  # noqa: ASYNC110 - only the server knows, and it tells nobody
            await asyncio.sleep(0.01)
