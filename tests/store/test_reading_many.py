"""A look at the routes of hundreds, twice a second in each process, must cost each of them next to nothing."""

from __future__ import annotations

import sys
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

CALLS_PER_HEAD = 24
"""Calls of Python functions. Over the library's pipeline they are 40."""


async def test_heads_of_many_routes_come_in_their_places_with_what_is_no_route_among_them(
    store: RedisRouteStore, command: Command
) -> None:
    held = [await store.write(MODELS[place], b"{}", ENTRY, expected=0) for place in (0, 499, 500, 1_200)]
    await command("SET", route_key(MODELS[777]), "no hash")

    heads = dict(await store.heads(MODELS))

    assert heads.pop(MODELS[777]) == RouteHead("", CORRUPT_REVISION, "", {})
    assert list(heads) == [MODELS[place] for place in (0, 499, 500, 1_200)]
    assert [head.digest for head in heads.values()] == [each.digest for each in held]


async def test_a_head_costs_a_few_calls(store: RedisRouteStore) -> None:
    for model in MODELS[:100]:
        await store.write(model, b"{}", ENTRY, expected=0)
    await store.heads(MODELS[:100])
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        await store.heads(MODELS[:100])
    finally:
        sys.setprofile(None)

    assert calls < CALLS_PER_HEAD * 100


async def test_a_connection_that_the_server_closed_costs_no_look(store: RedisRouteStore, command: Command) -> None:
    written = await store.write("m-1", b"{}", ENTRY, expected=0)
    await store.heads(MODELS)

    await command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert (await store.heads(MODELS))["m-1"].digest == written.digest


async def test_qualities_of_many_models_come_in_one_look(store: RedisRouteStore, command: Command) -> None:
    await store.remember("m-3", [Served("a", 1, b"p")], ttl_seconds=60)
    await command("SET", quality_key("m-900"), "no hash")

    found = await store.qualities(MODELS)

    assert list(found) == ["m-3", "m-900"]
    assert found["m-3"] == dict((await store.quality("m-3"))[0])
    assert isinstance(found["m-900"], CorruptRoute)
