"""The stores that the contract suite runs over, and a way to put garbage into each of them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from gateway.store.embedded import EmbeddedServer
from gateway.store.keys import route_key
from gateway.store.memory import MemoryRouteStore
from gateway.store.redis_store import RedisRouteStore
from gateway.store.server_binary import find_server
from tests.store.servers import USER, one_node_cluster, past_the_user

if TYPE_CHECKING:
    from gateway.ports.routes import RouteStore

Poison = Callable[[str, dict[str, bytes]], Awaitable[None]]
Tamper = Callable[[str, dict[bytes, bytes]], Awaitable[None]]
SecondsLeft = Callable[[str], Awaitable[float | None]]
Expire = Callable[[str], Awaitable[None]]


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedServer(tmp_path_factory.mktemp("embedded"), find_server(None))
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH: the suite ran over the embedded server only")
    server = EmbeddedServer(tmp_path_factory.mktemp("redis-server"), Path(binary))
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster, seen by the user whom deploy/redis/users.acl allows least; nothing may have been refused to it."""
    with one_node_cluster(tmp_path_factory.mktemp("cluster")) as server:
        yield f"redis+cluster://{USER}@127.0.0.1:{server.port}"
        refused = [entry for entry in server.ask("ACL", "LOG") if "gateway" in str(entry)]
        assert refused == []


@pytest.fixture(params=["memory", "embedded", "redis-server", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of a server, or nothing for the store in memory."""
    if request.param == "memory":
        return ""
    found: str = request.getfixturevalue(request.param.replace("-", "_") + "_url")
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[RouteStore]:
    store: RouteStore = RedisRouteStore(url) if url else MemoryRouteStore()
    yield store
    await store.close()


@pytest.fixture
def model() -> str:
    """A name of its own for each test: the servers are shared by all of them."""
    return f"model-{os.urandom(8).hex()}"


@pytest.fixture
def poison(url: str, store: RouteStore) -> Poison:
    """Replace fields of a stored route behind the store's back; the value ``b""`` deletes the field."""

    async def in_memory(model: str, fields: dict[str, bytes]) -> None:
        assert isinstance(store, MemoryRouteStore)
        held = store._hashes.setdefault(model, {})
        held.update(fields)
        for name in [name for name, value in held.items() if not value]:
            del held[name]

    async def in_redis(model: str, fields: dict[str, bytes]) -> None:
        async with Redis.from_url(past_the_user(url), protocol=2) as client:
            for name, value in fields.items():
                words = ("HSET", route_key(model), name, value) if value else ("HDEL", route_key(model), name)
                await client.execute_command(*words)  # type: ignore[no-untyped-call]  # the library leaves it so

    return in_redis if url else in_memory


@pytest.fixture
def seconds_left(url: str, store: RouteStore) -> SecondsLeft:
    """Say how long a key will last: None where it lasts for ever."""

    async def in_memory(key: str) -> float | None:
        assert isinstance(store, MemoryRouteStore)
        return store._ends[key] - time.time() if key in store._ends else None

    async def in_redis(key: str) -> float | None:
        async with Redis.from_url(past_the_user(url), protocol=2) as client:
            left: int = await client.pttl(key)
        return left / 1000 if left >= 0 else None

    return in_redis if url else in_memory


@pytest.fixture
def expire(url: str, store: RouteStore) -> Expire:
    """Let the time of a key be over."""

    async def in_memory(key: str) -> None:
        assert isinstance(store, MemoryRouteStore)
        store._ends[key] = time.time()

    async def in_redis(key: str) -> None:
        async with Redis.from_url(past_the_user(url), protocol=2) as client:
            await client.pexpire(key, 0)

    return in_redis if url else in_memory


@pytest.fixture
def tamper(url: str, store: RouteStore) -> Tamper:
    """Change fields of a rollout's evidence behind the store's back; the value ``b""`` deletes the field."""

    async def in_memory(key: str, fields: dict[bytes, bytes]) -> None:
        assert isinstance(store, MemoryRouteStore)
        held = store._evidence.setdefault(key, {})
        held.update(fields)
        for name in [name for name, value in held.items() if not value]:
            del held[name]

    async def in_redis(key: str, fields: dict[bytes, bytes]) -> None:
        async with Redis.from_url(past_the_user(url), protocol=2) as client:
            for name, value in fields.items():
                await (client.hset(key, name, value) if value else client.hdel(key, name))

    return in_redis if url else in_memory
