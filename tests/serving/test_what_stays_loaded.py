"""Versions that stay and go by an operator's order, or after a rollout replaced them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.rollout import Kept
from gateway.core.versions import WHOLE_MODEL
from tests.serving.fakes import Floor, compiled
from tests.serving.served import ONE, TWO, served

if TYPE_CHECKING:
    from collections.abc import Mapping

# What operators order


async def test_orders_of_operators_reach_the_catalog(floor: Floor) -> None:
    floor.adoption.order("fraud", {2: "load"})

    assert floor.held.orders == {"fraud": {2: "load"}}


async def test_a_model_that_is_taken_out_of_service_has_no_route_until_it_is_back(floor: Floor) -> None:
    heard: list[str] = []
    floor.held.hold("fraud", 1)
    floor.held.hold("other", 1)
    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.adoption.want(ONE, compiled({"1": 1}, model="other"))
    floor.adoption.subscribe(lambda: heard.append("changed"))

    floor.adoption.order("fraud", {WHOLE_MODEL: "unload"})
    floor.adoption.settle()

    assert (served(floor), served(floor, "other"), heard) == (None, 1, ["changed"])
    assert floor.adoption.not_ready() == {}
    floor.adoption.order("fraud", {WHOLE_MODEL: "load"})
    floor.adoption.settle()
    assert served(floor) == 1


async def test_a_model_may_be_out_of_service_before_it_has_a_route(floor: Floor) -> None:
    floor.held.hold("fraud", 1)

    floor.adoption.order("fraud", {WHOLE_MODEL: "unload"})
    floor.adoption.want(ONE, compiled({"1": 1}))

    assert served(floor) is None
    assert floor.adoption.not_ready() == {}


async def test_a_version_at_weight_0_may_be_unloaded_and_is_protected_again_once_it_has_weight(floor: Floor) -> None:
    for version in (1, 2, 3):
        floor.held.hold("fraud", version)
    rules = [{"when": {"header:x": "y"}, "split": {"3": 0, "1": 1}}]
    floor.adoption.want(ONE, compiled({"1": 0, "2": 0, "3": 1}, baseline="1", rules=rules))

    floor.adoption.order("fraud", dict.fromkeys((1, 2, 3), "unload"))

    assert floor.held.routed["fraud"] == {1, 3}
    floor.adoption.want(TWO, compiled({"1": 0, "2": 1, "3": 1}, baseline="1"))
    assert floor.held.routed["fraud"] == {1, 2, 3}


# What a rollout replaced


def replaced(floor: Floor, split: Mapping[str, int]) -> None:
    """Serve *split* after a success of version 2 at 1,000 s, whose plan keeps version 1 for an hour."""
    for version in (1, 2):
        floor.held.hold("fraud", version)
    floor.adoption.want(ONE, compiled(split, baseline="2"), None, Kept(1, 4_600.0))


@pytest.mark.parametrize("split", [{"1": 0, "2": 100}, {"2": 100}], ids=["at weight 0", "no longer named"])
async def test_the_version_that_a_rollout_replaced_stays_for_its_time_and_goes_then(
    floor: Floor, split: Mapping[str, int]
) -> None:
    replaced(floor, split)
    early = floor.held.routed["fraud"]

    floor.now = 4_599.0
    floor.adoption.look_at_clock()
    still = floor.held.routed["fraud"]
    floor.now = 4_600.0
    floor.adoption.look_at_clock()

    assert (early, still) == ({1, 2}, {1, 2})
    assert floor.held.routed["fraud"] == {2}


async def test_a_worker_that_starts_later_keeps_it_no_longer(floor: Floor) -> None:
    floor.now = 5_000.0

    replaced(floor, {"1": 0, "2": 100})

    assert floor.held.routed["fraud"] == {2}


async def test_an_order_to_unload_ends_the_time_early(floor: Floor) -> None:
    replaced(floor, {"2": 100})

    floor.adoption.order("fraud", {1: "unload"})

    assert floor.held.routed["fraud"] == {2}


async def test_a_replaced_version_that_has_traffic_again_never_goes(floor: Floor) -> None:
    replaced(floor, {"1": 50, "2": 50})

    floor.now = 9_999.0
    floor.adoption.look_at_clock()

    assert floor.held.routed["fraud"] == {1, 2}
