"""What a worker does with what the store shows: follow, keep, refuse once, believe an older state late."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core import stored
from gateway.core.watching import READS_APART_SECONDS
from gateway.serving import watcher as watcher_module
from gateway.store.memory import MemoryRouteStore
from tests.serving.replica import ENTRY, Replica, payload, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.ports.routes import StoredRoute


@pytest.fixture
async def store() -> MemoryRouteStore:
    return MemoryRouteStore()


@pytest.fixture
async def replica(store: MemoryRouteStore, tmp_path: Path) -> Replica:
    return Replica(store, tmp_path)


@pytest.fixture
def pass_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the clock on which the watcher judges how far reads are apart."""
    now = [1000.0]

    class Clock:
        monotonic = staticmethod(lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(watcher_module, "time", Clock)
    return move


APART = READS_APART_SECONDS + 0.01


def poison(store: MemoryRouteStore, **fields: bytes) -> None:
    """Change fields of the stored route behind the store's back."""
    store._hashes["fraud"].update(fields)


def wipe(store: MemoryRouteStore) -> None:
    store._hashes.clear()


def put_back(store: MemoryRouteStore, route: StoredRoute) -> None:
    """Let the store show a state again that it had before, as after the restore of an old dump."""
    store._hashes["fraud"] = {
        "incarnation": route.incarnation.encode(),
        "revision": str(route.revision).encode(),
        "digest": route.digest.encode(),
        "document": route.payload,
    }


# Following


async def test_what_the_store_holds_is_adopted_and_remembered(store: MemoryRouteStore, replica: Replica) -> None:
    written = await write(store, {"1": 1}, 0)

    await replica.watcher.poll()
    replica.snapshot.write()

    assert (replica.served(), replica.split()) == (1, {1: 1})
    assert replica.snapshot.read() == {"fraud": written}


async def test_each_higher_revision_is_adopted(store: MemoryRouteStore, replica: Replica) -> None:
    seen = []
    for revision in range(3):
        await write(store, {"1": 1, "2": revision}, revision)
        await replica.watcher.poll()
        seen.append((replica.served(), replica.split()))

    assert seen == [(1, {1: 1, 2: 0}), (2, {1: 1, 2: 1}), (3, {1: 1, 2: 2})]


async def test_a_route_that_did_not_change_is_not_read_again(store: MemoryRouteStore, replica: Replica) -> None:
    await write(store, {"1": 1}, 0)
    await replica.watcher.poll()
    live = replica.floor.table.route("fraud")

    await replica.watcher.poll()

    assert replica.floor.table.route("fraud") is live


async def test_another_incarnation_is_adopted_at_once_whatever_its_revision(
    store: MemoryRouteStore, replica: Replica
) -> None:
    for revision in range(3):
        await write(store, {"1": 1}, revision)
    await replica.watcher.poll()
    wipe(store)
    await write(store, {"2": 1}, 0, incarnation="restored")

    await replica.watcher.poll()

    assert (replica.served(), replica.split(), replica.refusals) == (1, {2: 1}, [])


async def test_a_route_of_the_store_replaces_a_provisional_one(store: MemoryRouteStore, replica: Replica) -> None:
    replica.floor.adoption.provide({})
    provisional = replica.served()
    await write(store, {"1": 1}, 0)

    await replica.watcher.poll()

    assert (provisional, replica.served()) == (0, 1)


async def test_routes_of_models_that_are_not_here_are_not_asked_for(store: MemoryRouteStore, replica: Replica) -> None:
    await write(store, {"1": 1}, 0, model="elsewhere")

    await replica.watcher.poll()

    assert not replica.floor.adoption.has_route("elsewhere")


async def test_orders_of_operators_are_handed_on_even_without_a_route(
    store: MemoryRouteStore, replica: Replica
) -> None:
    await store.order("fraud", 2, "unload", ENTRY)

    await replica.watcher.poll()

    assert replica.floor.held.orders == {"fraud": {2: "unload"}}
    assert replica.served() is None


# Keeping


async def test_a_store_that_is_away_changes_nothing_and_is_told_once(
    store: MemoryRouteStore, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    await write(store, {"1": 1}, 0)
    await replica.watcher.poll()
    store.stop()

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await replica.watcher.poll()

    assert (replica.served(), replica.watcher.store_up) == (1, False)
    assert replica.answers == [True, False, False, False]
    assert len([record for record in caplog.records if "does not answer" in record.message]) == 1


async def test_a_store_that_comes_back_is_followed_again(store: MemoryRouteStore, replica: Replica) -> None:
    await write(store, {"1": 1}, 0)
    store.stop()
    await replica.watcher.poll()
    store.start()

    await replica.watcher.poll()

    assert (replica.served(), replica.watcher.store_up, replica.answers) == (1, True, [False, True])


async def test_a_wiped_store_takes_nothing_away_and_alarms_once(
    store: MemoryRouteStore, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    await write(store, {"1": 1}, 0)
    await replica.watcher.poll()
    wipe(store)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await replica.watcher.poll()

    assert replica.served() == 1
    assert replica.refusals == ["absent"]
    assert "gateway routes restore" in caplog.text


async def test_a_store_that_is_wiped_twice_alarms_twice(store: MemoryRouteStore, replica: Replica) -> None:
    for _ in range(2):
        await write(store, {"1": 1}, 0)
        await replica.watcher.poll()
        wipe(store)
        await replica.watcher.poll()

    assert replica.refusals == ["absent", "absent"]


async def test_a_store_that_never_held_anything_is_no_alarm(replica: Replica) -> None:
    await replica.watcher.poll()

    assert (replica.refusals, replica.served()) == ([], None)


# Refusing

GOOD = payload({"1": 1, "2": 1})
POISON: dict[str, tuple[dict[str, bytes], str]] = {
    "another digest": ({"document": GOOD, "digest": b"0" * 64}, "digest_mismatch"),
    "cut": ({"document": GOOD[:-5]}, "not_json"),
    "no JSON": ({"document": b"hello"}, "not_json"),
    "a newer schema": ({"document": GOOD.replace(b'"schema":1', b'"schema":2', 1)}, "newer_schema"),
    "an empty split": ({"document": GOOD.replace(b'"split":{"1":1,"2":1}', b'"split":{}', 1)}, "invalid"),
    "another model's": ({"document": payload({"1": 1}, model="digits")}, "invalid"),
    "too large": ({"document": b" " * (1 << 20) + GOOD}, "too_large"),
    "a revision that is none": ({"revision": b"many"}, "not_a_route"),
    "a digest that is none": ({"digest": b"\xff"}, "not_a_route"),
}


@pytest.mark.parametrize("case", POISON)
async def test_poison_is_refused_once_with_its_reason_and_the_last_good_route_serves_on(
    store: MemoryRouteStore, replica: Replica, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    await write(store, {"1": 1}, 0)
    await replica.watcher.poll()
    fields, reason = POISON[case]
    if "document" in fields:
        fields = {"revision": b"2", "digest": stored.digest(fields["document"]).encode(), **fields}
    poison(store, **fields)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await replica.watcher.poll()

    assert (replica.served(), replica.split()) == (1, {1: 1})
    assert replica.refusals == [reason]
    assert len([record for record in caplog.records if "is refused" in record.message]) == 1


async def test_a_good_route_after_poison_is_adopted(store: MemoryRouteStore, replica: Replica) -> None:
    await write(store, {"1": 1}, 0)
    await replica.watcher.poll()
    poison(store, revision=b"2", document=b"{}", digest=stored.digest(b"{}").encode())
    await replica.watcher.poll()

    await write(store, {"2": 1}, 2)
    await replica.watcher.poll()

    assert (replica.served(), replica.split(), replica.refusals) == (3, {2: 1}, ["invalid"])


async def test_every_other_poison_is_counted(store: MemoryRouteStore, replica: Replica) -> None:
    await write(store, {"1": 1}, 0)
    await replica.watcher.poll()

    for number in range(60):
        content = b"{" + str(number).encode()
        poison(store, revision=str(number + 2).encode(), document=content, digest=stored.digest(content).encode())
        await replica.watcher.poll()

    assert replica.refusals == ["not_json"] * 60
    assert replica.served() == 1


async def test_every_document_that_is_not_the_one_its_digest_names_is_counted_and_read_once(
    store: MemoryRouteStore, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, {"1": 1}, 0)
    await replica.watcher.poll()
    read, reads = store.read, 0

    async def counting(model: str) -> StoredRoute | None:
        nonlocal reads
        reads += 1
        return await read(model)

    monkeypatch.setattr(store, "read", counting)

    for number in range(20):
        poison(store, revision=str(number + 2).encode(), document=GOOD, digest=f"{number:064x}".encode())
        await replica.watcher.poll()
        await replica.watcher.poll()

    assert replica.refusals == ["digest_mismatch"] * 20
    assert (reads, replica.served()) == (20, 1)


async def test_the_poison_of_one_model_leaves_the_others_alone(store: MemoryRouteStore, tmp_path: Path) -> None:
    replica = Replica(store, tmp_path, "digits", "fraud")
    for model in ("digits", "fraud"):
        await write(store, {"1": 1}, 0, model=model)
    store._hashes["digits"]["document"] = b"poison"

    await replica.watcher.poll()

    assert (replica.served("digits"), replica.served("fraud")) == (None, 1)


# A history that was rewritten


async def test_the_same_revision_with_another_document_is_adopted_with_an_alarm(
    store: MemoryRouteStore, replica: Replica
) -> None:
    await write(store, {"1": 1}, 0)
    await replica.watcher.poll()
    content = payload({"2": 1})
    poison(store, document=content, digest=stored.digest(content).encode())

    await replica.watcher.poll()

    assert (replica.served(), replica.split(), replica.refusals) == (1, {2: 1}, ["rewritten"])


async def test_an_older_revision_is_believed_after_three_reads_that_are_apart(
    store: MemoryRouteStore, replica: Replica, pass_seconds: Callable[[float], None]
) -> None:
    old = await write(store, {"1": 1}, 0)
    await write(store, {"2": 1}, 1)
    await replica.watcher.poll()
    put_back(store, old)

    served: list[Any] = []
    for _ in range(3):
        await replica.watcher.poll()
        await replica.watcher.poll()  # a second read at the same moment is no second witness
        served.append(replica.served())
        pass_seconds(APART)

    assert served == [2, 2, 1]
    assert replica.refusals == ["rewritten"]


async def test_a_lagging_replica_of_the_store_is_not_believed(
    store: MemoryRouteStore, replica: Replica, pass_seconds: Callable[[float], None]
) -> None:
    old = await write(store, {"1": 1}, 0)
    new = await write(store, {"2": 1}, 1)
    await replica.watcher.poll()

    for route in (old, old, new, old, old, new):
        put_back(store, route)
        await replica.watcher.poll()
        pass_seconds(APART)

    assert (replica.served(), replica.refusals) == (2, [])
