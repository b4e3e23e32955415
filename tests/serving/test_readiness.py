"""What keeps a worker from being ready, and what does not."""

from __future__ import annotations

from tests.serving.fakes import FAILED, LOADING, Floor, compiled
from tests.serving.served import ONE, TWO, served


async def test_a_worker_is_not_ready_while_the_versions_of_a_model_without_a_route_load(floor: Floor) -> None:
    floor.held.move("fraud", 1, LOADING)
    floor.held.move("fraud", 2, FAILED, "bad_model: no graph")

    reasons = floor.adoption.not_ready()

    assert reasons == {"fraud/1": "loading"}


async def test_a_worker_is_not_ready_before_the_repository_could_be_read_once(floor: Floor) -> None:
    floor.catalog.repository_error = "the copy of s3://bucket is not there yet"
    looked = floor.adoption.not_ready()

    floor.catalog.has_looked = False

    assert looked == {}
    assert floor.adoption.not_ready() == {"repository": "the copy of s3://bucket is not there yet"}


async def test_a_worker_is_not_ready_while_nothing_that_a_route_names_is_ready(floor: Floor) -> None:
    floor.held.move("fraud", 1, FAILED, "bad_model: no graph")
    floor.held.hold("fraud", 2)
    floor.adoption.want(ONE, compiled({"1": 1}))

    reasons = floor.adoption.not_ready()

    assert reasons == {"fraud/1": "bad_model: no graph"}


async def test_loading_one_more_version_leaves_a_ready_worker_ready(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.want(ONE, compiled({"1": 1}))
    floor.held.move("fraud", 2, LOADING)

    floor.adoption.want(TWO, compiled({"1": 1, "2": 1}))

    assert floor.adoption.not_ready() == {}


async def test_a_model_whose_every_version_failed_and_that_nobody_routes_does_not_hold_up_the_others(
    floor: Floor,
) -> None:
    floor.held.move("broken", 1, FAILED, "bad_model: no graph")
    floor.held.hold("fraud", 1)

    floor.adoption.provide({})

    assert floor.adoption.not_ready() == {}
    assert served(floor) == 0
