"""What every store of feedback does: in memory and on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import CorruptRoute
from gateway.core.quality import read_quality
from gateway.ports import Served
from gateway.store.keys import QUALITY_FIELDS

if TYPE_CHECKING:
    from gateway.ports import FeedbackStore
    from gateway.store.memory import MemoryRouteStore
    from gateway.store.redis_store import RedisRouteStore

    Store = RedisRouteStore | MemoryRouteStore

ONE = Served("a", 1, b'{"version":1}')
RIGHT = {"1|labelled": 1, "1|correct": 1, "1|sum_delay": 0.25}


def test_the_store_is_the_port(store: Store) -> None:
    def of_feedback(feedback: FeedbackStore) -> object:
        return feedback

    assert of_feedback(store) is store


async def test_what_is_remembered_is_recalled_in_the_order_asked(store: Store, model: str) -> None:
    await store.remember(model, [ONE, Served("b", 2, b"two words")], ttl_seconds=60)

    second, none, first = await store.recall(model, ["b", "ghost", "a"])

    assert none is None
    assert first is not None
    assert second is not None
    assert (first.payload, second.payload) == (ONE.payload, b"two words")
    assert not first.is_late
    assert first.age_seconds < 5


async def test_an_id_that_is_kept_stays_as_it_is_and_counts_once(store: Store, model: str) -> None:
    await store.remember(model, [ONE], ttl_seconds=60)
    await store.remember(model, [ONE, Served("a", 2, b"other")], ttl_seconds=60, dropped={2: 3})

    (held,) = await store.recall(model, ["a"])

    assert held is not None
    assert held.payload == ONE.payload
    found = read_quality(await store.quality(model))
    assert {version: dict(each.counts) for version, each in found.items()} == {1: {"remembered": 1}, 2: {"dropped": 3}}


async def test_a_copy_is_kept_beside_what_was_served_and_no_quality_counts_it(store: Store, model: str) -> None:
    copy = Served("a", 2, b"the shadow's", is_copy=True)
    await store.remember(model, [copy, ONE, copy], ttl_seconds=60)

    (served,) = await store.recall(model, ["a"])
    assert served is not None
    assert (served.payload, await store.copies(model, "a")) == (ONE.payload, [copy.payload])
    assert set(read_quality(await store.quality(model))) == {1}


async def test_each_shadow_has_its_own_copy_of_one_request_and_the_first_of_it_stays(store: Store, model: str) -> None:
    copies = [Served("a", version, b"of %d" % version, is_copy=True) for version in (2, 3)]
    await store.remember(model, copies, ttl_seconds=60)
    await store.remember(model, [Served("a", 3, b"again", is_copy=True)], ttl_seconds=60)

    assert sorted(await store.copies(model, "a")) == [b"of 2", b"of 3"]
    assert await store.copies(model, "b") == []


async def test_a_copy_alone_is_nothing_that_a_label_could_be_of(store: Store, model: str) -> None:
    await store.remember(model, [Served("b", 2, b"the shadow's", is_copy=True)], ttl_seconds=60)

    assert await store.recall(model, ["b"]) == [None]
    assert await store.label(model, "b", "label", "1", RIGHT) == "unknown"


async def test_late_is_told_from_unknown_for_as_long_again(store: Store, model: str) -> None:
    await store.remember(model, [ONE], ttl_seconds=0.15)
    await asyncio.sleep(0.2)

    (late,) = await store.recall(model, ["a"])
    await asyncio.sleep(0.15)
    (gone,) = await store.recall(model, ["a"])

    assert late is not None
    assert late.is_late
    assert gone is None
    assert await store.label(model, "a", "label", "1", RIGHT) == "unknown"


async def test_a_label_counts_once_and_another_one_is_a_conflict(store: Store, model: str) -> None:
    await store.remember(model, [ONE], ttl_seconds=60)

    came = [await store.label(model, "a", "label", text, RIGHT) for text in ("1", "1", "2")]

    assert came == ["counted", "duplicate", "conflict"]
    assert dict(read_quality(await store.quality(model))[1].counts) == {
        "remembered": 1, "labelled": 1, "correct": 1, "sum_delay": 0.25,
    }  # fmt: skip


async def test_a_label_and_a_reward_stand_beside_each_other(store: Store, model: str) -> None:
    await store.remember(model, [ONE], ttl_seconds=60)

    came = [await store.label(model, "a", fact, "1", {f"1|{fact}": 1}) for fact in ("label", "reward")]

    assert came == ["counted", "counted"]


async def test_labels_of_many_workers_at_once_are_counted_exactly(store: Store, model: str) -> None:
    await store.remember(model, [Served(str(n), 1, b"p") for n in range(40)], ttl_seconds=60)

    came = await asyncio.gather(*(store.label(model, str(n), "label", "1", RIGHT) for n in range(40) for _ in range(3)))

    assert came.count("counted") == 40
    quality = read_quality(await store.quality(model))[1]
    assert (quality.count("labelled"), quality.counts["sum_delay"]) == (40, 10.0)


async def test_a_window_holds_what_was_said_in_it(store: Store, model: str) -> None:
    await store.remember(model, [ONE], ttl_seconds=60)
    await store.label(model, "a", "label", "1", RIGHT)

    hour, day = [read_quality(await store.quality(model, seconds=each)) for each in (3600, 10**9)]

    assert hour[1].count("labelled") == day[1].count("labelled") == 1
    assert hour[1].count("remembered") == 0


async def test_invented_classes_take_bounded_room_and_stay_exact_in_the_counts(store: Store, model: str) -> None:
    await store.remember(model, [ONE], ttl_seconds=60)

    counts = {f'1|cell|["a", "{n}"]': 1 for n in range(QUALITY_FIELDS + 10)}
    await store.label(model, "a", "label", "1", {**RIGHT, **counts})

    quality = read_quality(await store.quality(model))[1]
    assert len(quality.cells) <= QUALITY_FIELDS
    assert len(quality.cells) + quality.count("uncelled") == QUALITY_FIELDS + 10
    assert quality.count("labelled") == 1


async def test_a_model_nobody_spoke_of_has_no_quality(store: Store, model: str) -> None:
    assert list(await store.quality(model)) == []


async def test_a_key_that_counts_nothing_is_refused_and_nothing_is_written(url: str, store: Store, model: str) -> None:
    if not url:
        pytest.skip("the store in memory has no keys of another kind")
    from redis.asyncio import Redis

    from gateway.store.keys import quality_key, served_key

    await store.remember(model, [ONE], ttl_seconds=60)
    async with Redis.from_url(url, protocol=2) as client:
        await client.set(quality_key(model), "x")
        await client.set(served_key(model, "s"), "x")
        for refused in (store.label(model, "a", "label", "1", RIGHT), store.quality(model)):
            with pytest.raises(CorruptRoute):
                await refused
        with pytest.raises(CorruptRoute):
            await store.remember(model, [Served("b", 1, b"p")], ttl_seconds=60)
        assert await client.hget(served_key(model, "a"), "label") is None
    assert await store.recall(model, ["s", "b"]) == [None, None]
