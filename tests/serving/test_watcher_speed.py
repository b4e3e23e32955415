"""How long a change takes to reach every worker: with nudges, and when they are lost."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from gateway.store.embedded import EmbeddedServer
from gateway.store.memory import MemoryRouteStore
from gateway.store.redis_store import RedisRouteStore
from gateway.store.server_binary import find_server
from tests.serving.replica import Replica, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from gateway.ports.routes import RouteStore

WATCHERS = 4
CHANGES = 200
LOST_CHANGES = 8

NOMINAL_SECONDS = 0.050
LOST_SECONDS = 2.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedServer(tmp_path_factory.mktemp("embedded"), find_server(None))
    yield server.start()
    server.stop()


@pytest.fixture(params=["memory", "embedded"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], RouteStore]]:
    """Connect to one store, again for every worker."""
    opened: list[RouteStore] = []
    shared = MemoryRouteStore()

    def connect() -> RouteStore:
        store: RouteStore = shared if request.param == "memory" else RedisRouteStore(request.getfixturevalue("url"))
        opened.append(store)
        return store

    yield connect
    for store in opened:
        await store.close()


async def slowest_per_change(
    connect: Callable[[], RouteStore], directory: Path, changes: int, *, nudged: bool
) -> list[float]:
    """Return how long each change took to reach the last of the workers, ascending."""
    writer, draw = connect(), random.Random(1)
    replicas = []
    for number in range(WATCHERS):
        (directory / str(number)).mkdir()
        replicas.append(Replica(connect(), directory / str(number)))
    head = (await writer.heads(["fraud"])).get("fraud")
    last = head.revision if head else 0
    written_at: dict[int, float] = {}
    try:
        last = (await write(writer, {"1": 100, "2": 0}, last)).revision
        for replica in replicas:
            replica.follow(nudged=nudged)
        await asyncio.gather(*(replica.serves(last) for replica in replicas))
        for weight in range(1, changes + 1):
            await asyncio.sleep(draw.uniform(0.0, 0.005 if nudged else 0.3))
            began = time.monotonic()
            last = (await write(writer, {"1": 1000 - weight, "2": weight}, last)).revision
            written_at[last] = began
            await asyncio.gather(*(replica.serves(last) for replica in replicas))
    finally:
        for replica in replicas:
            await replica.stop()
    return sorted(max(r.adopted_at[revision] for r in replicas) - at for revision, at in written_at.items())


async def test_a_change_reaches_every_worker_within_50_ms(connect: Callable[[], RouteStore], tmp_path: Path) -> None:
    took = await slowest_per_change(connect, tmp_path, CHANGES, nudged=True)

    assert len(took) == CHANGES
    assert took[int(0.99 * CHANGES) - 1] <= NOMINAL_SECONDS


async def test_a_change_whose_publication_is_lost_is_made_up_by_the_poll_and_only_by_it(
    connect: Callable[[], RouteStore], tmp_path: Path
) -> None:
    took = await slowest_per_change(connect, tmp_path, LOST_CHANGES, nudged=False)

    assert took[-1] <= LOST_SECONDS
    assert took[len(took) // 2] > NOMINAL_SECONDS  # so it is the nudge that keeps the promise above
