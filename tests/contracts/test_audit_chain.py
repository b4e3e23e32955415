"""The history of a model is a chain, in every store: each entry holds the digest of the one before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.core.audit import GENESIS, entry_digest, follow, link_of, members_of
from gateway.core.errors import InvalidDocument, RevisionConflict
from gateway.core.versions import WHOLE_MODEL
from gateway.ports.routes import AuditEntry
from gateway.store.keys import audit_key, route_key
from gateway.store.redis_store import RedisRouteStore

if TYPE_CHECKING:
    from gateway.ports.routes import RouteStore

DOCUMENT = {"split": {"1": 95, "2": 5}, "rules": [{"when": {"header:x": ["é"]}}], "tolerate": 0.1}


def entry(action: str = "route") -> AuditEntry:
    return AuditEntry(0, "ada", "b\udfffecause ä", action, None, DOCUMENT, address="10.0.0.7")


async def three_changes(store: RouteStore, model: str) -> None:
    await store.write(model, b"one", entry(), expected=0)
    await store.order(model, 3, "load", entry("load"))
    await store.write(model, b"two", entry(), expected=1)


async def test_each_entry_holds_the_digest_of_the_one_before(store: RouteStore, model: str) -> None:
    await three_changes(store, model)

    newest, middle, oldest = await store.history(model, limit=9)

    assert oldest.previous == GENESIS
    assert middle.previous == entry_digest(members_of(oldest))
    assert newest.previous == entry_digest(members_of(middle))


async def test_an_entry_says_where_its_author_was_and_which_version_an_order_named(
    store: RouteStore, model: str
) -> None:
    await three_changes(store, model)
    await store.order(model, WHOLE_MODEL, "unload", entry("unload"))

    history = await store.history(model, limit=9)

    assert [each.address for each in history] == ["10.0.0.7"] * 4
    assert [each.version for each in history] == ["all", "", "3", ""]


async def test_writers_at_once_leave_one_chain(store: RouteStore, model: str) -> None:
    async def write() -> None:
        for _ in range(5):
            head = (await store.heads([model])).get(model)
            try:
                await store.write(model, b"x", entry(), expected=head.revision if head else 0)
            except RevisionConflict:
                continue

    async def order(version: int) -> None:
        for _ in range(5):
            await store.order(model, version, "load", entry("load"))

    await asyncio.gather(write(), write(), *(order(version) for version in range(1, 5)))

    chain = follow(link_of(each) for each in await store.history(model, limit=99))
    assert chain.breaks == ()
    assert chain.is_whole
    assert chain.linked == chain.entries >= 25


async def test_each_change_leaves_the_head_of_the_chain_in_the_log(
    store: RouteStore, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    if not isinstance(store, RedisRouteStore):
        pytest.skip("the store in memory is this process's own")
    caplog.set_level("INFO", "gateway.store.links")

    await three_changes(store, model)

    logged = [record.getMessage().split(" ends in ")[1].split(" ")[0] for record in caplog.records]
    newest_first = await store.history(model, limit=9)
    chain = follow(link_of(each) for each in newest_first)
    assert logged[-1] == chain.head
    assert logged[:-1] == [each.previous for each in reversed(newest_first)][1:]


async def test_a_history_is_read_in_pages_without_a_gap(store: RouteStore, model: str) -> None:
    await three_changes(store, model)
    whole = await store.history(model, limit=9)

    pages = [await store.history(model, limit=2)]
    while pages[-1]:
        pages.append(await store.history(model, limit=2, before=pages[-1][-1].id))

    assert [each for page in pages for each in page] == whole
    assert [len(page) for page in pages] == [2, 1, 0]


@pytest.mark.parametrize("before", ["*", "x-1", "1", "-1-0", "1-2-3", "1 - 2", "٣-1"])
async def test_what_is_no_id_of_an_entry_is_refused(store: RouteStore, model: str, before: str) -> None:
    with pytest.raises(InvalidDocument):
        await store.history(model, limit=9, before=before)


async def test_what_a_store_knows_of_a_history_that_was_wiped_is_no_link(store: RouteStore, model: str) -> None:
    await three_changes(store, model)
    if not isinstance(store, RedisRouteStore):
        pytest.skip("the store in memory cannot be wiped")
    await store._calls._ask("DEL", route_key(model), audit_key(model))

    await store.write(model, b"new", entry(), expected=0)

    assert [each.previous for each in await store.history(model, limit=9)] == [GENESIS]


async def test_two_stores_at_one_history_leave_one_chain(store: RouteStore, model: str) -> None:
    if not isinstance(store, RedisRouteStore):
        pytest.skip("the store in memory is alone")
    other = RedisRouteStore.__new__(RedisRouteStore)
    other.__dict__.update(store.__dict__, _newest={})
    for revision in range(0, 6, 2):
        await store.write(model, b"one", entry(), expected=revision)
        await other.order(model, 1, "load", entry("load"))
        await other.write(model, b"two", entry(), expected=revision + 1)

    chain = follow(link_of(each) for each in await store.history(model, limit=99))

    assert (chain.entries, chain.linked, chain.breaks, chain.is_whole) == (9, 9, (), True)
