"""What every route store does: in memory, on the embedded server, and on redis-server where there is one."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.core.errors import CorruptRoute, InvalidDocument, RevisionConflict
from gateway.core.versions import WHOLE_MODEL
from gateway.ports.routes import AuditEntry, RouteHead, RouteStore
from gateway.store.keys import PAYLOAD_BYTES
from gateway.store.records import CORRUPT_REVISION

Poison = Callable[[str, dict[str, bytes]], Awaitable[None]]

ONE, TWO = b'{"split": {"1": 100}}', b'{"split": {"1": 95, "2": 5}}'


def entry(
    reason: str = "because", before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
) -> AuditEntry:
    return AuditEntry(0, "ada", reason, "route", before, after)


async def edit_until_accepted(store: RouteStore, model: str, who: str) -> None:
    """Append a line to the document, as an operator who reads, edits and tries again when told to."""
    while True:
        held = await store.read(model)
        assert held is not None
        line = f"{who}\n".encode()
        try:
            await store.write(model, held.payload + line, entry(who), expected=held.revision)
        except RevisionConflict:
            await asyncio.sleep(random.uniform(0, 0.02))
        else:
            return


async def test_a_model_without_a_route_has_neither_head_nor_route_nor_history(store: RouteStore, model: str) -> None:
    heads, route, history = await store.heads([model]), await store.read(model), await store.history(model, limit=9)

    assert (dict(heads), route, list(history)) == ({}, None, [])


async def test_what_is_written_is_what_is_read(store: RouteStore, model: str) -> None:
    payload = bytes(range(256)) * 3

    written = await store.write(model, payload, entry(), expected=0)

    assert written.payload == payload
    assert written.digest == hashlib.sha256(payload).hexdigest()
    assert await store.read(model) == written
    assert await store.heads([model]) == {model: RouteHead(written.incarnation, 1, written.digest, {})}


async def test_heads_are_those_of_the_models_that_have_one(store: RouteStore, model: str) -> None:
    await store.write(model, ONE, entry(), expected=0)

    heads = await store.heads([f"{model}-a", model, f"{model}-b"])

    assert list(heads) == [model]
    assert await store.heads([]) == {}


async def test_the_revision_rises_by_one_and_the_incarnation_stays(store: RouteStore, model: str) -> None:
    first = await store.write(model, ONE, entry(), expected=0)

    later = [await store.write(model, TWO, entry(), expected=revision) for revision in (1, 2, 3)]

    assert [route.revision for route in [first, *later]] == [1, 2, 3, 4]
    assert {route.incarnation for route in later} == {first.incarnation}
    assert await store.read(model) == later[-1]


async def test_two_routes_never_share_a_fresh_incarnation(store: RouteStore, model: str) -> None:
    routes = [await store.write(f"{model}-{n}", ONE, entry(), expected=0) for n in range(8)]

    assert len({route.incarnation for route in routes}) == 8


async def test_an_incarnation_that_is_given_is_taken(store: RouteStore, model: str) -> None:
    first = await store.write(model, ONE, entry(), expected=0, incarnation="restored-1")
    second = await store.write(model, TWO, entry(), expected=1, incarnation="restored-2")

    assert [first.incarnation, second.incarnation] == ["restored-1", "restored-2"]
    assert (await store.heads([model]))[model].incarnation == "restored-2"


@pytest.mark.parametrize("expected", [0, 2, -1])
async def test_a_writer_who_expects_another_revision_is_told_and_changes_nothing(
    store: RouteStore, model: str, expected: int
) -> None:
    first = await store.write(model, ONE, entry(), expected=0)

    with pytest.raises(RevisionConflict) as told:
        await store.write(model, TWO, entry(), expected=expected)

    assert (told.value.model, told.value.expected, told.value.actual) == (model, expected, 1)
    assert await store.read(model) == first
    assert len(await store.history(model, limit=9)) == 1


async def test_a_route_that_is_not_there_cannot_be_overwritten(store: RouteStore, model: str) -> None:
    with pytest.raises(RevisionConflict) as told:
        await store.write(model, ONE, entry(), expected=1)

    assert told.value.actual == 0
    assert await store.read(model) is None


async def test_of_two_writers_at_once_exactly_one_wins(store: RouteStore, model: str) -> None:
    await store.write(model, ONE, entry(), expected=0)

    outcomes = await asyncio.gather(
        *(store.write(model, payload, entry(), expected=1) for payload in (ONE, TWO)), return_exceptions=True
    )

    assert sorted(isinstance(outcome, RevisionConflict) for outcome in outcomes) == [False, True]


async def test_fifty_operators_with_twenty_edits_each_lose_nothing(store: RouteStore, model: str) -> None:
    operators, edits = [f"operator-{n}" for n in range(50)], 20
    await store.write(model, b"", entry("first"), expected=0)

    async def work(who: str) -> None:
        for _ in range(edits):
            await edit_until_accepted(store, model, who)

    await asyncio.gather(*map(work, operators))

    held = await store.read(model)
    history = await store.history(model, limit=1000)
    assert held is not None
    assert held.revision == 1 + 50 * 20
    lines = held.payload.decode().splitlines()
    assert {who: lines.count(who) for who in operators} == dict.fromkeys(operators, edits)
    assert [item.revision for item in history] == list(range(1001, 1, -1))


async def test_a_payload_that_no_reader_would_take_is_not_written(store: RouteStore, model: str) -> None:
    with pytest.raises(InvalidDocument):
        await store.write(model, bytes(PAYLOAD_BYTES + 1), entry(), expected=0)

    assert await store.read(model) is None
    assert await store.write(model, bytes(PAYLOAD_BYTES), entry(), expected=0) == await store.read(model)


async def test_history_is_newest_first_and_says_what_was_said(store: RouteStore, model: str) -> None:
    one, two = {"split": {"1": 100}}, {"split": {"1": 95, "2": 5}, "rules": [{"when": {"header:x": ["é"]}}]}
    await store.write(model, ONE, AuditEntry(0, "ada", "first", "route", None, one), expected=0)
    await store.write(model, TWO, AuditEntry(77, "bob", "zweite Änderung\n", "route", one, two), expected=1)

    newest, oldest = await store.history(model, limit=10)

    assert (newest.revision, newest.who, newest.reason, newest.action) == (2, "bob", "zweite Änderung\n", "route")
    assert (newest.before, newest.after) == (one, two)
    assert (oldest.revision, oldest.before, oldest.after) == (1, None, one)
    assert newest.at_ms >= oldest.at_ms > 1_600_000_000_000


@pytest.mark.parametrize(("limit", "revisions"), [(-1, []), (0, []), (1, [3]), (2, [3, 2]), (10**9, [3, 2, 1])])
async def test_history_gives_no_more_than_asked_for(
    store: RouteStore, model: str, limit: int, revisions: list[int]
) -> None:
    for revision in range(3):
        await store.write(model, ONE, entry(), expected=revision)

    history = await store.history(model, limit=limit)

    assert [item.revision for item in history] == revisions


@pytest.mark.parametrize("name", ["*", "a]b", "'); redis.call('FLUSHALL')--", "gateway:{x}:audit"])
async def test_a_name_is_taken_literally(store: RouteStore, model: str, name: str) -> None:
    await store.write(model, ONE, entry(), expected=0)

    history = await store.history(name, limit=9)

    assert history == []
    assert await store.read(name) is None
    assert await store.read(model) is not None


async def test_text_that_is_no_unicode_does_not_break_the_history(store: RouteStore, model: str) -> None:
    await store.write(model, ONE, AuditEntry(0, "a\ud800", "b\udfff", "route", None, {"x": "\ud800"}), expected=0)

    (item,) = await store.history(model, limit=9)

    assert (item.who, item.reason) == ("a?", "b?")


async def test_orders_are_seen_in_the_head_before_there_is_a_route(store: RouteStore, model: str) -> None:
    await store.order(model, 3, "load", AuditEntry(0, "ada", "try it", "load", None, None))
    await store.order(model, 4, "load", AuditEntry(0, "ada", "", "load", None, None))
    await store.order(model, 4, "unload", AuditEntry(0, "ada", "", "unload", None, None))

    heads = await store.heads([model])

    assert heads == {model: RouteHead("", 0, "", {3: "load", 4: "unload"})}
    assert await store.read(model) is None
    assert [(item.revision, item.action) for item in await store.history(model, limit=9)] == [
        (0, "unload"),
        (0, "load"),
        (0, "load"),
    ]


async def test_orders_and_the_route_leave_each_other_alone(store: RouteStore, model: str) -> None:
    await store.order(model, 3, "load", AuditEntry(0, "ada", "", "load", None, None))
    route = await store.write(model, ONE, entry(), expected=0)
    await store.order(model, 2, "unload", AuditEntry(0, "ada", "", "unload", None, None))

    heads = await store.heads([model])

    assert heads == {model: RouteHead(route.incarnation, 1, route.digest, {2: "unload", 3: "load"})}
    assert [item.revision for item in await store.history(model, limit=9)] == [1, 1, 0]


async def test_an_order_for_the_whole_model_lies_beside_those_for_its_versions(store: RouteStore, model: str) -> None:
    await store.order(model, WHOLE_MODEL, "unload", AuditEntry(0, "ada", "", "unload", None, None))
    await store.order(model, 2, "load", AuditEntry(0, "ada", "", "load", None, None))

    assert (await store.heads([model]))[model].orders == {WHOLE_MODEL: "unload", 2: "load"}


@pytest.mark.parametrize(("version", "verb"), [(3, "delete"), (-1, "load")])
async def test_an_order_that_nobody_could_follow_is_refused(
    store: RouteStore, model: str, version: int, verb: str
) -> None:
    with pytest.raises(ValueError, match="order"):
        await store.order(model, version, verb, entry())

    assert await store.heads([model]) == {}


async def test_a_subscriber_is_nudged_at_once_and_after_each_change(store: RouteStore, model: str) -> None:
    nudges = store.nudges()
    await asyncio.wait_for(anext(nudges), 2)

    await store.write(model, ONE, entry(), expected=0)
    await asyncio.wait_for(anext(nudges), 1)
    await store.order(model, 1, "load", entry())
    await asyncio.wait_for(anext(nudges), 1)

    waiting = asyncio.ensure_future(anext(nudges))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done, "there was a nudge without a change"
    waiting.cancel()


async def test_a_burst_of_changes_is_few_nudges(store: RouteStore, model: str) -> None:
    nudges = store.nudges()
    await asyncio.wait_for(anext(nudges), 2)
    for revision in range(50):
        await store.write(model, ONE, entry(), expected=revision)

    count = 0
    while True:
        waiting = asyncio.ensure_future(anext(nudges))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        if not done:
            waiting.cancel()
            break
        count += 1

    assert 1 <= count <= 5


async def test_nudges_end_after_close(store: RouteStore) -> None:
    nudges = store.nudges()
    await asyncio.wait_for(anext(nudges), 2)

    await store.close()

    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(nudges), 3)


GARBAGE = {
    "a revision that is no number": {"revision": b"seven"},
    "a revision of zero": {"revision": b"0"},
    "a negative revision": {"revision": b"-3"},
    "a revision with a sign": {"revision": b"+3"},
    "a revision beyond what Lua counts": {"revision": b"9" * 16},
    "a revision in other digits": {"revision": "٣".encode()},
    "no revision": {"revision": b""},
    "no incarnation": {"incarnation": b""},
    "an incarnation that is no name": {"incarnation": b"\xff\x00"},
    "an incarnation without end": {"incarnation": b"a" * 65},
    "no digest": {"digest": b""},
    "a digest in capitals": {"digest": b"A" * 64},
    "a digest that is too short": {"digest": b"abc"},
}


@pytest.mark.parametrize("fields", GARBAGE.values(), ids=GARBAGE.keys())
async def test_a_head_of_garbage_is_marked_and_holds_nobody_back(
    store: RouteStore, model: str, poison: Poison, fields: dict[str, bytes]
) -> None:
    healthy = await store.write(f"{model}-healthy", ONE, entry(), expected=0)
    await store.write(model, ONE, entry(), expected=0)
    await poison(model, fields)

    heads = await store.heads([model, f"{model}-healthy"])

    assert heads[model] == RouteHead("", CORRUPT_REVISION, "", {})
    assert heads[f"{model}-healthy"].revision == healthy.revision
    with pytest.raises(CorruptRoute):
        await store.read(model)


@pytest.mark.parametrize("fields", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_replaced_only_by_who_knows_that_it_is_garbage(
    store: RouteStore, model: str, poison: Poison, fields: dict[str, bytes]
) -> None:
    before = await store.write(model, ONE, entry(), expected=0)
    await poison(model, fields)

    with pytest.raises(RevisionConflict) as told:
        await store.write(model, TWO, entry(), expected=1)
    repaired = await store.write(model, TWO, entry(), expected=told.value.actual)

    assert told.value.actual == CORRUPT_REVISION
    assert repaired.revision == 1
    assert repaired.incarnation != before.incarnation
    assert await store.read(model) == repaired


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"document": b"another"}, "digest_mismatch"),
        ({"digest": b"0" * 64}, "digest_mismatch"),
        ({"document": b""}, "missing_field"),
        ({"document": bytes(PAYLOAD_BYTES + 1)}, "too_large"),
    ],
)
async def test_a_document_that_is_not_the_written_one_is_refused_and_can_be_replaced(
    store: RouteStore, model: str, poison: Poison, fields: dict[str, bytes], reason: str
) -> None:
    await store.write(model, ONE, entry(), expected=0)
    await poison(model, fields)

    with pytest.raises(CorruptRoute) as refused:
        await store.read(model)
    head = (await store.heads([model]))[model]
    repaired = await store.write(model, TWO, entry(), expected=head.revision)

    assert refused.value.reason == reason
    assert await store.read(model) == repaired


@pytest.mark.parametrize(
    "orders",
    [b"{", b"[1, 2]", b'"load"', b"null", b"[" * 3000, b"\xff", b'{"01": "load", "x": "load", "3": "drop", "4": 5}'],
    ids=lambda orders: orders[:8].decode("latin-1"),
)
async def test_orders_of_garbage_hold_no_route_back_and_the_next_order_clears_them(
    store: RouteStore, model: str, poison: Poison, orders: bytes
) -> None:
    await store.write(model, ONE, entry(), expected=0)
    await poison(model, {"orders": orders})

    before = await store.heads([model])
    await store.order(model, 7, "load", entry())
    after = await store.heads([model])

    assert (before[model].revision, before[model].orders) == (1, {})
    assert (after[model].revision, after[model].orders) == (1, {7: "load"})
