"""The lanes of a worker: how long each lives, and what is said where there is none."""

from __future__ import annotations

import pytest

from gateway.core.errors import VersionUnavailable
from tests.serving.fakes import FAILED, UNAVAILABLE, UNLOADING, Floor, a_turn


async def test_a_lane_lives_as_long_as_its_version(floor: Floor) -> None:
    first = floor.held.hold("fraud", 1)
    lane = floor.lane(1)
    kept = floor.lane(1)

    floor.held.move("fraud", 1, UNLOADING)
    await a_turn()
    second = floor.held.hold("fraud", 1)
    renewed = floor.lane(1)

    assert lane is kept
    assert (lane.version, renewed.version) == (first, second)
    assert renewed is not lane


async def test_a_version_that_is_asked_for_by_number_says_why_it_cannot_answer(floor: Floor) -> None:
    floor.held.move("fraud", 1, FAILED, "bad_model: no graph")

    with pytest.raises(VersionUnavailable) as caught:
        floor.lanes.named("fraud", 1)

    assert (caught.value.state, caught.value.reason) == ("FAILED", "bad_model: no graph")


async def test_asking_for_a_version_that_is_not_there_wakes_it_and_looking_at_it_does_not(floor: Floor) -> None:
    floor.held.move("fraud", 1, UNAVAILABLE, "resting: it made room for fraud/2")

    with pytest.raises(VersionUnavailable):
        floor.lanes.named("fraud", 1)
    assert floor.held.woken == []
    with pytest.raises(VersionUnavailable) as caught:
        floor.lanes.asked("fraud", 1)

    assert floor.held.woken == [("fraud", 1)]
    assert "resting" in str(caught.value)


async def test_asking_for_a_version_is_noted_and_looking_at_it_is_not(floor: Floor) -> None:
    loaded = floor.held.hold("fraud", 1)

    floor.lanes.named("fraud", 1)
    assert loaded.last_asked == 0
    floor.lanes.asked("fraud", 1)

    assert loaded.last_asked > 0
    assert floor.held.woken == []
