"""The one door for every change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.control.operations import Operations
from gateway.core import seating, stored
from gateway.core.document import parse
from gateway.core.errors import (
    CorruptRoute,
    InvalidDocument,
    RevisionConflict,
    StoreUnavailable,
    UnknownModel,
    UnknownRoute,
    UnknownVersion,
    VersionUnavailable,
)
from gateway.core.signature import Signature, TensorSpec
from gateway.ports.routes import AuditEntry
from gateway.store.memory import MemoryRouteStore
from tests.control.fakes import FAILED, FIVE_FLOATS, FOUR_FLOATS, LOADING, READY, UNAVAILABLE, House

if TYPE_CHECKING:
    from gateway.core.versions import VersionState


async def put(house: House, split: dict[str, int], expected: int | None) -> int:
    _, revision = await house.operations.put_route(
        "fraud", {"split": split}, expected=expected, who="ann", reason="because"
    )
    return revision


async def test_a_route_is_read_as_it_was_written(house: House) -> None:
    await put(house, {"1": 95, "2": 5}, expected=0)

    route, held = await house.operations.read_route("fraud")

    assert (dict(route.split), route.baseline, held.revision) == ({1: 95, 2: 5}, 1, 1)


async def test_a_model_that_nobody_knows_is_refused_by_every_operation(house: House) -> None:
    with pytest.raises(UnknownModel):
        await house.operations.read_route("ghost")
    with pytest.raises(UnknownModel):
        await house.operations.put_route("ghost", {"split": {"1": 1}}, expected=None, who="ann", reason="")
    with pytest.raises(UnknownModel):
        await house.operations.history("ghost", 5)
    with pytest.raises(UnknownModel):
        await house.operations.load("ghost", 1, who="ann", reason="")


async def test_weights_need_a_route(house: House) -> None:
    with pytest.raises(UnknownRoute):
        await house.operations.set_weights("fraud", {"1": 1}, expected=None, who="ann", reason="")


async def test_weights_replace_the_split_and_leave_the_rest(house: House) -> None:
    await house.route({"1": 1}, assign={"by": "header:x-user-id", "salt": "pepper"}, fallback="none")

    route, revision = await house.operations.set_weights("fraud", {"1": 9, "3": 1}, expected=1, who="ann", reason="")

    assert revision == 2
    assert (dict(route.split), route.assign.salt, route.fallback, route.baseline) == ({1: 9, 3: 1}, "pepper", "none", 1)


async def test_a_change_of_weights_moves_the_fewest_users(house: House) -> None:
    await house.route({"1": 95, "2": 5}, assign={"by": "header:x-user-id"})
    first = await house.store.read("fraud")
    assert first is not None
    first_held = stored.decode("fraud", first.payload, first.digest)
    old, before = first_held.document, first_held.seating

    await house.operations.set_weights("fraud", {"1": 90, "2": 10}, expected=None, who="ann", reason="")

    second = await house.store.read("fraud")
    assert second is not None
    second_held = stored.decode("fraud", second.payload, second.digest)
    route, after = second_held.document, second_held.seating
    assert after == seating.reseat_route(old, before, route)
    assert after != seating.seat_route(route)


async def test_the_second_of_two_writers_on_one_revision_is_told(house: House) -> None:
    await put(house, {"1": 1}, expected=0)

    results = await asyncio.gather(
        put(house, {"1": 1, "2": 1}, expected=1), put(house, {"1": 1, "3": 1}, expected=1), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["RevisionConflict", "int"]


async def test_a_write_that_takes_what_is_current_survives_a_lost_race(house: House) -> None:
    await put(house, {"1": 1}, expected=0)

    revisions = await asyncio.gather(*(put(house, {"1": 1, "2": weight}, expected=None) for weight in range(1, 4)))

    assert sorted(revisions) == [2, 3, 4]
    assert [entry.revision for entry in await house.history()] == [4, 3, 2, 1]


async def test_many_operators_lose_no_edit(house: House) -> None:
    await put(house, {"1": 1}, expected=0)

    async def edit() -> None:
        """Add one to a weight, as often as it takes."""
        while True:
            route, held = await house.operations.read_route("fraud")
            await asyncio.sleep(0)
            try:
                await put(house, {"1": route.split[1] + 1}, expected=held.revision)
            except RevisionConflict:
                continue
            return

    await asyncio.gather(*(edit() for _ in range(60)))

    route, held = await house.operations.read_route("fraud")
    assert (route.split[1], held.revision, len(await house.history())) == (61, 61, 61)


async def test_a_write_that_changes_nothing_keeps_the_revision_and_leaves_no_entry(house: House) -> None:
    await put(house, {"1": 95, "2": 5}, expected=0)

    revision = await put(house, {"1": 95, "2": 5}, expected=1)

    assert revision == 1
    assert len(await house.history()) == 1


async def test_a_write_that_changes_nothing_must_still_know_the_revision(house: House) -> None:
    await put(house, {"1": 1}, expected=0)

    with pytest.raises(RevisionConflict):
        await put(house, {"1": 1}, expected=5)


async def test_the_audit_says_who_and_why_and_what_was_before(house: House) -> None:
    await put(house, {"1": 1}, expected=0)
    await house.operations.set_weights("fraud", {"2": 1}, expected=1, who="bob", reason="canary is fine")

    newest = (await house.history())[0]

    assert (newest.who, newest.reason, newest.action, newest.revision) == ("bob", "canary is fine", "route", 2)
    assert newest.before is not None
    assert newest.after is not None
    assert (newest.before["split"], newest.after["split"]) == ({"1": 1}, {"2": 1})


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[2J", "x" * 501])
async def test_a_reason_is_one_short_line(house: House, reason: str) -> None:
    with pytest.raises(InvalidDocument, match="reason"):
        await house.operations.put_route("fraud", {"split": {"1": 1}}, expected=0, who="ann", reason=reason)


async def test_traffic_for_a_version_that_is_not_in_the_repository_is_refused(house: House) -> None:
    with pytest.raises(VersionUnavailable, match="not in the repository"):
        await put(house, {"1": 1, "9": 1}, expected=0)


async def test_traffic_by_a_rule_is_held_to_the_same(house: House) -> None:
    rules = [{"when": {"header:x-tenant": "acme"}, "split": {"9": 1}}]

    with pytest.raises(VersionUnavailable, match="version 9"):
        await house.route({"1": 1}, rules=rules)


async def test_a_version_that_failed_on_one_worker_gets_no_traffic(house: House) -> None:
    house.workers.say("fraud", 2, FAILED, "sha256 differs", worker=1)

    with pytest.raises(VersionUnavailable, match="sha256 differs"):
        await put(house, {"1": 1, "2": 1}, expected=0)


async def test_weight_zero_for_a_version_that_failed_is_fine(house: House) -> None:
    house.workers.say("fraud", 2, FAILED, "sha256 differs")

    assert await put(house, {"1": 1, "2": 0}, expected=0) == 1


@pytest.mark.parametrize("state", [LOADING, UNAVAILABLE])
async def test_a_version_that_is_not_loaded_yet_is_accepted(house: House, state: VersionState) -> None:
    house.workers.say("fraud", 2, state)

    assert await put(house, {"1": 1, "2": 1}, expected=0) == 1


async def test_the_baseline_must_be_in_the_repository(house: House) -> None:
    with pytest.raises(InvalidDocument) as refused:
        await house.route({"1": 1}, baseline="9")

    assert refused.value.field == "baseline"


async def test_traffic_can_move_back_while_the_repository_is_away(house: House) -> None:
    await put(house, {"1": 1, "2": 1}, expected=0)
    house.on_disk.clear()

    assert await put(house, {"1": 1, "2": 0}, expected=1) == 2


async def test_versions_that_take_other_inputs_than_the_baseline_get_no_traffic(house: House) -> None:
    house.workers.say("fraud", 2, READY, signature=FIVE_FLOATS)

    with pytest.raises(InvalidDocument) as refused:
        await put(house, {"1": 9, "2": 1}, expected=0)

    assert refused.value.field == "split.2"
    assert "the input X was [n, 4] and is [n, 5] (input shape: breaking; publish it with [n, 4]" in refused.value.reason
    assert "make it the baseline" in refused.value.reason


async def test_a_version_that_answers_less_gets_no_traffic_and_one_that_takes_and_answers_more_does(
    house: House,
) -> None:
    house.workers.say("fraud", 2, READY, signature=Signature(FOUR_FLOATS.inputs, ()))
    wider = Signature((TensorSpec("X", "FP32", (-1, -1)),), (*FOUR_FLOATS.outputs, TensorSpec("Z", "FP32", (-1,))))
    house.workers.say("fraud", 3, READY, signature=wider)

    with pytest.raises(InvalidDocument, match="output removed: breaking; publish it with this output too"):
        await put(house, {"1": 9, "2": 1}, expected=0)
    assert await put(house, {"1": 9, "3": 1}, expected=0) == 1


async def test_the_baseline_s_callers_are_not_sent_to_a_version_that_fixes_an_axis(house: House) -> None:
    house.workers.say("fraud", 1, READY, signature=Signature((TensorSpec("X", "FP32", (-1, -1)),), FOUR_FLOATS.outputs))

    with pytest.raises(InvalidDocument, match=r"was \[n, n\] and is \[n, 4\]"):
        await put(house, {"1": 9, "2": 1}, expected=0)


async def test_a_breaking_version_takes_all_the_traffic_as_its_own_baseline(house: House) -> None:
    house.workers.say("fraud", 2, READY, signature=FIVE_FLOATS)

    assert await house.route({"1": 0, "2": 1}, baseline="2") == 1


async def test_a_check_says_what_the_write_would_and_writes_nothing(house: House) -> None:
    house.workers.say("fraud", 2, READY, signature=FIVE_FLOATS)

    checked = await house.operations.check_route("fraud", {"split": {"1": 9, "3": 1}})
    with pytest.raises(InvalidDocument, match="cannot share a route"):
        await house.operations.check_route("fraud", {"split": {"1": 9, "2": 1}})

    assert checked.split == {1: 9, 3: 1}
    assert await house.history() == []


async def test_a_check_does_not_promise_to_replace_a_route_of_a_newer_release(house: House) -> None:
    await house.store.write("fraud", b'{"schema":2}', AuditEntry(1, "?", "", "route", None, None), expected=0)

    with pytest.raises(CorruptRoute, match="newer_schema"):
        await house.operations.check_route("fraud", {"split": {"1": 1}})


async def test_garbage_in_the_store_is_replaced_by_a_whole_route(house: House) -> None:
    garbage = b'{"schema":1,"route":{}}'
    await house.store.write("fraud", garbage, AuditEntry(1, "?", "", "route", None, None), expected=0)

    revision = await put(house, {"1": 1}, expected=None)

    assert revision == 2


async def test_a_route_of_a_newer_release_is_not_overwritten(house: House) -> None:
    newer = b'{"schema":2}'
    await house.store.write("fraud", newer, AuditEntry(1, "?", "", "route", None, None), expected=0)

    with pytest.raises(CorruptRoute, match="newer_schema"):
        await put(house, {"1": 1}, expected=None)


async def test_nothing_is_changed_while_the_store_is_away(house: House) -> None:
    await put(house, {"1": 1}, expected=0)
    house.store.stop()

    with pytest.raises(StoreUnavailable):
        await put(house, {"2": 1}, expected=1)

    house.store.start()
    _, held = await house.operations.read_route("fraud")
    assert held.revision == 1


async def test_a_store_that_hangs_is_given_up_in_time(house: House) -> None:
    never = asyncio.Event()

    class Hanging(MemoryRouteStore):
        async def read(self, model: str) -> None:
            await never.wait()

    operations = Operations(Hanging(), house.workers, lambda: house.on_disk, house.snapshot, write_seconds=0.01)

    with pytest.raises(StoreUnavailable, match="did not answer within"):
        await operations.put_route("fraud", {"split": {"1": 1}}, expected=None, who="ann", reason="")


async def test_a_seed_writes_only_where_there_is_nothing(house: House) -> None:
    first = parse({"split": {"1": 1}}, model="fraud")
    second = parse({"split": {"2": 1}}, model="fraud")

    wrote = [
        await house.operations.seed("fraud", route, who="gateway", reason="first seen") for route in (first, second)
    ]

    route, _ = await house.operations.read_route("fraud")
    assert wrote == [True, False]
    assert route == first


async def test_an_explanation_names_the_version_and_the_revision(house: House) -> None:
    rules = [{"when": {"header:x-tenant": "acme"}, "split": {"3": 1}}]
    await house.route({"1": 1, "2": 1}, assign={"by": "header:x-user-id"}, rules=rules)

    def acme(kind: str, name: str) -> list[bytes]:
        return [b"acme"] if (kind, name) == ("header", "x-tenant") else []

    explained = await house.operations.explain("fraud", b"ann", acme)

    assert (explained["version"], explained["rule"], explained["revision"]) == ("3", "rule-1", 1)


async def test_the_key_of_an_explanation_is_seen_by_rules_too(house: House) -> None:
    rules = [{"when": {"header:x-user-id": "ann"}, "split": {"3": 1}}]
    await house.route({"1": 1}, assign={"by": "header:x-user-id"}, rules=rules)

    explained = await house.operations.explain("fraud", b"ann", lambda _kind, _name: [])

    assert explained["version"] == "3"


async def test_an_order_for_a_version_that_is_nowhere_is_refused(house: House) -> None:
    with pytest.raises(UnknownVersion):
        await house.operations.load("fraud", 9, who="ann", reason="")
