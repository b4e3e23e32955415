"""How a version leaves a worker, and what never makes it leave."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.core.errors import VersionUnavailable
from gateway.models.entry import CHANGED
from tests.models.fakes import BAD, GOOD, House, ready_of, renew, state_of, status_of, until

if TYPE_CHECKING:
    from gateway.models.catalog import Catalog

ONE = {"x": np.ones((1, 3), np.float32)}


def states(catalog: Catalog) -> dict[str, str]:
    return {f"{status.model}/{status.version}": status.state.value for status in catalog.statuses()}


async def test_an_unload_order_unloads_what_no_route_names(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()

    catalog.want({}, {"fraud": {1: "unload"}})
    await catalog.settle()

    assert state_of(catalog, "fraud", 1) == "UNAVAILABLE"
    assert status_of(catalog, "fraud", 1).reason == "unloaded by operator"
    assert house.metrics.retired == ["fraud/1"]
    assert house.engine.destroyed == [("fraud/1", "loader_0")]


async def test_an_unload_order_leaves_what_a_route_names(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()

    catalog.want({"fraud": {1}}, {"fraud": {1: "unload"}})
    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "READY"


async def test_a_load_order_brings_an_unloaded_version_back(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed(load="routed")

    catalog.want({}, {"fraud": {1: "load"}})
    await catalog.settle()

    assert state_of(catalog, "fraud", 1) == "READY"


async def test_a_version_that_was_unloaded_is_not_loaded_at_the_next_look(house: House) -> None:
    house.put("fraud/1")
    catalog = house.open()
    catalog.want({}, {"fraud": {1: "unload"}})

    await renew(catalog)
    await renew(catalog)

    assert house.engine.loads == []
    assert status_of(catalog, "fraud", 1).reason == "unloaded by operator"


async def test_unloading_waits_for_what_is_in_flight(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()
    loaded = ready_of(catalog, "fraud", 1)
    loaded.hold()

    catalog.want({}, {"fraud": {1: "unload"}})
    await until(lambda: "fraud/1 UNLOADING" in house.heard)

    assert catalog.ready("fraud", 1) is None
    assert loaded.session.run(ONE)
    assert house.engine.destroyed == []
    loaded.release()
    await catalog.settle()
    assert len(house.engine.destroyed) == 1


async def test_a_request_that_comes_after_the_end_is_told_so(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()
    loaded = ready_of(catalog, "fraud", 1)

    catalog.want({}, {"fraud": {1: "unload"}})
    await catalog.settle()

    with pytest.raises(VersionUnavailable):
        loaded.session.run(ONE)


async def test_a_version_that_is_wanted_again_while_it_drains_is_kept(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()
    loaded = ready_of(catalog, "fraud", 1)
    loaded.hold()
    catalog.want({}, {"fraud": {1: "unload"}})

    catalog.want({"fraud": {1}}, {"fraud": {1: "unload"}})

    assert catalog.ready("fraud", 1) is loaded
    await catalog.settle()
    assert catalog.ready("fraud", 1) is loaded
    assert house.engine.loads == ["fraud/1"]
    assert house.metrics.retired == []


async def test_a_version_that_is_kept_can_still_be_unloaded(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()

    for _ in range(3):
        catalog.want({}, {"fraud": {1: "unload"}})
        catalog.want({"fraud": {1}}, {})
    catalog.want({}, {"fraud": {1: "unload"}})
    await catalog.settle()

    assert state_of(catalog, "fraud", 1) == "UNAVAILABLE"
    assert house.engine.destroyed == [("fraud/1", "loader_0")]
    assert house.metrics.retired == ["fraud/1"]


async def test_new_versions_are_loaded_before_old_ones_go(house: House) -> None:
    house.put("fraud/1")
    house.put("fraud/2")
    catalog = house.open(load="routed")
    catalog.want({"fraud": {1}}, {})
    await renew(catalog)
    house.engine.gate.clear()

    catalog.want({"fraud": {2}}, {})
    await until(lambda: house.engine.loads == ["fraud/1", "fraud/2"])

    assert states(catalog) == {"fraud/1": "READY", "fraud/2": "LOADING"}
    house.engine.gate.set()
    await catalog.settle()
    assert states(catalog) == {"fraud/1": "UNAVAILABLE", "fraud/2": "READY"}


async def test_a_version_that_is_no_longer_wanted_when_it_is_loaded_is_unloaded(house: House) -> None:
    house.put("fraud/1")
    house.engine.gate.clear()
    catalog = house.open()
    await catalog.refresh()
    await until(lambda: house.engine.loads == ["fraud/1"])

    catalog.want({}, {"fraud": {1: "unload"}})
    house.engine.gate.set()
    await catalog.settle()

    assert state_of(catalog, "fraud", 1) == "UNAVAILABLE"
    assert len(house.engine.destroyed) == 1


async def test_a_version_that_waits_and_is_no_longer_wanted_is_not_loaded(house: House) -> None:
    house.put("fraud/1")
    house.put("fraud/2")
    house.engine.gate.clear()
    catalog = house.open()
    await catalog.refresh()
    await until(lambda: house.engine.loads == ["fraud/1"])

    catalog.want({}, {"fraud": {2: "unload"}})
    house.engine.gate.set()
    await catalog.settle()

    assert house.engine.loads == ["fraud/1"]


async def test_a_session_whose_warm_up_failed_is_destroyed_where_it_was_made(house: House) -> None:
    house.put("fraud/1", metadata="serving: {warm_up: {q: {}}}")

    catalog = await house.refreshed()

    assert status_of(catalog, "fraud", 1).reason.startswith("bad_metadata: ")
    assert house.engine.destroyed == [("fraud/1", "loader_0")]


async def test_a_repository_that_is_gone_unloads_nothing(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()
    shutil.move(house.root, house.root.with_name("elsewhere"))

    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "READY"
    assert "--models" in catalog.repository_error
    shutil.move(house.root.with_name("elsewhere"), house.root)
    await renew(catalog)
    assert catalog.repository_error == ""


async def test_a_version_that_is_gone_from_the_disk_serves_on_with_a_note(house: House) -> None:
    house.put("fraud/1")
    house.put("fraud/2")
    catalog = await house.refreshed()
    shutil.rmtree(house.root / "fraud" / "1")

    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "READY"
    assert status_of(catalog, "fraud", 1).note == "no longer in the repository"


async def test_a_version_that_is_gone_from_the_disk_and_unloaded_is_forgotten(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()
    shutil.rmtree(house.root / "fraud")
    await renew(catalog)

    catalog.want({}, {"fraud": {1: "unload"}})
    await catalog.settle()

    assert catalog.status("fraud", 1) is None
    assert catalog.models() == []


async def test_a_failed_version_that_is_gone_from_the_disk_is_forgotten(house: House) -> None:
    house.put("fraud/1", BAD)
    catalog = await house.refreshed()
    shutil.rmtree(house.root / "fraud")

    await renew(catalog)

    assert catalog.statuses() == []


async def test_a_version_that_is_gone_while_it_loads_serves_on(house: House) -> None:
    house.put("fraud/1")
    house.engine.gate.clear()
    catalog = house.open()
    await catalog.refresh()
    await until(lambda: house.engine.loads == ["fraud/1"])
    shutil.rmtree(house.root / "fraud")
    await catalog.refresh()

    house.engine.gate.set()
    await catalog.settle()

    assert state_of(catalog, "fraud", 1) == "READY"


async def test_a_file_that_changes_behind_a_ready_version_changes_nothing(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()
    loaded = ready_of(catalog, "fraud", 1)

    house.put("fraud/1", GOOD + b" and other")
    await renew(catalog)

    assert catalog.ready("fraud", 1) is loaded
    assert status_of(catalog, "fraud", 1).note == CHANGED
    assert house.engine.loads == ["fraud/1"]


async def test_a_version_does_not_come_back_as_another_file(house: House) -> None:
    house.put("fraud/1")
    catalog = await house.refreshed()
    catalog.want({}, {"fraud": {1: "unload"}})
    await catalog.settle()
    house.put("fraud/1", GOOD + b" and other")

    catalog.want({}, {"fraud": {1: "load"}})
    await renew(catalog)

    assert state_of(catalog, "fraud", 1) == "FAILED"
    assert "versions are immutable" in status_of(catalog, "fraud", 1).reason
