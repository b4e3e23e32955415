"""What every store of evidence does, beside the routes that fence it: in memory and on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import CorruptRoute, InvalidDocument, RevisionConflict
from gateway.core.evidence import Counter, read_evidence
from gateway.ports.evidence import DELTA_FIELDS, DELTA_POINTS, LEASE_SECONDS, Deltas
from gateway.ports.routes import AuditEntry, Fence
from gateway.store.keys import EVIDENCE_SECONDS, SEEN_POINTS, evidence_key, lease_key, rollout_keys, seen_key

if TYPE_CHECKING:
    from gateway.ports.evidence import EvidenceStore
    from gateway.ports.routes import RouteStore, StoredRoute
    from gateway.store.memory import MemoryRouteStore
    from gateway.store.redis_store import RedisRouteStore

    Store = RedisRouteStore | MemoryRouteStore

Poison = Callable[[str, dict[str, bytes]], Awaitable[None]]
Tamper = Callable[[str, dict[bytes, bytes]], Awaitable[None]]
SecondsLeft = Callable[[str], Awaitable[float | None]]
Expire = Callable[[str], Awaitable[None]]

ENTRY = AuditEntry(0, "ada", "because", "route", None, None)
FIVE, TEN = Fence("r-1", "1:9500,2:500"), Fence("r-1", "1:9000,2:1000")
NEXT = Fence("r-2", "1:9500,2:500")
ONE_RUN = Deltas({"1|2|n": 1})


async def write(store: Store, model: str, fence: Fence | None, *, expected: int = 0) -> StoredRoute:
    return await store.write(model, b"{}", ENTRY, expected=expected, fence=fence)


async def flush(
    store: Store, model: str, deltas: Deltas, *, worker: str = "w-1", seq: int = 1, rollout: str = "r-1"
) -> dict[str, str] | None:
    totals = await store.flush(model, rollout, worker=worker, seq=seq, deltas=deltas)
    return None if totals is None else dict(totals)


def test_one_store_is_both_ports(store: Store) -> None:
    def of_routes(routes: RouteStore) -> object:
        return routes

    def of_evidence(evidence: EvidenceStore) -> object:
        return evidence

    assert of_routes(store) is of_evidence(store)


# What is counted


async def test_what_was_counted_is_what_the_core_reads(store: Store, model: str) -> None:
    await write(store, model, FIVE)

    totals = await flush(store, model, Deltas({"1|1|n": 95, "1|2|n": 5, "1|2|error|3": 2}))

    assert totals is not None
    evidence = read_evidence(totals)
    assert evidence.counts == {Counter(1, 1, "n"): 95, Counter(1, 2, "n"): 5, Counter(1, 2, "error", 3): 2}
    assert evidence.slots == {1: {1: 9500, 2: 500}}
    assert await store.totals(model, "r-1") == totals


async def test_a_rollout_that_nobody_counted_for_has_no_totals(store: Store, model: str) -> None:
    assert await store.totals(model, "r-1") == {}


async def test_two_workers_are_summed(store: Store, model: str) -> None:
    await write(store, model, FIVE)

    await asyncio.gather(
        *(flush(store, model, Deltas({"1|2|n": 3}), worker=f"w-{n}", seq=seq) for n in range(8) for seq in [1])
    )

    assert (await store.totals(model, "r-1"))["1|2|n"] == "24"


async def test_a_repeated_flush_counts_once_and_is_answered(store: Store, model: str) -> None:
    await write(store, model, FIVE)
    deltas = Deltas({"1|2|n": 3}, [("1|2|error", [1])])

    first = await flush(store, model, deltas, seq=7)
    again = await flush(store, model, deltas, seq=7)
    older = await flush(store, model, deltas, seq=6)

    assert first == again == older
    assert first is not None
    assert (first["1|2|n"], first["1|2|error"]) == ("3", "1")


async def test_each_worker_numbers_its_own_flushes(store: Store, model: str) -> None:
    await write(store, model, FIVE)

    await flush(store, model, ONE_RUN, worker="a", seq=9)
    totals = await flush(store, model, ONE_RUN, worker="b", seq=1)

    assert totals is not None
    assert totals["1|2|n"] == "2"


async def test_a_late_result_counts_for_the_revision_it_was_dispatched_under(store: Store, model: str) -> None:
    await write(store, model, FIVE)
    await write(store, model, TEN, expected=1)

    totals = await flush(store, model, Deltas({"1|2|error": 1, "2|2|n": 4}))

    assert totals == {"1|slots": "1:9500,2:500", "2|slots": "1:9000,2:1000", "1|2|error": "1", "2|2|n": "4"}


async def test_a_revision_that_is_not_of_the_rollout_refuses_the_whole_flush(store: Store, model: str) -> None:
    await write(store, model, FIVE)

    counted = await flush(store, model, Deltas({"1|2|n": 1, "2|2|n": 1}))
    sighted = await flush(store, model, Deltas({"1|2|n": 1}, [("2|2|error", [5])]))

    assert (counted, sighted) == (None, None)
    assert await store.totals(model, "r-1") == {"1|slots": "1:9500,2:500"}


async def test_an_empty_flush_only_asks(store: Store, model: str) -> None:
    await write(store, model, FIVE)

    assert await flush(store, model, Deltas({"1|2|n": 0})) == {"1|slots": "1:9500,2:500"}
    assert await flush(store, model, Deltas({}), seq=2) == {"1|slots": "1:9500,2:500"}


# What is counted once per key


async def test_a_key_that_was_seen_failing_does_not_count_again(store: Store, model: str) -> None:
    await write(store, model, FIVE)
    most = 2**64 - 1

    first = await flush(store, model, Deltas({}, [("1|2|error", [most, 0]), ("1|2|error", [0])]))
    again = await flush(store, model, Deltas({}, [("1|2|error", [most]), ("1|2|error|2", [0])]), worker="w-2")

    assert first == again == {"1|slots": "1:9500,2:500", "1|2|error": "1"}


async def test_a_failed_run_counts_once_if_one_of_its_keys_is_new_and_marks_all(store: Store, model: str) -> None:
    await write(store, model, FIVE)
    await flush(store, model, Deltas({}, [("1|2|error", [1])]))

    mixed = await flush(store, model, Deltas({}, [("1|2|error", [1, 2, 3])]), seq=2)
    marked = await flush(store, model, Deltas({}, [("1|2|error", [3]), ("1|2|error", [2])]), seq=3)

    assert mixed == marked == {"1|slots": "1:9500,2:500", "1|2|error": "2"}


async def test_kinds_and_rollouts_see_a_key_apart(store: Store, model: str) -> None:
    await write(store, model, FIVE)
    both = Deltas({}, [("1|2|error", [1]), ("1|2|invalid", [1])])
    totals = await flush(store, model, both)
    await write(store, model, NEXT, expected=1)

    anew = await flush(store, model, Deltas({}, [("2|2|error", [1])]), rollout="r-2")

    assert totals == {"1|slots": "1:9500,2:500", "1|2|error": "1", "1|2|invalid": "1"}
    assert anew == {"2|slots": "1:9500,2:500", "2|2|error": "1"}


async def test_no_more_than_ten_thousand_keys_are_counted(store: Store, model: str) -> None:
    await write(store, model, FIVE)
    one_each: list[tuple[str, list[int]]] = [("1|2|error", [point]) for point in range(4_000)]
    await flush(store, model, Deltas({}, one_each))
    await flush(store, model, Deltas({}, [("1|2|error", list(range(4_000, SEEN_POINTS - 1)))]), seq=2)

    last = await flush(store, model, Deltas({}, [("1|2|error", [10**6]), ("1|2|error", [10**7])]), seq=3)
    full = await flush(store, model, Deltas({}, [("1|2|error", [10**8])]), seq=4)

    assert last == full == {"1|slots": "1:9500,2:500", "1|2|error": str(4_000 + 1 + 1)}


# The fence


async def test_a_route_outside_of_any_rollout_takes_no_evidence(store: Store, model: str) -> None:
    nothing = await flush(store, model, ONE_RUN)
    await write(store, model, None)

    assert nothing is None
    assert await flush(store, model, ONE_RUN) is None
    assert await store.totals(model, "r-1") == {}


async def test_the_evidence_of_another_rollout_is_refused(store: Store, model: str) -> None:
    await write(store, model, FIVE)
    await write(store, model, NEXT, expected=1)

    assert await flush(store, model, ONE_RUN, rollout="r-1") is None
    assert await flush(store, model, Deltas({"2|2|n": 1}), rollout="r-2") is not None


async def test_a_write_without_a_fence_ends_the_rollout_and_keeps_what_it_counted(store: Store, model: str) -> None:
    await write(store, model, FIVE)
    counted = await flush(store, model, ONE_RUN)
    await write(store, model, None, expected=1)

    late = await flush(store, model, ONE_RUN, seq=2)

    assert late is None
    assert await store.totals(model, "r-1") == counted


@pytest.mark.parametrize("following", [None, NEXT], ids=["no rollout", "another rollout"])
async def test_what_an_ended_rollout_counted_expires_after_thirty_days(
    store: Store, model: str, seconds_left: SecondsLeft, expire: Expire, following: Fence | None
) -> None:
    await write(store, model, FIVE)
    await flush(store, model, Deltas({"1|2|n": 1}, [("1|2|error", [1]), ("1|2|slow99", [1]), ("1|2|assigned", [16])]))
    keys = [evidence_key(model, "r-1"), *(seen_key(model, "r-1", kind) for kind in ("error", "slow99", "assigned"))]
    running = [await seconds_left(key) for key in keys]

    await write(store, model, TEN, expected=1)
    stepped = [await seconds_left(key) for key in keys]
    await write(store, model, following, expected=2)
    ended = [await seconds_left(key) for key in keys]

    assert running == stepped == [None] * 4
    assert all(left is not None and EVIDENCE_SECONDS - 60 < left <= EVIDENCE_SECONDS for left in ended)
    assert await seconds_left(evidence_key(model, "r-2")) is None
    await expire(keys[0])
    assert await store.totals(model, "r-1") == {}


async def test_a_writer_who_is_too_late_opens_and_ends_nothing(
    store: Store, model: str, seconds_left: SecondsLeft
) -> None:
    await write(store, model, FIVE)
    before = await flush(store, model, ONE_RUN)

    for fence in (TEN, NEXT, None):
        with pytest.raises(RevisionConflict):
            await write(store, model, fence, expected=3)

    assert await flush(store, model, Deltas({}), seq=2) == before
    assert await store.totals(model, "r-2") == {}
    assert await seconds_left(evidence_key(model, "r-1")) is None
    assert len(await store.history(model, limit=9)) == 1


async def test_of_a_raise_and_a_rollback_at_once_one_wins_and_is_written_whole(store: Store, model: str) -> None:
    await write(store, model, FIVE)

    outcomes = await asyncio.gather(
        write(store, model, TEN, expected=1), write(store, model, None, expected=1), return_exceptions=True
    )

    assert sorted(isinstance(outcome, RevisionConflict) for outcome in outcomes) == [False, True]
    raised = not isinstance(outcomes[0], RevisionConflict)
    assert (await flush(store, model, ONE_RUN) is not None) == raised
    assert ("2|slots" in await store.totals(model, "r-1")) == raised
    assert len(await store.history(model, limit=9)) == 2


async def test_a_repaired_route_is_not_compared_with_what_was_counted_under_another_split(
    store: Store, model: str, poison: Poison
) -> None:
    await write(store, model, FIVE)
    await flush(store, model, ONE_RUN)
    await poison(model, {"revision": b"seven"})

    await write(store, model, TEN, expected=-1)

    assert await store.totals(model, "r-1") == {"1|slots": "1:9000,2:1000"}


@pytest.mark.parametrize("name", [b"r 1", b"\xff\x00", b"x" * 65, b"}"], ids=["blank", "bytes", "long", "brace"])
async def test_a_rollout_of_garbage_in_a_route_is_replaced(
    store: Store, model: str, poison: Poison, name: bytes
) -> None:
    await write(store, model, None)
    await poison(model, {"rollout": name})

    await write(store, model, FIVE, expected=1)

    assert await flush(store, model, Deltas({"2|2|n": 1})) == {"2|slots": "1:9500,2:500", "2|2|n": "1"}


@pytest.mark.parametrize(
    "fence", [Fence("", FIVE.slots), Fence("a b", FIVE.slots), Fence("x" * 65, FIVE.slots), Fence("r-1", "1:99,2:1")]
)
async def test_a_fence_that_could_not_be_read_back_is_not_written(store: Store, model: str, fence: Fence) -> None:
    with pytest.raises(InvalidDocument):
        await write(store, model, fence)

    assert await store.read(model) is None


# What nobody may send, and what may lie there


@pytest.mark.parametrize(
    "deltas",
    [
        Deltas({"1|2|n": -1}),
        Deltas({"1|2|n": 10**9 + 1}),
        Deltas({"1|2|n": True}),
        Deltas({"1|2|happy": 1}),
        Deltas({"1|slots": 1}),
        Deltas({"seq|w-1": 1}),
        Deltas({f"1|{version}|n": 1 for version in range(1, DELTA_FIELDS + 2)}),
        Deltas({}, [("1|2|error", range(DELTA_POINTS + 1))]),
        Deltas({}, [("1|2|error", [2**64])]),
        Deltas({}, [("1|2|error", [-1])]),
        Deltas({}, [("1|2|n", [1])]),
    ],
)
async def test_deltas_that_could_not_be_read_back_are_not_sent(store: Store, model: str, deltas: Deltas) -> None:
    await write(store, model, FIVE)

    with pytest.raises(InvalidDocument):
        await flush(store, model, deltas)

    assert await store.totals(model, "r-1") == {"1|slots": "1:9500,2:500"}


@pytest.mark.parametrize(("worker", "seq"), [("", 1), ("a b", 1), ("x" * 129, 1), ("w", 0), ("w", -1), ("w", 10**15)])
async def test_a_flush_has_a_plain_name_and_a_number(store: Store, model: str, worker: str, seq: int) -> None:
    with pytest.raises(ValueError, match=r"name|numbered"):
        await flush(store, model, ONE_RUN, worker=worker, seq=seq)


@pytest.mark.parametrize(
    "fields",
    [
        {b"1|2|n": b"many"},
        {b"1|2|n": b"-4"},
        {b"1|2|n": b"1.5"},
        {b"1|2|n": b"9" * 19},
        {b"1|2|error": b"\xff"},
        {b"seq|w-1": b"x"},
    ],
)
async def test_garbage_where_a_flush_counts_is_named_and_nothing_is_added(
    store: Store, model: str, tamper: Tamper, fields: dict[bytes, bytes]
) -> None:
    await write(store, model, FIVE)
    key = evidence_key(model, "r-1")
    await tamper(key, fields)

    with pytest.raises(CorruptRoute, match="abort the rollout") as refused:
        await flush(store, model, Deltas({"1|1|n": 1, "1|2|n": 1}, [("1|2|error", [1])]))

    assert refused.value.reason == "evidence"
    await tamper(key, dict.fromkeys(fields, b""))
    assert await store.totals(model, "r-1") == {"1|slots": "1:9500,2:500"}


async def test_garbage_that_is_text_is_shown_to_the_core_and_other_garbage_is_refused(
    store: Store, model: str, tamper: Tamper
) -> None:
    await write(store, model, FIVE)
    await tamper(evidence_key(model, "r-1"), {b"hello": b"world"})

    totals = await store.totals(model, "r-1")
    await tamper(evidence_key(model, "r-1"), {b"\xff": b"\xfe"})

    with pytest.raises(InvalidDocument, match="hello"):
        read_evidence(totals)
    with pytest.raises(CorruptRoute) as refused:
        await store.totals(model, "r-1")
    assert refused.value.reason == "evidence"


async def test_lost_evidence_starts_again_with_the_next_revision(store: Store, model: str, tamper: Tamper) -> None:
    await write(store, model, FIVE)
    await tamper(evidence_key(model, "r-1"), {b"1|slots": b""})

    lost = await flush(store, model, ONE_RUN)
    await write(store, model, TEN, expected=1)

    assert lost is None
    assert await flush(store, model, Deltas({"2|2|n": 1})) == {"2|slots": "1:9000,2:1000", "2|2|n": "1"}


# The lease and the clock


async def test_a_lease_has_one_holder_who_may_renew_it(store: Store, model: str) -> None:
    taken = await store.lease(model, "a")

    refused, renewed = await store.lease(model, "b"), await store.lease(model, "a")

    assert (taken, refused, renewed) == (True, False, True)
    assert await store.lease(f"{model}-other", "b")


async def test_of_many_at_once_one_gets_the_lease(store: Store, model: str) -> None:
    got = await asyncio.gather(*(store.lease(model, f"holder-{n}") for n in range(20)))

    assert sum(got) == 1


async def test_a_lease_ends_and_goes_to_whoever_asks_next(
    store: Store, model: str, seconds_left: SecondsLeft, expire: Expire
) -> None:
    await store.lease(model, "a")
    left = await seconds_left(lease_key(model))
    await expire(lease_key(model))

    taken, refused = await store.lease(model, "b"), await store.lease(model, "a")

    assert left is not None
    assert LEASE_SECONDS - 1 < left <= LEASE_SECONDS
    assert (taken, refused) == (True, False)


async def test_a_renewed_lease_lasts_as_long_as_a_new_one(store: Store, model: str, seconds_left: SecondsLeft) -> None:
    await store.lease(model, "a")
    await asyncio.sleep(0.2)
    before = await seconds_left(lease_key(model))

    await store.lease(model, "a")

    after = await seconds_left(lease_key(model))
    assert before is not None
    assert after is not None
    assert after > before


async def test_who_was_refused_does_not_make_the_lease_longer(
    store: Store, model: str, seconds_left: SecondsLeft
) -> None:
    await store.lease(model, "a")
    await asyncio.sleep(0.2)

    await store.lease(model, "b")

    left = await seconds_left(lease_key(model))
    assert left is not None
    assert left < LEASE_SECONDS - 0.1


async def test_the_clock_is_in_seconds_and_goes_on(store: Store) -> None:
    first = await store.now()
    await asyncio.sleep(0.01)

    assert 1_600_000_000 < first < await store.now() < first + 60


def test_the_keys_of_a_rollout_are_its_evidence_and_every_kind_that_is_seen() -> None:
    assert rollout_keys("m", "r")[:2] == ("gateway:{m}:evidence:r", "gateway:{m}:seen:r:error")
