"""The versions of a worker: what is loaded when, and what is told of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.models.fakes import House, ready_of, renew, state_of, status_of, until

if TYPE_CHECKING:
    from gateway.models.catalog import Catalog


def states(catalog: Catalog) -> dict[str, str]:
    return {f"{status.model}/{status.version}": status.state.value for status in catalog.statuses()}


async def test_every_version_found_is_loaded_by_default(house: House) -> None:
    for name in ("iris/1", "fraud/2", "fraud/1"):
        house.put(name)

    catalog = await house.refreshed()

    assert states(catalog) == {"fraud/1": "READY", "fraud/2": "READY", "iris/1": "READY"}
    assert catalog.models() == ["fraud", "iris"]


async def test_only_what_routes_name_is_loaded_where_that_is_asked_for(house: House) -> None:
    house.put("fraud/1")
    house.put("fraud/2")
    catalog = house.open(load="routed")
    catalog.want({"fraud": {2}}, {})

    await renew(catalog)

    assert states(catalog) == {"fraud/1": "UNAVAILABLE", "fraud/2": "READY"}
    assert status_of(catalog, "fraud", 1).reason == "not routed"


async def test_a_loaded_version_carries_what_the_request_path_needs(house: House) -> None:
    house.put("fraud/7", metadata="serving: {max_batch_rows: 8, threads: 2}")

    loaded = ready_of(await house.refreshed(), "fraud", 7)

    assert (loaded.model, loaded.version, loaded.in_flight) == ("fraud", 7, 0)
    assert loaded.batchable
    assert loaded.run_seconds > 0
    assert loaded.metadata.serving.max_batch_rows == 8
    assert loaded.signature is loaded.session.signature
    assert loaded.cells is house.metrics.version("fraud", "7")
    assert len(loaded.digest) == 64
    assert house.engine.threads == [2]


async def test_what_runs_a_version_is_the_gateways_choice_unless_its_metadata_names_it(house: House) -> None:
    house.put("fraud/7", metadata="serving: {providers: ['cuda:1', cpu]}")
    house.put("fraud/8")

    await house.refreshed(providers=("openvino", "cpu"))

    assert dict(zip(house.engine.loads, house.engine.providers, strict=True)) == {
        "fraud/7": ("cuda:1", "cpu"),
        "fraud/8": ("openvino", "cpu"),
    }


async def test_threads_are_the_gateways_unless_the_metadata_names_them(house: House) -> None:
    house.put("fraud/1")

    await house.refreshed(threads=3)

    assert house.engine.threads == [3]


async def test_what_routes_name_is_loaded_first_then_by_name_and_number(house: House) -> None:
    for name in ("a/1", "b/10", "b/9", "z/1"):
        house.put(name)
    catalog = house.open()
    catalog.want({"z": {1}}, {})

    await renew(catalog)

    assert house.engine.loads == ["z/1", "a/1", "b/9", "b/10"]


async def test_whoever_is_told_of_the_last_version_sees_that_nothing_loads_any_more(house: House) -> None:
    for name in ("fraud/1", "iris/1"):
        house.put(name)
    catalog = house.open()
    told: list[tuple[str, str, bool]] = []
    catalog.subscribe(lambda status: told.append((status.model, status.state.value, catalog.is_loading())))

    await renew(catalog)
    await asyncio.sleep(0)

    assert ("fraud", "READY", True) in told
    assert told[-1] == ("iris", "READY", False)


async def test_a_version_that_appears_later_is_loaded_at_the_next_look(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()
    house.put("fraud/2")

    await renew(catalog)

    assert state_of(catalog, "fraud", 2) == "READY"
    assert house.engine.loads == ["fraud/1", "fraud/2"]


async def test_a_version_that_is_still_copied_waits(house: House) -> None:
    path = house.put("fraud/1")
    path.touch()
    catalog = house.open()

    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "LOADING"
    assert "no longer change" in status_of(catalog, "fraud", 1).reason
    assert house.engine.loads == []


async def test_a_version_that_was_copied_is_loaded(house: House) -> None:
    path = house.put("fraud/1")
    path.touch()
    catalog = await house.refreshed()

    house.put("fraud/1")
    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "READY"


async def test_a_version_is_loading_until_it_is_ready(house: House) -> None:
    house.put("fraud/1")
    house.put("fraud/2")
    house.engine.gate.clear()
    catalog = house.open()

    await catalog.refresh()

    assert states(catalog) == {"fraud/1": "LOADING", "fraud/2": "LOADING"}
    assert catalog.ready("fraud", 1) is None
    house.engine.gate.set()
    await catalog.settle()
    assert states(catalog) == {"fraud/1": "READY", "fraud/2": "READY"}


async def test_every_change_of_state_is_told_in_order(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()

    catalog.want({}, {"fraud": {1: "unload"}})
    await catalog.settle()
    await until(lambda: len(house.heard) == 4)

    assert house.heard == ["fraud/1 LOADING", "fraud/1 READY", "fraud/1 UNLOADING", "fraud/1 UNAVAILABLE"]


@pytest.mark.filterwarnings("ignore")
async def test_a_subscriber_that_raises_stops_nothing(house: House) -> None:
    house.put("fraud/1")
    house.put("fraud/2")
    catalog = house.open()
    catalog.subscribe(lambda status: status.nothing)  # type: ignore[attr-defined]  # the point of the test

    await renew(catalog)

    assert states(catalog) == {"fraud/1": "READY", "fraud/2": "READY"}


async def test_an_unknown_version_has_no_status(house: House) -> None:
    catalog = await house.refreshed()

    assert catalog.status("fraud", 1) is None
    assert catalog.ready("fraud", 1) is None
    assert catalog.statuses() == []


async def test_a_version_that_cannot_be_batched_says_why(house: House) -> None:
    house.put("fraud/1", metadata="serving: {warm_up: {x: {values: [1, 1]}}}")

    catalog = await house.refreshed()

    assert status_of(catalog, "fraud", 1).note.startswith("not batched: ")
    assert not ready_of(catalog, "fraud", 1).batchable


async def test_closing_gives_up_what_waits_and_forgets_what_is_ready(house: House) -> None:
    house.put("fraud/1")
    house.put("fraud/2")
    house.engine.gate.clear()
    catalog = house.open()
    await catalog.refresh()
    await until(lambda: house.engine.loads == ["fraud/1"])

    await catalog.close()
    house.engine.gate.set()
    catalog.want({"fraud": {1, 2}}, {})

    assert catalog.statuses() == []
    assert house.engine.loads == ["fraud/1"]
