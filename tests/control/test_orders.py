"""Loading and unloading: a version that is needed cannot be taken away."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from gateway.core.errors import UnknownVersion, VersionInUse
from gateway.core.versions import VersionState
from tests.control.fakes import FAILED, LOADING, READY, UNAVAILABLE, House

OTHERS = list(product([None, *VersionState], repeat=2))
"""What versions 2 and 3 are while 1 is asked to go; None is a version that does not exist."""


async def unload(house: House, version: int) -> None:
    await house.operations.unload("fraud", version, who="ann", reason="")


async def test_an_order_is_in_the_store_and_in_the_audit(house: House) -> None:
    await house.route({"1": 1})

    await house.operations.load("fraud", 2, who="ann", reason="try again")

    head = (await house.store.heads(["fraud"]))["fraud"]
    newest = (await house.history())[0]
    assert head.orders == {2: "load"}
    assert (newest.action, newest.who, newest.reason, newest.revision) == ("load", "ann", "try again", 1)


async def test_loading_gives_no_traffic(house: House) -> None:
    await house.route({"1": 1})

    await house.operations.load("fraud", 3, who="ann", reason="")

    route, held = await house.operations.read_route("fraud")
    assert (dict(route.split), held.revision) == ({1: 1}, 1)


async def test_loading_twice_at_once_is_one_order(house: House) -> None:
    house.workers.say("fraud", 3, UNAVAILABLE)

    await asyncio.gather(*(house.operations.load("fraud", 3, who="ann", reason="") for _ in range(2)))

    assert (await house.store.heads(["fraud"]))["fraud"].orders == {3: "load"}


async def test_a_version_with_weight_stays(house: House) -> None:
    await house.route({"1": 95, "2": 5})

    with pytest.raises(VersionInUse, match="weight 5"):
        await unload(house, 2)


async def test_the_baseline_stays_also_without_weight(house: House) -> None:
    await house.route({"2": 1}, baseline="1")

    with pytest.raises(VersionInUse, match="baseline"):
        await unload(house, 1)


async def test_a_version_that_a_rule_names_stays(house: House) -> None:
    await house.route({"1": 1}, rules=[{"when": {"header:x-tenant": "acme"}, "split": {"3": 1}}])

    with pytest.raises(VersionInUse, match="rule 1"):
        await unload(house, 3)


async def test_a_version_at_weight_zero_may_go(house: House) -> None:
    await house.route({"1": 1, "2": 0})

    await unload(house, 2)

    assert (await house.store.heads(["fraud"]))["fraud"].orders == {2: "unload"}


async def test_a_version_that_is_loading_stays(house: House) -> None:
    await house.route({"1": 1})
    house.workers.say("fraud", 2, LOADING, worker=0)

    with pytest.raises(VersionInUse, match="being loaded"):
        await unload(house, 2)


async def test_after_a_wipe_the_route_that_is_served_protects_its_versions(house: House) -> None:
    house.snapshot.keep("fraud", {"1": 95, "2": 5})

    with pytest.raises(VersionInUse, match="weight 5"):
        await unload(house, 2)


async def test_two_orders_at_once_cannot_take_the_last_two_versions(house: House) -> None:
    house.workers.say("fraud", 3, FAILED)

    results = await asyncio.gather(unload(house, 1), unload(house, 2), return_exceptions=True)

    assert [type(result) for result in results] == [type(None), VersionInUse]


async def test_the_last_one_of_a_single_worker_stays(house: House) -> None:
    house.workers.say("fraud", 2, FAILED, worker=1)
    house.workers.say("fraud", 3, FAILED, worker=1)

    with pytest.raises(VersionInUse, match="last one"):
        await unload(house, 1)


@pytest.mark.parametrize(("second", "third"), OTHERS)
async def test_a_worker_is_never_left_without_a_ready_version(
    second: VersionState | None, third: VersionState | None
) -> None:
    house = House()
    for version, state in ((2, second), (3, third)):
        for states in house.workers.states:
            del states["fraud", version]
        if state is not None:
            house.workers.say("fraud", version, state)

    try:
        await unload(house, 1)
        gone = True
    except VersionInUse:
        gone = False

    assert gone == (READY in {second, third})


async def test_a_version_that_is_nowhere_cannot_be_unloaded(house: House) -> None:
    with pytest.raises(UnknownVersion):
        await unload(house, 9)
