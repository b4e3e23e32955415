"""Every refusal of the server becomes an error of ours that says what to check, and changes nothing."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.errors import CorruptRoute, StoreUnavailable
from gateway.core.notification import Kind, Notification
from gateway.ports.evidence import Deltas
from gateway.ports.routes import AuditEntry, Fence, RouteHead
from gateway.store.keys import HISTORY_LIMIT, REPLICAS, audit_key, evidence_key, lease_key, route_key, seen_key
from gateway.store.records import CORRUPT_REVISION
from gateway.store.redis_store import RedisRouteStore
from tests.store.servers import ACL_FILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.store.embedded import EmbeddedServer

    Command = Callable[..., Awaitable[Any]]


NEWS = Notification(Kind.CHANGED, "m", 3, "ada", "because", {}, {1: 100})
ENTRY = AuditEntry(0, "ada", "because", "route", None, {"split": {"1": 100}})


async def refusal(store: RedisRouteStore) -> str:
    """Return what the operator is told after a write."""
    with pytest.raises(StoreUnavailable) as told:
        await store.write("m", b"new", ENTRY, expected=1)
    return str(told.value)


async def test_a_full_store_is_named_and_keeps_what_it_had(store: RedisRouteStore, command: Command) -> None:
    before = await store.write("m", b"old", ENTRY, expected=0)
    await command("CONFIG", "SET", "maxmemory", "1")

    told = await refusal(store)

    assert "is full" in told
    assert await store.read("m") == before
    assert len(await store.history("m", limit=9)) == 1


async def test_a_replica_is_named_and_still_read(store: RedisRouteStore, command: Command) -> None:
    before = await store.write("m", b"old", ENTRY, expected=0)
    await command("REPLICAOF", "127.0.0.1", "1")

    told = await refusal(store)

    assert "read-only replica" in told
    assert await store.read("m") == before


async def test_a_user_without_rights_is_named(server: EmbeddedServer, command: Command) -> None:
    await command("ACL", "SETUSER", "eve", "on", ">hunter2", "~gateway:*", "+ping", "+hmget")
    store = RedisRouteStore(f"{server.start()}?username=eve&password=hunter2")

    await store.ping()
    told = await refusal(store)
    await store.close()

    assert "ACL" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("query", ["", "?password=hunter2", "?username=eve&password=hunter2"])
async def test_refused_credentials_are_named_and_not_repeated(
    server: EmbeddedServer, command: Command, query: str
) -> None:
    await command("CONFIG", "SET", "requirepass", "right")
    store = RedisRouteStore(f"{server.start()}{query}")

    told = await refusal(store)
    await store.close()

    assert "credentials" in told
    assert "hunter2" not in told


async def test_a_user_who_may_do_exactly_what_we_need_is_served(server: EmbeddedServer, command: Command) -> None:
    """The commands of the shipped user are enough; its channel is not needed."""
    (shipped,) = re.findall(r"^user gateway (.*)$", ACL_FILE.read_text(), re.MULTILINE)
    needed = re.findall(r"\+(\S+)", shipped)
    await command("ACL", "SETUSER", "bob", "on", ">pw", "resetchannels", "~gateway:*", *(f"+{word}" for word in needed))
    store = RedisRouteStore(f"{server.start()}?username=bob&password=pw")

    await store.write("m", b"x", ENTRY, expected=0)
    await store.order("m", 1, "load", ENTRY)
    heads, route, history = await store.heads(["m"]), await store.read("m"), await store.history("m", limit=9)
    await store.write("m", b"y", ENTRY, expected=1, fence=Fence("r", "1:9500,2:500"))
    flushed = await store.flush("m", "r", worker="w", seq=1, deltas=Deltas({"2|2|n": 1}, [("2|2|error", [7])]))
    totals, is_held, now = await store.totals("m", "r"), await store.lease("m", "w"), await store.now()
    await store.write("m", b"z", ENTRY, expected=2, told=[NEWS])
    backlogs, claimed = await store.backlogs({"m": ["ops"]}), await store.claim("m", "ops", seconds=9)
    assert claimed is not None
    await store.settle("m", "ops", claimed, given_up="no")
    (given_up,) = await store.undelivered("m")
    assert await store.again("m", given_up.key)
    await store.close()
    denied = [entry for entry in await command("ACL", "LOG") if "channel" not in str(entry)]

    assert denied == []
    assert backlogs["m", "ops"].is_due
    assert (heads["m"].revision, route and route.payload, len(history)) == (1, b"x", 2)
    assert flushed == totals
    assert is_held
    assert now > 0


async def test_a_server_that_forgot_the_scripts_is_told_them_again(store: RedisRouteStore, command: Command) -> None:
    await store.write("m", b"one", ENTRY, expected=0)
    await command("SCRIPT", "FLUSH")

    written = await store.write("m", b"two", ENTRY, expected=1)

    assert written.revision == 2


async def test_something_that_is_no_redis_is_unavailable() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        store = RedisRouteStore(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        told = await refusal(store)
        await store.close()

    assert "127.0.0.1" in told


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 300, "%00"])
async def test_a_host_that_is_none_is_unavailable(host: str) -> None:
    store = RedisRouteStore(f"redis://{host}:6379")

    told = await refusal(store)
    await store.close()

    assert "check that it runs" in told


async def test_a_key_of_another_kind_is_a_corrupt_route_that_holds_nobody_back(
    store: RedisRouteStore, command: Command
) -> None:
    await store.write("healthy", b"x", ENTRY, expected=0)
    await command("SET", route_key("m"), "poison")

    heads = await store.heads(["m", "healthy"])
    with pytest.raises(CorruptRoute) as read:
        await store.read("m")
    with pytest.raises(CorruptRoute) as ordered:
        await store.order("m", 1, "load", ENTRY)

    assert heads["m"] == RouteHead("", CORRUPT_REVISION, "", {})
    assert heads["healthy"].revision == 1
    assert (read.value.reason, ordered.value.reason) == ("wrong_type", "wrong_type")


async def test_a_key_of_another_kind_can_be_replaced(store: RedisRouteStore, command: Command) -> None:
    await command("LPUSH", route_key("m"), "poison")

    repaired = await store.write("m", b"good", ENTRY, expected=CORRUPT_REVISION)

    assert await store.read("m") == repaired


async def test_a_history_of_another_kind_refuses_the_change_before_anything_is_changed(
    store: RedisRouteStore, command: Command
) -> None:
    before = await store.write("m", b"old", ENTRY, expected=0)
    await command("SET", audit_key("m"), "poison")

    for call in (
        store.write("m", b"new", ENTRY, expected=1),
        store.order("m", 1, "load", ENTRY),
        store.history("m", limit=9),
    ):
        with pytest.raises(CorruptRoute) as refused:
            await call
        assert refused.value.reason == "audit"

    assert await store.read("m") == before


@pytest.mark.parametrize(
    "fields",
    [
        {"x": "y"},
        {"revision": "one", "who": "", "reason": "", "action": "", "before": "null", "after": "null"},
        {"revision": "1", "who": b"\xff", "reason": "", "action": "", "before": "null", "after": "null"},
        {"revision": "1", "who": "", "reason": "", "action": "", "before": "[]", "after": "null"},
        {"revision": "1", "who": "", "reason": "", "action": "", "before": "{", "after": "null"},
    ],
)
async def test_what_is_no_entry_is_left_out_of_the_history(
    store: RedisRouteStore, command: Command, fields: dict[str, str]
) -> None:
    await store.write("m", b"one", ENTRY, expected=0)
    await command("XADD", audit_key("m"), "*", *(part for pair in fields.items() for part in pair))
    await store.write("m", b"two", ENTRY, expected=1)

    history = await store.history("m", limit=9)

    assert [entry.revision for entry in history] == [2, 1]


async def test_the_history_is_bounded(store: RedisRouteStore, command: Command) -> None:
    await command(
        "EVAL",
        "for i = 1, 12000 do redis.call('XADD', KEYS[1], '*', 'revision', i, 'who', 'w', 'reason', 'r', 'action', 'a',"
        " 'before', 'null', 'after', 'null') end",
        1,
        audit_key("m"),
    )

    await store.write("m", b"one", ENTRY, expected=0)

    assert 10_000 <= await command("XLEN", audit_key("m")) < 10_200
    assert len(await store.history("m", limit=10**6)) == HISTORY_LIMIT


# What a rollout counted


FENCE, ONE_FAILURE = Fence("r", "1:9500,2:500"), Deltas({"1|2|n": 1}, [("1|2|error", [7])])


async def flush(store: RedisRouteStore, seq: int = 1) -> Mapping[str, str] | None:
    return await store.flush("m", "r", worker="w", seq=seq, deltas=ONE_FAILURE)


async def test_a_plain_route_and_a_step_are_written_in_one_call_and_the_end_of_a_rollout_in_two(
    store: RedisRouteStore, command: Command
) -> None:
    async def calls(expected: int, fence: Fence | None) -> int:
        await command("CONFIG", "RESETSTAT")
        await store.write("m", b"x", ENTRY, expected=expected, fence=fence)
        count: int = (await command("INFO", "commandstats"))["cmdstat_evalsha"]["calls"]
        return count

    await store.write("warm", b"x", ENTRY, expected=0)

    made = [await calls(expected, fence) for expected, fence in enumerate([None, None, FENCE, FENCE, None, None])]

    assert made == [1, 1, 1, 1, 2, 1]


async def test_evidence_of_another_kind_refuses_the_write_before_anything_is_changed(
    store: RedisRouteStore, command: Command
) -> None:
    before = await store.write("m", b"old", ENTRY, expected=0)
    await command("LPUSH", evidence_key("m", "r"), "poison")

    with pytest.raises(CorruptRoute) as refused:
        await store.write("m", b"new", ENTRY, expected=1, fence=FENCE)

    assert refused.value.reason == "evidence"
    assert await store.read("m") == before
    assert len(await store.history("m", limit=9)) == 1


async def test_a_rollout_whose_evidence_is_of_another_kind_can_be_ended(
    store: RedisRouteStore, command: Command
) -> None:
    await store.write("m", b"old", ENTRY, expected=0, fence=FENCE)
    await command("DEL", evidence_key("m", "r"))
    await command("SET", evidence_key("m", "r"), "poison")

    ended = await store.write("m", b"new", ENTRY, expected=1)

    assert ended.revision == 2
    assert await command("TTL", evidence_key("m", "r")) > 0


@pytest.mark.parametrize(
    ("key", "reason"),
    [(route_key("m"), "wrong_type"), (evidence_key("m", "r"), "evidence"), (seen_key("m", "r", "error"), "evidence")],
    ids=["route", "evidence", "seen"],
)
async def test_a_flush_into_a_key_of_another_kind_is_refused_and_adds_nothing(
    store: RedisRouteStore, command: Command, key: str, reason: str
) -> None:
    await store.write("m", b"x", ENTRY, expected=0, fence=FENCE)
    await command("DEL", key)
    await command("SET", key, "poison")

    with pytest.raises(CorruptRoute) as refused:
        await flush(store)

    assert refused.value.reason == reason
    assert await command("GET", key) == b"poison"
    if key != evidence_key("m", "r"):
        assert await store.totals("m", "r") == {"1|slots": "1:9500,2:500"}


async def test_totals_under_a_key_of_another_kind_are_refused(store: RedisRouteStore, command: Command) -> None:
    await command("SET", evidence_key("m", "r"), "poison")

    with pytest.raises(CorruptRoute, match="no hash"):
        await store.totals("m", "r")


@pytest.mark.parametrize("words", [("SET", "b"), ("LPUSH", "b")], ids=["a name without an end", "no name"])
async def test_a_lease_of_garbage_is_no_lease(store: RedisRouteStore, command: Command, words: tuple[str, str]) -> None:
    await command(words[0], lease_key("m"), words[1])

    assert await store.lease("m", "a")
    assert 0 < await command("PTTL", lease_key("m")) <= 3000


@pytest.mark.parametrize(
    "words",
    [("SET", REPLICAS, "x"), ("HSET", REPLICAS, "b", "no time"), ("HSET", REPLICAS, "b", "9" * 30 + " x")],
    ids=["no hash", "no end", "an end that is no time"],
)
async def test_garbage_among_the_replicas_is_nobodys_word_and_goes(
    store: RedisRouteStore, command: Command, words: tuple[str, ...]
) -> None:
    await command(*words)

    assert await store.announce("a", "{}") == {"a": "{}"}
    assert await command("HLEN", REPLICAS) == 1
    assert 0 < await command("PTTL", REPLICAS) <= 10_000


async def test_a_full_store_takes_no_evidence_and_the_same_flush_counts_once_there_is_room(
    store: RedisRouteStore, command: Command
) -> None:
    await store.write("m", b"x", ENTRY, expected=0, fence=FENCE)
    await command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="is full"):
        await flush(store)
    kept = await store.totals("m", "r")
    await command("CONFIG", "SET", "maxmemory", "0")

    assert kept == {"1|slots": "1:9500,2:500"}
    assert await flush(store) == {**kept, "1|2|n": "1", "1|2|error": "1"}
