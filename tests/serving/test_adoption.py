"""From a route that is wanted to one that is served: what is waited for, and what serves meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.serving.fakes import LOADING, READY, UNLOADING, Floor, a_turn, compiled, nothing
from tests.serving.served import ONE, TWO, served, split

if TYPE_CHECKING:
    from collections.abc import Mapping


async def test_a_route_is_served_at_once_when_all_it_names_is_warm(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)

    floor.adoption.want(ONE, compiled({"1": 1, "2": 1}))

    assert served(floor) == 1


@pytest.mark.parametrize("state", [LOADING, UNLOADING])
async def test_the_old_route_serves_until_everything_the_new_one_names_is_warm(floor: Floor, state: str) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.held.hold("fraud", 2)
    floor.held.move("fraud", 2, type(READY)(state))

    floor.adoption.want(TWO, compiled({"1": 1, "2": 1}))
    meanwhile = served(floor)
    floor.held.move("fraud", 2, READY)
    await a_turn()

    assert (meanwhile, served(floor)) == (1, 2)


@pytest.mark.parametrize(
    "members",
    [
        {"baseline": "2"},
        {"rules": [{"when": {"header:x-tenant": ["acme"]}, "split": {"2": 1}}]},
        {"split": {"1": 1, "2": 0}},
    ],
    ids=["baseline", "rule", "weight 0"],
)
async def test_every_version_that_a_route_names_is_waited_for(floor: Floor, members: Mapping[str, Any]) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.want(ONE, compiled(**{"split": {"1": 1}, **members}))

    assert served(floor) is None


async def test_only_the_last_wanted_route_is_served(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)
    floor.held.move("fraud", 2, LOADING)
    floor.adoption.want(ONE, compiled({"2": 1}))
    floor.adoption.want(TWO, compiled({"1": 1}))

    floor.held.move("fraud", 2, READY)
    await a_turn()

    assert (served(floor), split(floor)) == (2, {1: 1})


async def test_what_is_wanted_and_what_is_still_served_are_both_kept_in_memory(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.held.hold("fraud", 2)
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.want(TWO, compiled({"2": 1}))
    meanwhile = floor.held.routed
    floor.held.move("fraud", 2, READY)
    await a_turn()

    assert meanwhile == {"fraud": {1, 2}}
    assert floor.held.routed == {"fraud": {2}}


async def test_listeners_hear_of_each_swap_and_of_nothing_else(floor: Floor) -> None:
    heard: list[int | None] = []
    floor.adoption.subscribe(lambda: heard.append(served(floor)))
    floor.held.hold("fraud", 1)

    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.adoption.settle()
    floor.held.hold("other", 1)
    await a_turn()
    floor.adoption.want(TWO, compiled({"1": 1}))

    assert heard == [1, 2]


async def test_a_request_keeps_the_route_it_began_with(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)
    floor.adoption.want(ONE, compiled({"1": 1}))
    began_with = floor.table.route("fraud")

    floor.adoption.want(TWO, compiled({"2": 1}))
    arm = began_with.decide(nothing, 0)

    assert (arm.lane.version.version, began_with.revision, served(floor)) == (1, 1, 2)
