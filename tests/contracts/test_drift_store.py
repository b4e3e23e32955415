"""What every store does with samples of requests and references: in memory and on real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from gateway.core.errors import StoreUnavailable
from gateway.ports.store import SAMPLES_AT_ONCE, SAMPLES_KEPT
from gateway.store.keys import REFERENCE_SECONDS, reference_key, samples_key
from gateway.store.memory import MemoryRouteStore
from tests.store.servers import past_the_user

if TYPE_CHECKING:
    from gateway.ports.store import Store

DIGEST = "ab" * 32


async def test_samples_come_in_their_order_and_each_once(store: Store, model: str) -> None:
    for number in range(5):
        await store.sampled(model, b"%d" % number)

    first = (await store.samples({model: ""}))[model]
    await store.sampled(model, b"5")
    second = await store.samples({model: first[-1][0]})

    assert [payload for _, payload in first] == [b"0", b"1", b"2", b"3", b"4"]
    assert [payload for _, payload in second[model]] == [b"5"]
    assert await store.samples({model: second[model][-1][0]}) == {}


async def test_models_are_asked_together_and_those_without_samples_left_out(store: Store, model: str) -> None:
    await store.sampled(model, b"0")

    assert set(await store.samples({model: "", f"{model}-other": ""})) == {model}
    assert await store.samples({}) == {}


async def test_so_many_samples_come_at_once_and_so_many_are_kept(store: Store, model: str) -> None:
    for each in range(0, SAMPLES_KEPT + 400, 10):
        await asyncio.gather(*(store.sampled(model, b"%d" % number) for number in range(each, each + 10)))

    found: list[tuple[str, bytes]] = []
    last = ""
    while more := (await store.samples({model: last})).get(model):
        assert len(more) <= SAMPLES_AT_ONCE
        found += more
        last = more[-1][0]

    assert SAMPLES_KEPT <= len(found) < SAMPLES_KEPT + 300


async def test_the_first_reference_of_a_version_is_kept(store: Store, model: str) -> None:
    nothing = await store.keep_reference(model, 1, DIGEST, b"")
    first = await store.keep_reference(model, 1, DIGEST, b"one")
    second = await store.keep_reference(model, 1, DIGEST, b"two")

    assert (nothing, first, second) == (b"", b"one", b"one")
    assert await store.keep_reference(model, 1, DIGEST, b"") == b"one"
    assert await store.keep_reference(model, 1, "cd" * 32, b"") == b""
    assert await store.keep_reference(model, 2, DIGEST, b"") == b""


async def test_samples_and_references_end_by_themselves(url: str, store: Store, model: str) -> None:
    if not url:
        pytest.skip("the store in memory ends with its process")
    await store.sampled(model, b"0")
    await store.keep_reference(model, 1, DIGEST, b"one")

    async with Redis.from_url(past_the_user(url), protocol=2) as client:
        left = [await client.ttl(samples_key(model)), await client.ttl(reference_key(model, 1, DIGEST))]

    assert 0 < left[0] <= 3600
    assert 0 < left[1] <= REFERENCE_SECONDS


async def test_garbage_under_their_keys_holds_nobody_up(url: str, store: Store, model: str) -> None:
    if not url:
        pytest.skip("the store in memory has no keys of another kind")
    async with Redis.from_url(past_the_user(url), protocol=2) as client:
        await client.set(samples_key(model), "garbage")
        await client.lpush(reference_key(model, 1, DIGEST), "garbage")

    await store.sampled(model, b"0")

    assert await store.samples({model: ""}) == {}
    assert await store.keep_reference(model, 1, DIGEST, b"") == b""


async def test_without_the_store_every_call_says_so() -> None:
    store = MemoryRouteStore()
    store.stop()

    for call in (store.sampled("m", b""), store.samples({"m": ""}), store.keep_reference("m", 1, DIGEST, b"")):
        with pytest.raises(StoreUnavailable):
            await call
