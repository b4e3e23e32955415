"""What holds in a catalog whatever is asked of it, in whatever order."""

from __future__ import annotations

import random

import pytest

from gateway.core.versions import VersionState
from tests.models.fakes import BAD, House, renew

VERSIONS = (1, 2, 3)


@pytest.mark.parametrize("load", ["all", "routed"])
@pytest.mark.parametrize("seed", range(8))
async def test_a_ready_version_that_a_route_names_is_never_taken_away(house: House, load: str, seed: int) -> None:
    draw = random.Random(seed)
    routed: set[int] = set()
    for version in VERSIONS:
        house.put(f"fraud/{version}", BAD if draw.random() < 0.2 else b"good %d" % version)
    catalog = house.open(load=load)

    for _ in range(40):
        before = {version: loaded for version in routed if (loaded := catalog.ready("fraud", version))}
        routed = {version for version in VERSIONS if draw.random() < 0.5}
        orders = {version: draw.choice(["load", "unload"]) for version in VERSIONS if draw.random() < 0.5}
        kept = {version: loaded for version, loaded in before.items() if version in routed}

        catalog.want({"fraud": set(routed)}, {"fraud": orders})
        assert all(catalog.ready("fraud", version) is loaded for version, loaded in kept.items())
        if draw.random() < 0.5:
            await renew(catalog)
            assert all(catalog.ready("fraud", version) is loaded for version, loaded in kept.items())
            assert_everything_is_as_wanted(house, load, routed, orders)


def assert_everything_is_as_wanted(house: House, load: str, routed: set[int], orders: dict[int, str]) -> None:
    (catalog,) = house.catalogs
    for status in catalog.statuses():
        order = orders.get(status.version, "")
        wanted = status.version in routed or order == "load" or (load == "all" and order != "unload")
        if status.state is VersionState.FAILED:
            assert status.reason
        else:
            assert (status.state is VersionState.READY) == wanted
            assert bool(catalog.ready("fraud", status.version)) == wanted
