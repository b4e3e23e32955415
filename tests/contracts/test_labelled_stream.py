"""What every stream of labelled answers does: in memory and on real servers."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import CorruptRoute
from gateway.ports.labels import Served
from gateway.store.keys import LABELLED_SECONDS, labelled_key, served_key
from tests.store.servers import past_the_user

if TYPE_CHECKING:
    from gateway.ports.labels import LabelledStore, LabelledStream
    from gateway.store.memory import MemoryRouteStore
    from gateway.store.redis_store import RedisRouteStore
    from tests.contracts.conftest import SecondsLeft

    Store = RedisRouteStore | MemoryRouteStore

INPUTS = {"x": {"datatype": "FP32", "shape": [1, 2], "data": [0.5, 2.0]}}


def kept(name: str, stream: int = 1_000) -> Served:
    return Served(name, 1, b"p", inputs=json.dumps(INPUTS).encode(), stream=stream)


async def say(store: Store, model: str, name: str, text: str = '["1"]', predicted: str = '["0"]') -> str:
    example = {"id": name, "version": "1", "kind": "label", "said": text, "predicted": predicted}
    return await store.label(model, name, "label", text, {"1|labelled": 1}, example=example)


async def fill(store: Store, model: str, *names: str, stream: int = 1_000) -> None:
    await store.remember(model, [kept(name, stream) for name in names], ttl_seconds=60)
    for name in names:
        assert await say(store, model, name) == "counted"


async def ids(stream: LabelledStream, consumer: str, count: int = 10) -> list[str]:
    return [each.id for each in await stream.read("learner", consumer, count, 0)]


def test_the_store_is_the_port(store: Store) -> None:
    def of_labelled(labelled: LabelledStore) -> object:
        return labelled

    assert of_labelled(store) is store


async def test_a_label_that_counts_makes_one_entry_and_no_other_does(store: Store, model: str) -> None:
    await store.remember(model, [kept("a"), Served("bare", 1, b"p")], ttl_seconds=60)

    came = [await say(store, model, *each) for each in (("a",), ("a",), ("a", '["2"]'), ("ghost",), ("bare",))]

    assert came == ["counted", "duplicate", "conflict", "unknown", "counted"]
    assert await store.labelled(model).length() == 1


async def test_labels_of_many_workers_at_once_make_one_entry_each(store: Store, model: str) -> None:
    names = [str(n) for n in range(40)]
    await store.remember(model, [kept(name) for name in names], ttl_seconds=60)

    await asyncio.gather(*(say(store, model, name) for name in names for _ in range(3)))

    stream = store.labelled(model)
    assert sorted(await ids(stream, "one", 100), key=int) == names
    assert await stream.length() == 40


async def test_an_entry_says_what_was_asked_predicted_and_said(store: Store, model: str) -> None:
    before = time.time_ns() // 1_000_000
    await fill(store, model, "a")

    (found,) = await store.labelled(model).read("learner", "one", 10, 0)

    assert (found.id, found.version, found.kind, found.said, found.predicted) == ("a", 1, "label", ("1",), ("0",))
    assert found.inputs == INPUTS
    assert abs(found.at_ms - before) < 60_000


async def test_a_consumer_gets_its_own_again_until_it_acknowledges_them_then_new_ones(store: Store, model: str) -> None:
    await fill(store, model, "a", "b", "c")
    stream = store.labelled(model)

    first = await stream.read("learner", "one", 2, 0)
    again = await stream.read("learner", "one", 10, 0)
    held = await stream.pending("learner")
    await stream.acknowledge("learner", [each.entry for each in first])

    assert [each.id for each in first] == [each.id for each in again] == ["a", "b"]
    assert held == 2
    assert await ids(stream, "one") == ["c"]
    assert (await stream.pending("learner"), await stream.length()) == (1, 3)


async def test_two_consumers_of_a_group_share_and_two_groups_each_get_all(store: Store, model: str) -> None:
    await fill(store, model, "a", "b")
    stream = store.labelled(model)

    shared = [await ids(stream, "one", 1), await ids(stream, "two", 10)]

    assert shared == [["a"], ["b"]]
    assert [each.id for each in await stream.read("other", "one", 10, 0)] == ["a", "b"]


async def test_what_a_dead_consumer_left_is_another_ones_after_a_time(
    store: Store, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, model, "a", "b")
    stream = store.labelled(model)
    assert await ids(stream, "dead", 1) == ["a"]
    assert await ids(stream, "heir", 1) == ["b"]
    await stream.acknowledge("learner", [each.entry for each in await stream.read("learner", "heir", 1, 0)])

    assert await ids(stream, "heir") == []
    await asyncio.sleep(0.05)
    monkeypatch.setattr("gateway.store.redis_labelled.CLAIM_MILLISECONDS", 40)
    monkeypatch.setattr("gateway.store.memory_labelled.CLAIM_SECONDS", 0.04)

    assert await ids(stream, "heir") == ["a"]
    assert await ids(stream, "dead") == []


async def test_a_reader_waits_for_what_comes_and_no_longer_than_it_said(store: Store, model: str) -> None:
    stream = store.labelled(model)
    began = time.monotonic()
    none = await stream.read("learner", "one", 10, 50)
    waited = time.monotonic() - began

    reading = asyncio.create_task(stream.read("learner", "one", 10, 5_000))
    await asyncio.sleep(0.05)
    await fill(store, model, "late")

    assert none == []
    assert waited >= 0.05
    assert [each.id for each in await reading] == ["late"]


async def test_the_stream_holds_about_as_many_as_it_may_and_what_was_trimmed_is_pending_no_more(
    store: Store, model: str
) -> None:
    stream = store.labelled(model)
    await fill(store, model, "first", stream=100)
    assert await ids(stream, "one") == ["first"]

    await fill(store, model, *map(str, range(400)), stream=100)

    assert await stream.length() <= 200
    assert "first" not in await ids(stream, "one")
    assert await stream.pending("learner") == 10


async def test_an_entry_that_is_no_example_is_left_out_and_not_pending(store: Store, model: str) -> None:
    await store.remember(model, [kept("a")], ttl_seconds=60)
    await say(store, model, "a", predicted="{}")
    stream = store.labelled(model)

    assert await ids(stream, "one") == []
    assert (await stream.pending("learner"), await stream.length()) == (0, 1)


async def test_a_stream_that_nobody_wrote_is_empty(store: Store, model: str) -> None:
    stream = store.labelled(model)

    await stream.acknowledge("learner", [])
    await stream.acknowledge("learner", ["1-0"])

    assert (await stream.length(), await stream.pending("learner"), await ids(stream, "one")) == (0, 0, [])


async def test_a_stream_that_nothing_comes_to_goes_by_itself(
    url: str, store: Store, model: str, seconds_left: SecondsLeft
) -> None:
    if not url:
        pytest.skip("the store in memory lives no longer than its process")
    await fill(store, model, "a")

    left = await seconds_left(labelled_key(model))

    assert left is not None
    assert LABELLED_SECONDS - 60 < left <= LABELLED_SECONDS


async def test_a_key_of_another_kind_is_refused_and_nothing_is_counted(url: str, store: Store, model: str) -> None:
    if not url:
        pytest.skip("the store in memory has no keys of another kind")
    from redis.asyncio import Redis

    await store.remember(model, [kept("a")], ttl_seconds=60)
    async with Redis.from_url(past_the_user(url), protocol=2) as client:
        await client.set(labelled_key(model), "x")
        stream = store.labelled(model)
        for refused in (say(store, model, "a"), stream.read("g", "c", 1, 0), stream.length(), stream.pending("g")):
            with pytest.raises(CorruptRoute):
                await refused
        assert await client.hget(served_key(model, "a"), "label") is None
