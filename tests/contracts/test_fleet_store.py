"""What every store does for the replicas that share it: in memory and on real servers."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from gateway.ports.store import REPLICA_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.store import FleetStore
    from gateway.store.memory import MemoryRouteStore
    from gateway.store.redis_store import RedisRouteStore

    Store = RedisRouteStore | MemoryRouteStore


@pytest.fixture
def names() -> tuple[str, str]:
    """Two replicas of this test alone: the servers are shared, and so is the one hash."""
    return f"a-{os.urandom(6).hex()}:9090", f"b-{os.urandom(6).hex()}:9090"


def of(names: tuple[str, str], said: Mapping[str, str]) -> dict[str, str]:
    return {name: words for name, words in said.items() if name in names}


def test_a_store_is_the_port(store: Store) -> None:
    def of_the_fleet(fleet: FleetStore) -> object:
        return fleet

    assert of_the_fleet(store) is store


async def test_every_replica_hears_what_the_others_said_last(store: Store, names: tuple[str, str]) -> None:
    a, b = names

    alone = await store.announce(a, '{"fraud": 1}')
    both = await store.announce(b, "")
    newer = await store.announce(a, "Größe 2 and\nmore")

    assert of(names, alone) == {a: '{"fraud": 1}'}
    assert of(names, both) == {a: '{"fraud": 1}', b: ""}
    assert of(names, newer) == {a: "Größe 2 and\nmore", b: ""}


async def test_a_replica_that_falls_silent_is_gone_and_one_that_speaks_on_is_not(
    store: Store, names: tuple[str, str]
) -> None:
    a, b = names
    await store.announce(a, "short", seconds=0.15)
    await store.announce(b, "long", seconds=30)
    await asyncio.sleep(0.2)

    left = await store.announce(b, "longer", seconds=0.15)
    await asyncio.sleep(0.2)
    back = await store.announce(a, "again")

    assert of(names, left) == {b: "longer"}
    assert of(names, back) == {a: "again"}


async def test_a_short_word_does_not_end_the_longer_one_of_another(store: Store, names: tuple[str, str]) -> None:
    a, b = names
    await store.announce(a, "long", seconds=30)
    await store.announce(b, "short", seconds=0.1)
    await asyncio.sleep(0.15)

    assert of(names, await store.announce(b, "new", seconds=0.1)) == {a: "long", b: "new"}


@pytest.mark.parametrize(
    ("name", "words"), [("", "x"), ("two words", "x"), ("é", "x"), ("a" * 129, "x"), ("a", "x" * (REPLICA_BYTES + 1))]
)
async def test_what_no_replica_is_called_or_says_is_refused(store: Store, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"replica|name"):
        await store.announce(name, words)
