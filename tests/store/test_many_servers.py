"""What holds over several servers: failover, slots that move, TLS, and a user of the gateway's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Final

import pytest
from redis.crc import key_slot
from redis.exceptions import NoPermissionError

from gateway.core.errors import StoreUnavailable
from gateway.ports.routes import AuditEntry
from gateway.store.keys import route_key
from gateway.store.redis_store import RedisRouteStore
from tests.processes.certificates import Authority
from tests.store.servers import BINARIES, PASSWORD, USER, Server, acl_file, free_port, one_node_cluster, raw, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

ENTRY: Final = AuditEntry(0, "ada", "", "route", None, None)
MODEL: Final = "fraud"

FORBIDDEN: Final = (
    ("FLUSHALL",), ("KEYS", "*"), ("SCAN", 0), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("SHUTDOWN",), ("MONITOR",),
    ("SWAPDB", 0, 1), ("RENAME", route_key(MODEL), "gateway:x"), ("GET", "session:1"), ("PUBLISH", "news", "x"),
    ("EVAL", "return redis.call('GET', 'session:1')", 0), ("SCRIPT", "FLUSH"), ("CLUSTER", "RESET"),
    ("RESTORE", "gateway:x", 0, ""),
)  # fmt: skip


async def written(store: RedisRouteStore, payload: bytes, *, seconds: float = 15) -> int:
    """Write until the store takes it, as an operator would, and return the revision."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                held = await store.read(MODEL)
                if held is not None and held.payload == payload:
                    return held.revision
                return (await store.write(MODEL, payload, ENTRY, expected=held.revision if held else 0)).revision
            except StoreUnavailable:
                await asyncio.sleep(0.05)


@pytest.fixture(params=["embedded", pytest.param("redis-server", marks=pytest.mark.long)])
def binary(request: pytest.FixtureRequest) -> str:
    found = BINARIES[request.param]
    if found is None:
        pytest.skip(f"no {request.param} on PATH")
    return found


def test_the_shipped_user_may_do_nothing_that_the_gateway_does_not(tmp_path: Path, binary: str) -> None:
    with (
        one_node_cluster(tmp_path, binary=binary) as server,
        server.client(username="gateway", password=PASSWORD) as client,
    ):
        client.execute_command("SET", "gateway:{x}:lease", "1")
        for words in FORBIDDEN:
            with pytest.raises(Exception, match=r"(?i)permission|ACL failure|can't access"):
                client.execute_command(*words)
        with pytest.raises(NoPermissionError):
            client.execute_command("SUBSCRIBE", "news")


async def test_a_wrong_password_is_called_that_also_in_a_cluster(tmp_path: Path) -> None:
    with one_node_cluster(tmp_path) as server:
        store = RedisRouteStore(f"redis+cluster://gateway:wrong@127.0.0.1:{server.port}")

        with pytest.raises(StoreUnavailable, match="refuses the credentials"):
            await store.ping()

        await store.close()


@pytest.fixture
def sentinel_url(tmp_path: Path, binary: str) -> Iterator[tuple[str, list[Server]]]:
    """A primary, its replica and three Sentinels, all with the shipped user; first the address, then the servers."""
    users = ("--aclfile", str(acl_file(tmp_path)))
    primary = Server(tmp_path, *users, binary=binary).wait()
    replica = Server(tmp_path, *users, "--replicaof", f"127.0.0.1 {primary.port}", binary=binary).wait()
    servers = [primary, replica]
    try:
        until(lambda: replica.ask("INFO", "replication")["master_link_status"] == "up")
        for number in range(3):
            conf = tmp_path / f"{number}.conf"
            conf.write_text(
                f"sentinel monitor main 127.0.0.1 {primary.port} 2\nsentinel down-after-milliseconds main 500\n"
                "sentinel failover-timeout main 3000\n"
            )
            servers.append(Server(tmp_path, str(conf), "--sentinel", binary=binary).wait())
        for sentinel in servers[2:]:
            until(lambda sentinel=sentinel: _others(sentinel) == (2, 1))
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in servers[2:])
        yield f"redis+sentinel://{USER}@{hosts}/main", servers
    finally:
        for server in servers:
            server.stop()


def _others(sentinel: Server) -> tuple[int, int]:
    """Return how many Sentinels and replicas one Sentinel knows beside itself and the primary."""
    said = sentinel.ask("SENTINEL", "MASTER", "main")
    if isinstance(said, list):
        said = dict(zip(map(bytes.decode, said[::2]), said[1::2], strict=True))
    return int(said["num-other-sentinels"]), int(said["num-slaves"])


@pytest.mark.long
async def test_routes_and_writes_go_on_after_the_primary_is_lost_and_a_sentinel_with_it(
    sentinel_url: tuple[str, list[Server]],
) -> None:
    url, (primary, replica, sentinel, *_) = sentinel_url
    store = RedisRouteStore(url)
    nudges = store.nudges()
    await anext(nudges)
    assert await written(store, b"one") == 1
    until(lambda: replica.ask("HGET", route_key(MODEL), "revision") == b"1")

    os.kill(sentinel.process.pid, signal.SIGSTOP)
    os.kill(primary.process.pid, signal.SIGSTOP)
    revision = await written(store, b"two")

    assert revision == 2
    assert replica.ask("HGET", route_key(MODEL), "document") == b"two"
    await asyncio.wait_for(anext(nudges), 10)
    os.kill(primary.process.pid, signal.SIGCONT)
    until(lambda: primary.ask("ROLE")[0] == b"slave")
    assert await written(store, b"three") == 3
    await nudges.aclose()  # type: ignore[attr-defined]  # a generator, for the port an iterator
    await store.close()


@pytest.fixture
async def cluster(tmp_path: Path, binary: str) -> AsyncIterator[list[Server]]:
    """Two nodes that share the slots, with the shipped user; a third that has none and that nobody names."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--aclfile", str(acl_file(tmp_path)))
    servers = [Server(tmp_path, *options, binary=binary) for _ in range(3)]
    try:
        for server in servers:
            server.wait()
        servers[0].ask("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        servers[1].ask("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        for number, server in enumerate(servers):
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in servers[1:]:
            server.ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        for server in servers:
            until(lambda server=server: _knows_all(server))
        yield servers
    finally:
        for server in servers:
            server.stop()


def _knows_all(server: Server) -> bool:
    said = raw(server.ask("CLUSTER", "INFO"))
    has_all = b"cluster_state:ok" in said and b"cluster_known_nodes:3" in said
    return has_all and len(server.ask("CLUSTER", "SLOTS")) == 2


async def test_a_slot_moves_during_changes_to_a_node_that_nobody_named(cluster: list[Server]) -> None:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in cluster[:2])
    store = RedisRouteStore(f"redis+cluster://{USER}@{hosts}")
    assert await written(store, b"0") == 1
    slot = key_slot(MODEL.encode())
    source, target = cluster[slot // 8192], cluster[2]
    moving = asyncio.create_task(asyncio.to_thread(_move, slot, source, target))

    revisions: list[int] = []
    while not moving.done() or len(revisions) < 20:
        revisions.append(await written(store, b"%d" % len(revisions)))
        assert len(await store.heads([MODEL, "other", "third"])) == 1
    await moving

    assert revisions == sorted(set(revisions))
    held = await store.read(MODEL)
    history = await store.history(MODEL, limit=1000)
    assert held is not None
    assert held.revision == revisions[-1] == len(history)
    assert target.ask("HGET", route_key(MODEL), "document") == held.payload
    await store.close()


async def test_a_key_that_has_moved_is_read_before_its_slot_has_and_written_after(cluster: list[Server]) -> None:
    store = RedisRouteStore(f"redis+cluster://{USER}@127.0.0.1:{cluster[0].port}")
    await store.write(MODEL, b"one", ENTRY, expected=0)
    slot = key_slot(MODEL.encode())
    _move_keys(slot, cluster[slot // 8192], cluster[2])

    held, heads = await store.read(MODEL), await store.heads([MODEL])
    with pytest.raises(StoreUnavailable, match="is moving the keys of this model"):
        await store.write(MODEL, b"two", ENTRY, expected=1)

    assert held is not None
    assert (held.payload, heads[MODEL].revision) == (b"one", 1)
    assert cluster[slot // 8192].ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
    await store.close()


def _move(slot: int, source: Server, target: Server) -> None:
    """Move a slot as redis-cli does, slowly enough that changes come between any two of its steps."""
    target_id = _move_keys(slot, source, target, pause_seconds=0.1)
    for server in (target, source):
        server.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)


def _move_keys(slot: int, source: Server, target: Server, *, pause_seconds: float = 0) -> str:
    """Move the keys of a slot that stays where it is for now, and return the name of the node that has them."""
    source_id, target_id = (each.ask("CLUSTER", "MYID").decode() for each in (source, target))
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
        time.sleep(pause_seconds)
        source.ask("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 1000)
    time.sleep(pause_seconds)
    return str(target_id)


async def test_a_frozen_node_holds_up_only_the_models_that_are_on_it(cluster: list[Server]) -> None:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in cluster)
    slot = key_slot(MODEL.encode())
    os.kill(cluster[1 - slot // 8192].process.pid, signal.SIGSTOP)
    store = RedisRouteStore(f"redis+cluster://{USER}@{hosts}")

    async with asyncio.timeout(1):
        await store.write(MODEL, b"one", ENTRY, expected=0)

    await store.close()


async def test_over_tls_only_a_server_with_the_right_certificate_is_spoken_to(tmp_path: Path) -> None:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH: the embedded one has no TLS")
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    cert, key = authority.issue("server")
    port = free_port()
    files = ("--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-ca-cert-file", str(authority.path))
    users = ("--tls-auth-clients", "no", "--aclfile", str(acl_file(tmp_path)))
    server = Server(tmp_path, "--tls-port", str(port), *files, *users, binary=binary)
    url = f"rediss://{USER}@localhost:{port}?ssl_ca_certs="
    try:
        trusting, wary = RedisRouteStore(f"{url}{authority.path}"), RedisRouteStore(f"{url}{stranger.path}")
        assert await written(trusting, b"one") == 1
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            await wary.ping()
        await trusting.close()
        await wary.close()
    finally:
        server.stop()
