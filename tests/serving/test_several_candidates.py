"""A worker that serves several candidates: each has its own breaker, is judged for itself and taken back for itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.core.breaker import IN_A_ROW
from gateway.core.candidates import Left
from gateway.core.errors import UnknownAlias
from gateway.core.evidence import written_slots
from gateway.core.slots import seats
from gateway.core.watching import Mark
from gateway.ports.routes import Fence
from gateway.serving.evidence import EvidenceDuty
from gateway.serving.trials import Trials
from gateway.serving.windows import BatchWindows
from tests.serving.fakes import Dispatched, Floor, compiled, doubled, pairs, rollout_of
from tests.serving.test_evidence import FakeReverter, opened, rounds
from tests.serving.test_watched import REVISION, arm_of, counted, raising

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core.rollout import Rollout
    from gateway.serving.batching import Lane
    from gateway.serving.trials import Trial

SPLIT = {"1": 90, "2": 5, "3": 5}
FENCE = Fence("r1", written_slots(seats({1: 90, 2: 5, 3: 5})))


def serve(floor: Floor, rollout: Rollout | None = None) -> Trial:
    """Serve versions 2, which is healthy, and 3, which always fails, beside 1."""
    for version, run in ((1, doubled), (2, doubled), (3, raising)):
        floor.held.hold("fraud", version, run)
    floor.adoption.want(Mark("a", REVISION, "d"), compiled(SPLIT, baseline="1"), rollout or rollout_of(2, 3))
    return floor.adoption.trials.under_way["fraud"]


async def ask(floor: Floor, version: int, times: int = 1) -> None:
    for _ in range(times):
        await Dispatched(arm_of(floor, version), pairs(1)).ending()


async def test_each_candidate_counts_for_itself_and_falls_back_to_the_baseline(floor: Floor) -> None:
    trial = serve(floor)

    await ask(floor, 2)
    answered_by, result = await Dispatched(arm_of(floor, 3), pairs(1)).ending()

    assert isinstance(result, list)
    assert answered_by.lane.version.version == 1
    assert counted(trial) == {"2 n": 1, "3 n": 1, "3 failed": 1, "3 error": 1}


async def test_one_candidates_breaker_keeps_nothing_from_another(floor: Floor) -> None:
    trial = serve(floor)

    await ask(floor, 3, IN_A_ROW + 2)
    await ask(floor, 2, 3)

    assert [trial.canaries[version].breaker.is_open for version in (2, 3)] == [False, True]
    assert floor.cells(3).fallbacks == ["error"] * IN_A_ROW + ["breaker"] * 2
    assert floor.cells(2).fallbacks == []


async def test_the_candidate_that_fails_is_taken_back_once_and_the_other_is_judged_on(floor: Floor) -> None:
    trial = serve(floor)
    reverter = FakeReverter()
    duty = EvidenceDuty(floor.adoption.trials, await opened(FENCE), reverter, "w1")

    for _ in range(6):
        await ask(floor, 3)
        await rounds(duty)
    after = replace(rollout_of(2, 3), left={3: Left(True, "why")})
    floor.adoption.want(Mark("a", REVISION + 1, "e"), compiled({"1": 95, "2": 5, "3": 0}, baseline="1"), after)
    await ask(floor, 2)

    assert reverter.versions == [3]
    assert (trial.rollout.live, arm_of(floor, 2).watched is not None) == ((2,), True)
    assert trial.windows.canaries.keys() == {2}


async def test_a_worker_that_died_in_one_candidate_counts_for_that_one(floor: Floor) -> None:
    trials = Trials([("fraud", "3"), ("fraud", "1")])

    trial = trials.adopt(rollout_of(2, 3), REVISION, compiled(SPLIT, baseline="1"), {})

    assert trial is not None
    counts = {str(counter): many for counter, many in trial.counts().items() if many}
    assert counts == {f"{REVISION}|3|deaths": 1}


async def test_an_event_has_the_class_of_the_candidate_with_the_smallest_batches(
    make_lane: Callable[..., Lane],
) -> None:
    lanes = {version: make_lane() for version in (1, 2, 3)}
    windows = BatchWindows()
    windows.follow({2: lanes[2], 3: lanes[3]}, lanes[1])
    windows.pass_time(10.0)

    for version, rows in ((1, 16), (2, 16), (3, 4)):
        lanes[version].queue.batches += 2
        lanes[version].queue.batch_rows += 2 * rows

    assert windows.batch_class() == 4
    windows.follow({2: lanes[2]}, lanes[1])
    assert windows.batch_class() == 0


async def test_the_alias_canary_is_nobody_while_there_are_several_and_then_the_one_that_is_left(floor: Floor) -> None:
    serve(floor)
    with pytest.raises(UnknownAlias, match="may be version 2, 3"):
        floor.table.route("fraud").labelled("canary")

    serve(floor, replace(rollout_of(2, 3), left={2: Left(False, "3 was promoted")}))

    assert floor.table.route("fraud").labelled("canary") == 3
