"""What every store does with what is to be told: in memory, on the embedded server, on redis-server if it is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from gateway.core.errors import RevisionConflict
from gateway.core.notification import Kind, Notification, read_notification
from gateway.ports.notifications import OUTBOX_ENTRIES, Claimed
from gateway.ports.routes import AuditEntry
from gateway.store.keys import deliveries_key, outbox_key, undelivered_key
from tests.store.servers import past_the_user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.store import Store

SECONDS = 30.0


def news(model: str, reason: str = "because", kind: Kind = Kind.CHANGED) -> Notification:
    return Notification(kind, model, 1, "ada", reason, {}, {1: 100})


async def write(store: Store, model: str, told: Sequence[Notification], expected: int = 0) -> None:
    entry = AuditEntry(0, "ada", "because", "route", None, None)
    await store.write(model, b"{}", entry, expected=expected, told=told)


async def claim(store: Store, model: str, target: str = "ops", seconds: float = SECONDS) -> Claimed:
    claimed = await store.claim(model, target, seconds=seconds)
    assert claimed is not None
    return claimed


async def reasons(store: Store, model: str, target: str) -> list[str]:
    """Deliver all that waits, and return what it was."""
    found = []
    while (claimed := await store.claim(model, target, seconds=SECONDS)) is not None:
        found.append(read_notification(claimed.payload).reason)
        assert await store.settle(model, target, claimed)
    return found


async def test_what_is_told_of_a_write_waits_with_it_in_its_order(store: Store, model: str) -> None:
    await write(store, model, [news(model, "one"), news(model, "two")])
    await write(store, model, [news(model, "three")], expected=1)

    assert await reasons(store, model, "ops") == ["one", "two", "three"]
    assert await reasons(store, model, "ops") == []


async def test_a_write_that_is_refused_tells_nothing(store: Store, model: str) -> None:
    await write(store, model, [])

    with pytest.raises(RevisionConflict):
        await write(store, model, [news(model)], expected=7)

    assert await store.claim(model, "ops", seconds=SECONDS) is None


async def test_every_notification_has_an_id_of_its_own_that_all_targets_see(store: Store, model: str) -> None:
    await write(store, model, [news(model), news(model)])

    first, other = await claim(store, model, "ops"), await claim(store, model, "audit")
    await store.settle(model, "ops", first)
    second = await claim(store, model, "ops")

    assert first.id == other.id != second.id
    assert first.token != other.token


async def test_a_notification_has_one_courier_at_a_time(store: Store, model: str) -> None:
    await write(store, model, [news(model), news(model)])

    claims = await asyncio.gather(*(store.claim(model, "ops", seconds=SECONDS) for _ in range(8)))

    assert len([each for each in claims if each is not None]) == 1


async def test_a_claim_that_ran_out_is_taken_over_and_settles_nothing(store: Store, model: str) -> None:
    await write(store, model, [news(model)])

    dead = await claim(store, model, seconds=0.05)
    await asyncio.sleep(0.1)
    alive = await claim(store, model)

    assert (dead.id, dead.entry) == (alive.id, alive.entry)
    assert not await store.settle(model, "ops", dead)
    assert await store.settle(model, "ops", alive)


async def test_what_failed_is_due_later_and_holds_up_what_follows_it(store: Store, model: str) -> None:
    await write(store, model, [news(model, "one"), news(model, "two")])

    first = await claim(store, model)
    await store.settle(model, "ops", first, again_seconds=0.2)
    waits = await store.claim(model, "ops", seconds=SECONDS)
    await asyncio.sleep(0.3)
    again = await claim(store, model)
    await store.settle(model, "ops", again)
    second = await claim(store, model)

    assert waits is None
    assert (again.id, again.attempts) == (first.id, 1)
    assert (read_notification(second.payload).reason, second.attempts) == ("two", 0)


async def test_a_target_that_fails_holds_up_no_other(store: Store, model: str) -> None:
    await write(store, model, [news(model)])

    await store.settle(model, "ops", await claim(store, model), again_seconds=SECONDS)

    assert await reasons(store, model, "audit") == ["because"]


async def test_what_waits_is_counted_with_its_age(store: Store, model: str) -> None:
    other = f"{model}-other"
    await write(store, model, [news(model), news(model)])
    await asyncio.sleep(0.05)

    before = await store.backlogs({model: ["ops", "audit"], other: ["ops"]})
    claimed = await claim(store, model)
    while_claimed = (await store.backlogs({model: ["ops"]}))[model, "ops"]
    await store.settle(model, "ops", claimed)
    after = (await store.backlogs({model: ["ops"]}))[model, "ops"]

    assert (before[model, "ops"].waiting, before[model, "ops"].is_due) == (2, True)
    assert set(before) == {(model, "ops"), (model, "audit"), (other, "ops")}
    assert 0.04 < before[model, "ops"].oldest_seconds < 5
    assert (before[other, "ops"].waiting, before[other, "ops"].is_due) == (0, False)
    assert (while_claimed.waiting, while_claimed.is_due) == (2, False)
    assert (after.waiting, after.is_due) == (1, True)
    assert await store.backlogs({}) == {}


async def test_what_is_given_up_is_kept_with_its_reason_and_the_next_follows(store: Store, model: str) -> None:
    await write(store, model, [news(model, "one"), news(model, "two")])
    claimed = await claim(store, model)

    await store.settle(model, "ops", claimed, given_up="answered 410")

    (kept,) = await store.undelivered(model)
    assert (kept.target, kept.id, kept.payload, kept.reason) == ("ops", claimed.id, claimed.payload, "answered 410")
    assert kept.at_ms == claimed.at_ms
    assert await reasons(store, model, "ops") == ["two"]


async def test_what_was_given_up_can_be_told_again_under_its_id_to_its_target(store: Store, model: str) -> None:
    await write(store, model, [news(model)])
    first = await claim(store, model)
    await store.settle(model, "ops", first, given_up="gone")
    (kept,) = await store.undelivered(model)

    put_back = [await store.again(model, kept.key), await store.again(model, kept.key)]
    again = await claim(store, model)

    assert put_back == [True, False]
    assert (again.id, again.payload, again.at_ms, again.addressee) == (first.id, first.payload, first.at_ms, "ops")
    assert again.attempts == 0
    assert await store.undelivered(model) == []


@pytest.mark.parametrize("key", ["", "7", "x", "1-1-1", "*", "999999-0"])
async def test_what_is_no_key_puts_nothing_back(store: Store, model: str, key: str) -> None:
    assert not await store.again(model, key)


async def test_an_alert_is_told_without_a_write(store: Store, model: str) -> None:
    await store.tell(news(model, "look at this host", Kind.ALERT))

    assert await store.read(model) is None
    assert await reasons(store, model, "ops") == ["look at this host"]


async def test_what_falls_out_of_a_full_outbox_is_known_to_be_lost(store: Store, model: str) -> None:
    await write(store, model, [news(model, "told")])
    assert await reasons(store, model, "ops") == ["told"]

    await write(store, model, [news(model, str(number)) for number in range(1_000)], expected=1)
    await write(store, model, [news(model, str(number)) for number in range(1_000, OUTBOX_ENTRIES + 3)], expected=2)
    claimed = await claim(store, model)

    assert claimed.lost == 3
    assert read_notification(claimed.payload).reason == "3"
    await store.settle(model, "ops", claimed, again_seconds=0)
    assert (await claim(store, model)).lost == 0


async def test_garbage_under_our_keys_keeps_no_decision_from_being_written_and_told(
    store: Store, model: str, url: str
) -> None:
    if url:
        async with Redis.from_url(past_the_user(url), protocol=2) as client:
            for key in (outbox_key(model), deliveries_key(model), undelivered_key(model)):
                await client.set(key, "garbage")

    given_up = await store.undelivered(model)
    await write(store, model, [news(model, "one"), news(model, "two")])
    backlog = (await store.backlogs({model: ["ops"]}))[model, "ops"]
    await store.settle(model, "ops", await claim(store, model), given_up="no")

    assert given_up == []
    assert backlog.waiting == 2
    assert [kept.reason for kept in await store.undelivered(model)] == ["no"]
    assert await reasons(store, model, "ops") == ["two"]


@pytest.mark.parametrize(
    "fields",
    [{"at": "x"}, {"number": "many"}, {"number": "1e999"}, {"until": "-1"}, {"due": ""}, {"attempts": "no"}],
)
async def test_a_place_of_garbage_is_read_as_none(store: Store, model: str, url: str, fields: dict[str, str]) -> None:
    await write(store, model, [news(model, "one")])
    if url:
        async with Redis.from_url(past_the_user(url), protocol=2) as client:
            await client.hset(deliveries_key(model), mapping={f"ops|{name}": value for name, value in fields.items()})

    failed = await claim(store, model)
    await store.settle(model, "ops", failed, again_seconds=0)

    assert failed.attempts == 0
    assert (await claim(store, model, "other")).lost == 0
    assert await reasons(store, model, "ops") == ["one"]
