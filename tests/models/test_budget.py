"""Who is in memory when not all fit: what is needed stays, what was not asked for longest rests, and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.models.budget import AGAIN_SECONDS, STAY_SECONDS, Budget
from gateway.ports.engine import Finding
from tests.models.fakes import GOOD, House, ready_of, renew, state_of, status_of, until

if TYPE_CHECKING:
    from gateway.models.catalog import Catalog
    from gateway.ports.engine import Candidate

MEGABYTE = 1 << 20


class Weighing:
    """Finds that every version takes ten megabytes, but for those that the test says take another amount."""

    def __init__(self, **megabytes: int) -> None:
        self.megabytes = megabytes
        self.asked: list[str] = []

    def verify(self, candidate: Candidate) -> Finding:
        name = f"{candidate.model}/{candidate.version}"
        self.asked.append(name)
        return Finding(memory_bytes=self.megabytes.get(f"{candidate.model}{candidate.version}", 10) * MEGABYTE)


def put(house: House, *names: str) -> None:
    for name in names:
        house.put(name, GOOD + name.encode())


def opened(house: House, megabytes: int, *, idle_seconds: float = 0.0, **weights: int) -> Catalog:
    budget = Budget(megabytes * MEGABYTE, idle_seconds)
    return house.open(verifier=Weighing(**weights), budget=budget)


def loaded(catalog: Catalog) -> set[str]:
    return {f"{each.model}/{each.version}" for each in catalog.statuses() if each.state.value == "READY"}


async def ask(catalog: Catalog, house: House, version: int, *, after: float = STAY_SECONDS) -> None:
    """Ask for a version of fraud as a caller does, *after* seconds, and wait for what follows."""
    house.now += after
    found = catalog.ready("fraud", version)
    if found is None:
        catalog.wake("fraud", version)
    else:
        found.last_asked = house.now
    await catalog.settle()


async def test_without_a_bound_everything_is_loaded(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3")
    catalog = opened(house, 0)
    catalog.want({"fraud": {1}}, {})

    await renew(catalog)

    assert loaded(catalog) == {"fraud/1", "fraud/2", "fraud/3"}


async def test_what_has_no_room_and_no_traffic_rests_and_says_so_in_numbers(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3")
    catalog = opened(house, 25)
    catalog.want({"fraud": {3}}, {})

    await renew(catalog)

    assert loaded(catalog) == {"fraud/1", "fraud/3"}
    resting = status_of(catalog, "fraud", 2)
    assert resting.state.value == "UNAVAILABLE"
    assert "takes 10.0 MiB" in resting.reason
    assert "5.0 MiB of the 25.0 MiB" in resting.reason
    assert "asked for by its number" in resting.reason


async def test_what_was_not_asked_for_longest_rests_for_what_is_asked_for(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3", "fraud/4")
    catalog = opened(house, 35)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    assert loaded(catalog) == {"fraud/1", "fraud/2", "fraud/3"}
    await ask(catalog, house, 2)

    await ask(catalog, house, 4)

    assert loaded(catalog) == {"fraud/1", "fraud/2", "fraud/4"}
    assert status_of(catalog, "fraud", 3).reason.startswith("resting: it made room for fraud/4")
    await ask(catalog, house, 3)
    assert loaded(catalog) == {"fraud/1", "fraud/3", "fraud/4"}


async def test_callers_cannot_have_versions_loaded_without_end(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3")
    catalog = opened(house, 25)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    await ask(catalog, house, 2, after=0)
    loads = len(house.engine.loads)

    for _ in range(5):
        await ask(catalog, house, 3, after=AGAIN_SECONDS / 5)
    await ask(catalog, house, 3, after=AGAIN_SECONDS)

    assert len(house.engine.loads) == loads
    assert loaded(catalog) == {"fraud/1", "fraud/2"}
    assert len(catalog._loader._verifier.asked) <= 5  # type: ignore[union-attr]  # it is there by now


async def test_a_route_gets_room_for_its_version_at_once(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3")
    catalog = opened(house, 25)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)

    catalog.want({"fraud": {1, 3}}, {})
    await catalog.settle()

    assert loaded(catalog) == {"fraud/1", "fraud/3"}


async def test_a_load_order_gets_room_and_what_was_ordered_never_rests(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3", "fraud/4")
    catalog = opened(house, 25)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    catalog.want({"fraud": {1}}, {"fraud": {3: "load"}})
    await catalog.settle()
    assert loaded(catalog) == {"fraud/1", "fraud/3"}

    await ask(catalog, house, 4)

    assert loaded(catalog) == {"fraud/1", "fraud/3"}
    assert state_of(catalog, "fraud", 4) == "UNAVAILABLE"


async def test_what_has_a_request_in_flight_does_not_rest(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3")
    catalog = opened(house, 25)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    ready_of(catalog, "fraud", 2).hold()

    await ask(catalog, house, 3)

    assert loaded(catalog) == {"fraud/1", "fraud/2"}


async def test_a_route_whose_version_has_no_room_fails_with_numbers_and_the_others_serve_on(
    house: House,
) -> None:  # M21
    put(house, "fraud/1", "fraud/2")
    catalog = opened(house, 15)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    one = ready_of(catalog, "fraud", 1)

    catalog.want({"fraud": {1, 2}}, {})
    await catalog.settle()

    found = status_of(catalog, "fraud", 2)
    assert found.state.value == "FAILED"
    assert found.reason.startswith("no_memory: it takes 10.0 MiB of memory, and 5.0 MiB of the 15.0 MiB")
    assert catalog.ready("fraud", 1) is one


async def test_a_version_that_failed_for_room_is_tried_again_when_there_is_some(house: House) -> None:
    put(house, "fraud/1", "fraud/2")
    catalog = opened(house, 15)
    catalog.want({"fraud": {1, 2}}, {})
    await renew(catalog)
    assert state_of(catalog, "fraud", 2) == "FAILED"

    catalog.want({"fraud": {2}}, {"fraud": {1: "unload"}})
    await catalog.settle()
    house.now += 60
    await renew(catalog)

    assert loaded(catalog) == {"fraud/2"}


async def test_a_version_that_is_larger_than_all_there_is_fails_and_moves_nobody(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3")
    catalog = opened(house, 25, fraud3=30)
    catalog.want({"fraud": {1}}, {})

    await renew(catalog)

    assert loaded(catalog) == {"fraud/1", "fraud/2"}
    assert status_of(catalog, "fraud", 3).reason.startswith("no_memory: ")


async def test_a_model_without_a_route_says_that_it_failed_for_room(house: House) -> None:
    put(house, "fraud/1", "iris/1")
    catalog = opened(house, 15)
    catalog.want({"fraud": {1}}, {})

    await renew(catalog)

    assert status_of(catalog, "iris", 1).reason.startswith("no_memory: ")


async def test_what_nobody_asked_for_in_the_idle_time_rests_and_wakes(house: House) -> None:
    put(house, "fraud/1", "fraud/2", "fraud/3")
    catalog = opened(house, 0, idle_seconds=60)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    await ask(catalog, house, 2, after=50)
    house.now += 20

    await renew(catalog)

    assert loaded(catalog) == {"fraud/1", "fraud/2"}
    assert "nobody asked for it in 60 s" in status_of(catalog, "fraud", 3).reason
    await ask(catalog, house, 3)
    assert loaded(catalog) == {"fraud/1", "fraud/2", "fraud/3"}


async def test_a_version_that_a_route_let_go_of_counts_as_asked_for_then(house: House) -> None:
    put(house, "fraud/1", "fraud/2")
    catalog = opened(house, 0, idle_seconds=60)
    catalog.want({"fraud": {1, 2}}, {})
    await renew(catalog)
    house.now += 1000

    catalog.want({"fraud": {1}}, {})
    house.now += 59
    await renew(catalog)

    assert loaded(catalog) == {"fraud/1", "fraud/2"}


async def test_a_resting_version_that_a_route_names_is_loaded(house: House) -> None:
    put(house, "fraud/1", "fraud/2")
    catalog = opened(house, 0, idle_seconds=60)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    house.now += 61
    await renew(catalog)
    assert loaded(catalog) == {"fraud/1"}

    catalog.want({"fraud": {2}}, {})
    await catalog.settle()

    assert "fraud/2" in loaded(catalog)


async def test_what_an_operator_unloaded_does_not_wake(house: House) -> None:
    put(house, "fraud/1", "fraud/2")
    catalog = opened(house, 0, idle_seconds=60)
    catalog.want({"fraud": {1}}, {"fraud": {2: "unload"}})
    await renew(catalog)

    await ask(catalog, house, 2)

    assert status_of(catalog, "fraud", 2).reason == "unloaded by operator"


async def test_a_version_in_memory_tells_what_it_takes(house: House) -> None:
    put(house, "fraud/1", "fraud/2")
    catalog = opened(house, 15, fraud1=12)
    catalog.want({"fraud": {1}}, {})

    await renew(catalog)

    assert status_of(catalog, "fraud", 1).memory_bytes == 12 * MEGABYTE
    assert status_of(catalog, "fraud", 2).memory_bytes == 0


@pytest.mark.parametrize("code", ["bad_model", "unverified"])
async def test_a_file_that_is_not_verified_is_not_loaded(house: House, code: str) -> None:
    class Refusing:
        def verify(self, candidate: Candidate) -> Finding:
            return Finding(code, f"not {candidate.model}")

    put(house, "fraud/1")
    catalog = house.open(verifier=Refusing())

    await renew(catalog)

    assert status_of(catalog, "fraud", 1).reason == f"{code}: not fraud"
    assert house.engine.loads == []
    house.now += 3
    await renew(catalog)
    assert house.heard.count("fraud/1 LOADING") == (2 if code == "unverified" else 1)


async def test_a_caller_who_asks_for_a_resting_version_again_and_again_loads_it_once(house: House) -> None:
    put(house, "fraud/1", "fraud/2")
    catalog = opened(house, 0, idle_seconds=60)
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    house.now += 61
    await renew(catalog)
    house.engine.gate.clear()

    for _ in range(20):
        catalog.wake("fraud", 2)
    await until(lambda: house.engine.loads.count("fraud/2") == 2)
    house.engine.gate.set()
    await catalog.settle()

    assert house.engine.loads.count("fraud/2") == 2
    assert "fraud/2" in loaded(catalog)
