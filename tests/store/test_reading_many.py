"""A look at the routes of thousands costs a command for five hundred of them, and not one for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.errors import CorruptRoute
from gateway.ports.labels import Served
from gateway.ports.routes import AuditEntry, RouteHead
from gateway.store.keys import quality_key, route_key
from gateway.store.records import CORRUPT_REVISION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from gateway.store.redis_store import RedisRouteStore

    Command = Callable[..., Awaitable[Any]]

ENTRY = AuditEntry(0, "ada", "because", "route", None, None)
MODELS = [f"m-{n}" for n in range(1_201)]


async def scripts_run(command: Command) -> int:
    found = await command("INFO", "commandstats")
    return sum(int(found[name]["calls"]) for name in ("cmdstat_eval", "cmdstat_evalsha") if name in found)


async def test_heads_of_many_routes_come_in_their_places_by_a_script_for_five_hundred(
    store: RedisRouteStore, command: Command
) -> None:
    held = [await store.write(MODELS[place], b"{}", ENTRY, expected=0) for place in (0, 499, 500, 1_200)]
    await command("SET", route_key(MODELS[777]), "no hash")
    await store.heads(MODELS)
    before = await scripts_run(command)

    heads = dict(await store.heads(MODELS))

    assert heads.pop(MODELS[777]) == RouteHead("", CORRUPT_REVISION, "", {})
    assert list(heads) == [MODELS[place] for place in (0, 499, 500, 1_200)]
    assert [head.digest for head in heads.values()] == [each.digest for each in held]
    assert await scripts_run(command) - before == 3


async def test_a_server_that_forgot_the_script_is_told_it_again(store: RedisRouteStore, command: Command) -> None:
    await store.write("m-1", b"{}", ENTRY, expected=0)
    await store.heads(MODELS)

    await command("SCRIPT", "FLUSH")

    assert list(await store.heads(MODELS)) == ["m-1"]


async def test_qualities_of_many_models_come_in_one_look(store: RedisRouteStore, command: Command) -> None:
    await store.remember("m-3", [Served("a", 1, b"p")], ttl_seconds=60)
    await command("SET", quality_key("m-900"), "no hash")
    await store.heads(MODELS)
    before = await scripts_run(command)

    found = await store.qualities(MODELS)

    assert list(found) == ["m-3", "m-900"]
    assert found["m-3"] == dict((await store.quality("m-3"))[0])
    assert isinstance(found["m-900"], CorruptRoute)
    assert await scripts_run(command) - before == 3
