"""A backup holds all that lasts of each model, goes back as it was, and replaces nothing that nobody gave up."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis.asyncio import Redis

from gateway.cli.main import main
from gateway.core.notification import Kind, Notification
from gateway.ports.evidence import Deltas
from gateway.ports.routes import AuditEntry, Fence
from gateway.store.backup import BackupRefused, Backups, read_document, write_document
from gateway.store.redis_store import RedisRouteStore
from tests.store.servers import PASSWORD, one_node_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from gateway.store.embedded import EmbeddedServer

ENTRY: Final = AuditEntry(0, "ada", "é", "route", None, {"split": {"1": 1}})
NEWS: Final = Notification(Kind.STARTED, "a", 1, "ada", "", {}, {1: 1})
PAYLOAD: Final = b"\xff\x00 not utf-8"


@pytest.fixture
def other_url(tmp_path: Path) -> Iterator[str]:
    """A cluster, seen by the user for backups; nothing may have been refused to it."""
    (tmp_path / "other").mkdir()
    with one_node_cluster(tmp_path / "other") as server:
        yield f"redis+cluster://gateway-backup:{PASSWORD}@127.0.0.1:{server.port}"
        assert [entry for entry in server.ask("ACL", "LOG") if "gateway" in str(entry)] == []


@pytest.fixture
async def backups(server: EmbeddedServer) -> AsyncIterator[Backups]:
    backups = Backups(server.start())
    yield backups
    await backups.close()


async def fill(store: RedisRouteStore) -> None:
    """Leave something of each kind of key that lasts, for two models."""
    await store.write("a", b"one", ENTRY, expected=0, told=[NEWS])
    await store.write("a", PAYLOAD, ENTRY, expected=1, fence=Fence("r", "1:9500,2:500"))
    await store.flush("a", "r", worker="w", seq=1, deltas=Deltas({"2|2|n": 1}, [("2|2|error", [7])]))
    await store.keep_reference("a", 1, "0" * 64, b"reference")
    await store.write("b", b"two", ENTRY, expected=0)


def without_time(models: dict[str, Any]) -> dict[str, Any]:
    """Return *models* without what a restore draws anew, and without how long keys last."""
    text = json.loads(json.dumps(models))
    for key in (key for keys in text.values() for key in keys):
        key["left_ms"] = key["left_ms"] is not None
        if key["key"].endswith("}:route"):
            at = key["holds"].index("incarnation")
            key["holds"][at + 1] = ""
        if key["kind"] in {"hash", "set"}:
            pairs = (
                key["holds"] if key["kind"] == "set" else list(zip(key["holds"][::2], key["holds"][1::2], strict=True))
            )
            key["holds"] = sorted(pairs)
    return text  # type: ignore[no-any-return]  # parsed JSON


async def test_what_is_restored_is_what_was_backed_up(store: RedisRouteStore, backups: Backups, other_url: str) -> None:
    await fill(store)
    document = write_document(await backups.take(), release="0.3.0", at="now")
    other = Backups(other_url)

    await other.put(read_document(document), force=False)

    assert without_time(await other.take()) == without_time(await backups.take())
    assert {key["key"].split("}:")[1].split(":")[0] for key in read_document(document)["a"]} == {
        "route", "audit", "evidence", "seen", "reference", "outbox",
    }  # fmt: skip
    await other.close()


async def test_a_restored_route_is_of_another_incarnation_so_that_gateways_follow_it_back(
    store: RedisRouteStore, backups: Backups
) -> None:
    await fill(store)
    models = await backups.take()
    before = await store.write("a", b"three", ENTRY, expected=2)

    await backups.put(models, force=True)

    held = await store.read("a")
    assert held is not None
    assert (held.revision, held.payload) == (2, PAYLOAD)
    assert held.incarnation != before.incarnation
    assert [entry.revision for entry in await store.history("a", limit=9)] == [2, 1]
    assert (await store.write("a", b"four", ENTRY, expected=2)).revision == 3


async def test_nothing_is_replaced_without_force_and_then_all_of_the_model(
    store: RedisRouteStore, backups: Backups
) -> None:
    await store.write("a", b"one", ENTRY, expected=0)
    models = await backups.take()
    await store.keep_reference("a", 7, "1" * 64, b"later")
    held = await backups.take()

    with pytest.raises(BackupRefused, match="--force"):
        await backups.put({"new": [], **models}, force=False)
    unchanged = await backups.take()
    await backups.put(models, force=True)

    assert without_time(unchanged) == without_time(held)
    assert without_time(await backups.take()) == without_time(models)


async def test_a_hash_of_any_size_goes_back(command: Callable[..., Awaitable[Any]], backups: Backups) -> None:
    words = [str(n) for n in range(9_000)]
    for start in range(0, len(words), 3_000):
        await command("HSET", "gateway:{a}:quality", *words[start : start + 3_000])
        await command("SADD", "gateway:{a}:seen:r:error", *words[start : start + 3_000])
    models = await backups.take()

    await backups.put(models, force=True)

    assert without_time(await backups.take()) == without_time(models)
    assert await command("HLEN", "gateway:{a}:quality") == 4_500


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda text: text.replace(b"one", b"two"), "changed or damaged"),
        (lambda text: text.replace(b'"format": 1', b'"format": 2'), "format 2, written by 9.9.9; restore it with that"),
        (lambda text: text.replace(b'"format": 1', b'"format": 0'), "changed or damaged"),
        (lambda text: text[:-9], "not all of it"),
        (lambda _: b"[]", "no backup"),
    ],
)
def test_a_document_that_is_newer_or_was_changed_is_refused(changed: Callable[[bytes], bytes], told: str) -> None:
    document = write_document({"a": [{"key": "k", "holds": ["one"]}]}, release="9.9.9", at="now")

    with pytest.raises(BackupRefused, match=told):
        read_document(changed(document))


def test_two_commands_bring_a_wiped_store_back(
    server: EmbeddedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, file = server.start(), str(tmp_path / "backup.json")

    async def written() -> None:
        store = RedisRouteStore(url)
        await fill(store)
        await store.close()

    async def wiped() -> None:
        async with Redis.from_url(url) as client:
            await client.flushall()

    asyncio.run(written())
    assert main(["backup", file, "--redis-url", url]) == 0
    assert main(["restore", file, "--redis-url", url]) == 1
    assert "--force" in capsys.readouterr().err
    asyncio.run(wiped())
    assert main(["restore", file, "--redis-url", url, "--dry-run"]) == 0
    assert main(["restore", file, "--state-dir", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == ["a", "b"]
    assert main(["backup", file, "--redis-url", url]) == 1
    assert main(["restore", file, "--state-dir", str(tmp_path / "nowhere")]) == 1
    assert "--redis-url names no store" in capsys.readouterr().err
