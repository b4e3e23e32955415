"""Models without a route get one, once, and never over the operator's head."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.control.steward import Steward
from gateway.core.errors import UnknownRoute
from gateway.store.memory import MemoryRouteStore
from tests.control.fakes import FAILED, LOADING, READY, UNAVAILABLE, House

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.versions import VersionState


def steward_of(house: House, directory: Path | None = None) -> Steward:
    return Steward(house.operations, house.store, house.workers, directory, house.snapshot)


async def split_of(house: House, model: str = "fraud") -> dict[int, int] | None:
    try:
        route, _ = await house.operations.read_route(model)
    except UnknownRoute:
        return None
    return dict(route.split)


def write(directory: Path, name: str, content: str) -> None:
    (directory / name).write_text(content, encoding="utf-8")


async def test_a_model_first_seen_gets_its_highest_version_all_traffic(house: House) -> None:
    await steward_of(house).tick()

    entry = (await house.history())[0]
    assert await split_of(house) == {3: 100}
    assert (entry.who, entry.reason) == ("gateway", "first seen")


async def test_one_worker_with_a_ready_version_is_enough(house: House) -> None:
    for version in (1, 2, 3):
        house.workers.say("fraud", version, UNAVAILABLE)
    house.workers.say("fraud", 2, READY, worker=1)

    await steward_of(house).tick()

    assert await split_of(house) == {2: 100}


@pytest.mark.parametrize("state", [LOADING, FAILED, UNAVAILABLE])
async def test_a_model_that_was_never_ready_gets_no_route(house: House, state: VersionState) -> None:
    for version in (1, 2, 3):
        house.workers.say("fraud", version, state)

    await steward_of(house).tick()

    assert await split_of(house) is None


async def test_the_default_route_waits_for_a_higher_version_that_is_loading(house: House) -> None:
    house.workers.say("fraud", 3, LOADING)
    steward = steward_of(house)
    await steward.tick()
    early = await split_of(house)

    house.workers.say("fraud", 3, READY)
    await steward.tick()

    assert (early, await split_of(house)) == (None, {3: 100})


async def test_a_higher_version_that_failed_is_not_waited_for(house: House) -> None:
    house.workers.say("fraud", 3, FAILED)

    await steward_of(house).tick()

    assert await split_of(house) == {2: 100}


async def test_a_version_that_appears_later_gets_nothing(house: House) -> None:
    steward = steward_of(house)
    await steward.tick()
    house.on_disk["fraud"].add(4)
    house.workers.say("fraud", 4, READY)

    await steward.tick()

    assert await split_of(house) == {3: 100}


async def test_a_route_file_is_written_where_there_is_no_route(house: House, tmp_path: Path) -> None:
    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"1": 95, "2": 5}\n')

    await steward_of(house, tmp_path).tick()

    assert await split_of(house) == {1: 95, 2: 5}
    assert (await house.history())[0].reason == "route file fraud.yaml"


async def test_a_route_file_needs_no_ready_version(house: House, tmp_path: Path) -> None:
    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"1": 95, "2": 5}\n')
    for version in (1, 2, 3):
        house.workers.say("fraud", version, LOADING)

    await steward_of(house, tmp_path).tick()

    assert await split_of(house) == {1: 95, 2: 5}


async def test_a_route_file_never_replaces_a_route(house: House, tmp_path: Path) -> None:
    await house.route({"1": 1})
    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"2": 1}\n')

    await steward_of(house, tmp_path).tick()

    assert await split_of(house) == {1: 1}


async def test_an_empty_store_never_beats_a_snapshot(house: House, tmp_path: Path) -> None:
    house.snapshot.keep("fraud", {"1": 95, "2": 5})
    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"2": 1}\n')

    await steward_of(house, tmp_path).tick()

    assert await split_of(house) is None


async def test_a_store_that_is_wiped_under_the_gateway_is_left_to_the_operator(house: House) -> None:
    steward = steward_of(house)
    await steward.tick()
    house.store._hashes.clear()

    await steward.tick()

    assert await split_of(house) is None


async def test_orders_alone_are_no_route(house: House) -> None:
    await house.operations.load("fraud", 3, who="ann", reason="")

    await steward_of(house).tick()

    assert await split_of(house) == {3: 100}


async def test_a_store_that_is_away_is_told_once_and_seeded_when_it_is_back(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    steward = steward_of(house)
    house.store.stop()
    for _ in range(3):
        await steward.tick()

    house.store.start()
    await steward.tick()

    assert await split_of(house) == {3: 100}
    assert len(caplog.records) == 1


async def test_a_broken_file_is_told_once_and_stops_no_other(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a.yaml", "model: [")
    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"1": 1}\n')
    steward = steward_of(house, tmp_path)

    for _ in range(3):
        await steward.tick()

    assert await split_of(house) == {1: 1}
    assert [record.getMessage() for record in caplog.records if "a.yaml" in record.getMessage()] != []
    assert len(caplog.records) == 1


async def test_nobody_guesses_a_route_for_a_model_whose_file_is_broken(house: House, tmp_path: Path) -> None:
    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"1": -5}\n')
    steward = steward_of(house, tmp_path)
    await steward.tick()
    broken = await split_of(house)

    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"1": 5}\n')
    os.utime(tmp_path / "fraud.yaml", ns=(1, 1))
    await steward.tick()

    assert (broken, await split_of(house)) == (None, {1: 5})


async def test_a_file_whose_version_comes_later_is_tried_again(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"1": 95, "7": 5}\n')
    steward = steward_of(house, tmp_path)
    for _ in range(3):
        await steward.tick()
    early = await split_of(house)

    house.on_disk["fraud"].add(7)
    await steward.tick()

    assert (early, await split_of(house)) == (None, {1: 95, 7: 5})
    assert len(caplog.records) == 1


async def test_a_file_for_a_version_that_failed_is_written_all_the_same(house: House, tmp_path: Path) -> None:
    write(tmp_path, "fraud.yaml", 'model: fraud\nsplit: {"1": 95, "2": 5}\n')
    house.workers.say("fraud", 2, FAILED, "sha256 differs")

    await steward_of(house, tmp_path).tick()

    assert await split_of(house) == {1: 95, 2: 5}


async def test_a_directory_that_vanishes_stops_nothing(house: House, tmp_path: Path) -> None:
    await steward_of(house, tmp_path / "nowhere").tick()

    assert await split_of(house) == {3: 100}


async def test_two_gateways_on_one_store_seed_it_once(house: House) -> None:
    other = House()
    other.store = house.store
    other.operations = type(house.operations)(house.store, other.workers, lambda: other.on_disk, other.snapshot)

    await steward_of(house).tick()
    await steward_of(other).tick()

    assert len(await house.history()) == 1


async def test_a_model_that_is_settled_costs_the_store_nothing(house: House) -> None:
    asked = []

    class Counting(MemoryRouteStore):
        async def heads(self, models):  # type: ignore[no-untyped-def]  # the port's signature, passed on
            asked.append(list(models))
            return await super().heads(models)

    steward = Steward(house.operations, Counting(), house.workers, None, house.snapshot)
    for _ in range(5):
        await steward.tick()

    assert asked == [["fraud"]]
