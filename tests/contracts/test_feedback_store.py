"""What every store of feedback does: in memory and on real servers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import CorruptRoute
from gateway.core.quality import read_quality
from gateway.ports.labels import Served
from gateway.store.keys import QUALITY_FIELDS
from tests.store.servers import past_the_user

if TYPE_CHECKING:
    from gateway.ports.labels import FeedbackStore
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
    await store.remember(model, [ONE, Served("a", 2, b"other")], ttl_seconds=60, dropped={(2, "dropped"): 3})

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

    windows = [read_quality(await store.quality(model, seconds=each)) for each in (300, 3600, 10**9)]

    assert [each[1].count("labelled") for each in windows] == [1, 1, 1]
    assert [each[1].count("remembered") for each in windows] == [0, 0, 0]


async def test_a_window_forgets_what_came_before_its_first_bucket(
    store: Store, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    await store.remember(model, [ONE, Served("b", 1, b"p")], ttl_seconds=3600)
    await store.label(model, "a", "label", "1", RIGHT)

    async def labels(later: float, seconds: float) -> int:
        monkeypatch.setattr("time.time", lambda: began + later)
        found = read_quality(await store.quality(model, seconds=seconds))
        return found[1].count("labelled") if found else 0

    assert [await labels(each, 300) for each in (0, 300, 361)] == [1, 1, 0]
    assert [await labels(each, 3600) for each in (0, 3600, 4201)] == [1, 1, 0]
    assert [await labels(each, 86400) for each in (4201, 86400, 87001)] == [1, 1, 0]


async def test_answers_are_counted_by_the_revision_that_assigned_them_once(store: Store, model: str) -> None:
    await store.remember(
        model,
        [ONE, *(Served(str(n), n % 2 + 1, b"p", assigned_under=7) for n in (1, 2, 3)), Served("9", 1, b"p", False, 8)],
        ttl_seconds=60,
    )
    await store.remember(model, [Served("1", 2, b"p", assigned_under=7)], ttl_seconds=60)

    assert await store.assigned(model) == {"7|2": "2", "7|1": "1", "8|1": "1"}


async def test_revisions_take_bounded_room(store: Store, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory_feedback", "redis_feedback"):
        monkeypatch.setattr(f"gateway.store.{module}.ASSIGNED_FIELDS", 2)
    served = [Served(f"{under}-{n}", 1, b"p", assigned_under=under) for under in (1, 2, 3) for n in (1, 2)]

    await store.remember(model, served, ttl_seconds=60)

    assert await store.assigned(model) == {"1|1": "2", "2|1": "2"}


async def test_sums_of_a_segment_and_of_confidence_stay_fractions(store: Store, model: str) -> None:
    await store.remember(model, [ONE, Served("b", 1, b"p")], ttl_seconds=60)

    for name in ("a", "b"):
        counts = {"1|in|rule-1|sum_delay": 0.25, "1|bin|3|sum_confidence": 0.375, "1|bin|3|rows": 1}
        await store.label(model, name, "label", "1", counts)

    quality = read_quality(await store.quality(model))[1]
    assert quality.segments["rule-1"].counts["sum_delay"] == 0.5
    assert quality.bins[3] == {"sum_confidence": 0.75, "rows": 2}


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


async def test_the_qualities_of_many_models_are_those_of_each_and_models_without_any_are_left_out(
    store: Store, model: str
) -> None:
    names = [f"{model}-{n}" for n in range(3)]
    for name in names[:2]:
        await store.remember(name, [ONE], ttl_seconds=60)
    await store.label(names[0], "a", "label", "1", RIGHT)

    found = await store.qualities(names)

    assert list(found) == names[:2]
    assert {name: [words] for name, words in found.items()} == {
        name: list(await store.quality(name)) for name in names[:2]
    }
    assert await store.qualities([]) == {}


async def test_a_key_that_counts_nothing_is_refused_and_nothing_is_written(url: str, store: Store, model: str) -> None:
    if not url:
        pytest.skip("the store in memory has no keys of another kind")
    from redis.asyncio import Redis

    from gateway.store.keys import quality_key, served_key

    await store.remember(model, [ONE], ttl_seconds=60)
    async with Redis.from_url(past_the_user(url), protocol=2) as client:
        await client.set(quality_key(model), "x")
        await client.set(served_key(model, "s"), "x")
        for refused in (store.label(model, "a", "label", "1", RIGHT), store.quality(model)):
            with pytest.raises(CorruptRoute):
                await refused
        assert [type(each) for each in (await store.qualities([model])).values()] == [CorruptRoute]
        with pytest.raises(CorruptRoute):
            await store.remember(model, [Served("b", 1, b"p")], ttl_seconds=60)
        assert await client.hget(served_key(model, "a"), "label") is None
    assert await store.recall(model, ["s", "b"]) == [None, None]


async def test_a_label_counts_for_the_cohort_of_its_answer_once_and_hours_are_kept_apart(
    store: Store, model: str
) -> None:
    await store.remember(model, [ONE, Served("b", 1, b"p"), Served("c", 1, b"p")], ttl_seconds=60)
    own = {"7|1|classed": 1, "7|1|sum_reward": 0.25}

    for name in ("a", "a", "b"):
        await store.label(model, name, "label", "1", RIGHT, (40, own))
    await store.label(model, "c", "label", "1", RIGHT, (41, {"8|1|classed": 1}))

    found = await store.cohorts(model, [39, 40, 41])
    assert {hour: {name: float(text) for name, text in held.items()} for hour, held in found.items()} == {
        40: {"7|1|classed": 2, "7|1|sum_reward": 0.5}, 41: {"8|1|classed": 1},
    }  # fmt: skip
    assert read_quality(await store.quality(model))[1].count("labelled") == 3


async def test_a_full_cohort_takes_no_new_field_and_counts_on_in_those_it_has(store: Store, model: str) -> None:
    await store.remember(model, [Served(name, 1, b"p") for name in "abc"], ttl_seconds=60)
    full = {f"{revision}|1|classed": 1 for revision in range(1, QUALITY_FIELDS + 1)}

    await store.label(model, "a", "label", "1", RIGHT, (40, dict(list(full.items())[:1000])))
    await store.label(model, "b", "label", "1", RIGHT, (40, dict(list(full.items())[1000:])))
    await store.label(model, "c", "label", "1", RIGHT, (40, {"9999|1|classed": 1, "1|1|classed": 1}))

    held = (await store.cohorts(model, [40]))[40]
    assert (len(held), float(held["1|1|classed"]), "9999|1|classed" in held) == (QUALITY_FIELDS, 2, False)
