"""Recorded requests: which they are, what is left of them, and that no caller notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.recording import SPREAD
from gateway.core.slots import SLOTS
from gateway.serving.live import LiveRoute
from gateway.serving.recording import RecordedRoute, Recordings
from tests.serving.fakes import pairs
from tests.serving.test_shadow import Passed, ShadowFloor, failing, until

if TYPE_CHECKING:
    from gateway.ports.observing import Answered
    from gateway.serving.jobs import Result

DRAWN = 0
"""A draw that is recorded at any percent; it falls into the first slot."""
NOT_DRAWN = (1 << 64) // SLOTS + 1
RECORD = {"percent": 1, "redact": {}}
INVERSE = pow(SPREAD, -1, 1 << 64)


class RecordingFloor(ShadowFloor):
    """A worker's request path that records; *left* is what was left to the recorder."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[Answered] = []
        self.fails = False
        self.adoption._make_route = Recordings(self.shadows, self).route

    def offer(self, answered: Answered) -> None:
        if self.fails:
            raise ValueError("a fault of ours")
        self.left.append(answered)


@pytest.fixture
async def floor() -> RecordingFloor:
    made = RecordingFloor()
    for version in (1, 2, 3):
        made.held.hold("fraud", version)
    return made


async def ask(floor: RecordingFloor, draw: int = DRAWN) -> Result:
    return await Passed(floor.arm(draw), pairs(1, 2), name="r-1").result()


@pytest.mark.parametrize("members", [{}, {"record": {"percent": 0, "redact": {}}}])
async def test_a_route_that_records_nothing_is_a_plain_one(floor: RecordingFloor, members: dict[str, Any]) -> None:
    assert type(floor.serve({"1": 1}, **members)) is LiveRoute


async def test_a_drawn_request_is_left_with_what_it_brought_and_got(floor: RecordingFloor) -> None:
    assert isinstance(floor.serve({"1": 1}, record=RECORD), RecordedRoute)

    result = await ask(floor)

    (left,) = floor.left
    assert not isinstance(result, Exception)
    assert (left.model, left.version, left.rule, left.revision, left.id) == ("fraud", 1, "split", 7, "r-1")
    assert left.feeds[0].tolist() == pairs(1, 2).tolist()
    assert left.outputs[0] is result[0]
    assert left.cells is floor.cells(1)


async def test_a_request_that_is_not_drawn_has_no_tap(floor: RecordingFloor) -> None:
    floor.serve({"1": 1}, record=RECORD)

    await ask(floor, NOT_DRAWN)

    assert floor.arm(NOT_DRAWN).tap is None
    assert floor.left == []


async def test_a_request_that_fails_is_not_recorded(floor: RecordingFloor) -> None:
    floor.held.hold("fraud", 1, run=failing)
    floor.serve({"1": 1}, record=RECORD)

    result = await ask(floor)

    assert isinstance(result, Exception)
    assert floor.left == []


async def test_the_version_that_is_recorded_is_the_one_that_answered(floor: RecordingFloor) -> None:
    floor.held.hold("fraud", 2, run=failing)
    floor.serve({"1": 1, "2": 1}, baseline="1", record={"percent": 100, "redact": {}})

    for slot in range(0, SLOTS, 500):
        await ask(floor, slot * (1 << 64) // SLOTS)

    assert len(floor.left) == 20
    assert {left.version for left in floor.left} == {1}


async def test_a_request_that_names_its_version_is_not_recorded(floor: RecordingFloor) -> None:
    floor.serve({"1": 1}, record=RECORD)

    assert floor.table.pinned("fraud", floor.lane(1)).tap is None


async def test_a_rules_requests_are_recorded(floor: RecordingFloor) -> None:
    route = floor.serve({"1": 1}, rules=[{"when": {"query:beta": "1"}, "split": {"2": 1}}], record=RECORD)
    arm = route.decide(lambda kind, name: [b"1"] if (kind, name) == ("query", "beta") else [], DRAWN)

    await Passed(arm, pairs(1, 2)).result()

    assert [(left.version, left.rule) for left in floor.left] == [(2, arm.rule)]
    assert arm.rule != "split"


async def test_a_request_may_be_copied_and_recorded(floor: RecordingFloor) -> None:
    floor.serve({"1": 1}, shadow={"3": 50}, record=RECORD)

    await ask(floor)
    await until(lambda: floor.shadow.copies)

    assert [left.version for left in floor.left] == [1]
    assert floor.shadow.copies == ["ok"]


async def test_a_fault_of_the_recorder_costs_the_caller_nothing(floor: RecordingFloor) -> None:
    floor.fails = True
    floor.serve({"1": 1}, record=RECORD)

    assert not isinstance(await ask(floor), Exception)


async def test_the_same_arm_is_tapped_once(floor: RecordingFloor) -> None:
    floor.serve({"1": 1}, record=RECORD)

    assert floor.arm(DRAWN) is floor.arm(INVERSE)
