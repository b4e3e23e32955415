"""The store in memory can be away, as a real one can."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.ports.routes import AuditEntry
from gateway.store.memory import MemoryRouteStore

ENTRY = AuditEntry(0, "ada", "because", "route", None, None)


async def test_a_stopped_store_raises_at_every_call_and_keeps_what_it_has() -> None:
    store = MemoryRouteStore()
    written = await store.write("m", b"x", ENTRY, expected=0)
    store.stop()

    for call in (
        store.heads(["m"]),
        store.heads([]),
        store.read("m"),
        store.write("m", b"y", ENTRY, expected=1),
        store.order("m", 1, "load", ENTRY),
        store.history("m", limit=1),
        store.ping(),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    store.start()

    assert await store.read("m") == written
    assert len(await store.history("m", limit=9)) == 1


async def test_a_subscriber_is_nudged_when_the_store_comes_back() -> None:
    store = MemoryRouteStore()
    store.stop()
    waiting = asyncio.ensure_future(anext(store.nudges()))
    await asyncio.wait({waiting}, timeout=0.05)
    was_nudged_while_away = waiting.done()

    store.start()

    await asyncio.wait_for(waiting, 1)
    assert not was_nudged_while_away


async def test_what_the_caller_changes_later_is_not_changed_in_the_store() -> None:
    store = MemoryRouteStore()
    after = {"split": {"1": 100}}
    await store.write("m", b"x", AuditEntry(0, "", "", "route", None, after), expected=0)

    after["split"]["1"] = 5

    (entry,) = await store.history("m", limit=9)
    assert entry.after == {"split": {"1": 100}}
