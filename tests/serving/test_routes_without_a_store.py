"""The routes of models that no store gave one: of a file, or by default the highest version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core import document
from tests.serving.fakes import FAILED, LOADING, READY, UNAVAILABLE, Floor, a_turn, compiled
from tests.serving.served import ONE, THREE, served, split

if TYPE_CHECKING:
    from gateway.core.document import RouteDocument


def route_file(model: str, **weights: int) -> RouteDocument:
    return document.parse({"model": model, "split": {name.lstrip("v"): weight for name, weight in weights.items()}})


async def test_a_model_without_a_route_gets_its_highest_version(floor: Floor) -> None:
    for version in (1, 2, 10):
        floor.held.hold("fraud", version)

    floor.adoption.provide({})

    assert (served(floor), split(floor)) == (0, {10: 100})


async def test_no_default_is_made_while_a_version_is_still_loading(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.provide({})
    early = served(floor)
    floor.held.hold("fraud", 2)
    floor.adoption.provide({})

    assert early is None
    assert split(floor) == {2: 100}


async def test_a_version_that_failed_is_never_the_default(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")

    floor.adoption.provide({})

    assert split(floor) == {1: 100}


@pytest.mark.parametrize("state", [FAILED, UNAVAILABLE])
async def test_a_model_of_which_nothing_is_ready_gets_no_default(floor: Floor, state: str) -> None:
    floor.held.move("fraud", 1, type(READY)(state))

    floor.adoption.provide({})

    assert not floor.adoption.has_route("fraud")


async def test_a_version_that_appears_later_gets_nothing(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.provide({})

    floor.held.hold("fraud", 2)
    floor.adoption.provide({})
    await a_turn()

    assert split(floor) == {1: 100}


async def test_the_file_of_a_model_beats_its_default_and_needs_no_version_to_have_settled(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.provide({"fraud": route_file("fraud", v1=1)})

    assert (served(floor), split(floor)) == (0, {1: 1})


async def test_the_file_of_a_model_that_is_not_in_the_repository_is_left_alone(floor: Floor) -> None:
    floor.adoption.provide({"ghost": route_file("ghost", v1=1)})

    assert not floor.adoption.has_route("ghost")


async def test_neither_file_nor_default_replaces_a_route_of_the_store(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.hold("fraud", 2)
    floor.adoption.want(THREE, compiled({"1": 1}))

    floor.adoption.provide({"fraud": route_file("fraud", v2=1)})

    assert (served(floor), split(floor)) == (3, {1: 1})


async def test_a_route_that_no_store_gave_holds_no_mark_and_so_gives_way_to_any(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.provide({})
    before = floor.adoption.held("fraud")

    floor.adoption.want(ONE, compiled({"1": 1}))

    assert (before, floor.adoption.held("fraud"), served(floor)) == (None, ONE, 1)
