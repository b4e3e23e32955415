"""What the requests of a rollout count for: both arms alike, and nothing for what is not a version's fault."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.breaker import LEAST_RERUNS
from gateway.core.errors import DeadlineExceeded, ModelFailed, Overloaded
from gateway.core.slots import SLOTS
from gateway.core.watching import Mark
from gateway.serving.retries import RetryBudget
from gateway.serving.tallies import End
from tests.serving.fakes import (
    FAILED,
    PAIRS,
    SLOW,
    TAKES_ANY_WIDTH,
    Caller,
    Dispatched,
    Floor,
    Gate,
    a_turn,
    compiled,
    doubled,
    nothing,
    pairs,
    rollout_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.signature import Signature
    from gateway.ports.engine import Tensor
    from gateway.serving.live import Arm
    from gateway.serving.trials import Trial
    from tests.serving.fakes import Run

REVISION = 7
EMPTY = RetryBudget(lambda: 0)
EMPTY.running = LEAST_RERUNS
"""A budget without room."""


def raising(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    raise ModelFailed("fraud", 2, "it always does")


def not_a_number(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    return [feeds["x"] * np.nan]


def failing_on_negatives(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """Like a model that some inputs break."""
    return raising(feeds) if (feeds["x"] < 0).any() else doubled(feeds)


class Once:
    """A run that fails the first times."""

    def __init__(self, times: int = 1) -> None:
        self._left = times

    def __call__(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        self._left -= 1
        return raising(feeds) if self._left >= 0 else doubled(feeds)


def serve(
    floor: Floor, baseline: Run = doubled, canary: Run = doubled, *, takes: Signature = PAIRS, **how: Any
) -> Trial:
    """Serve versions 1 and 2, half of the slots each, in a rollout of 2; *how* is of the route, the plan or a lane.

    *takes*: the signature of the canary.
    """
    plan, split = how.pop("plan", {}), how.pop("split", {"1": 50, "2": 50})
    slow = {version: how.pop(name, 0.0) for version, name in ((1, "slow_baseline"), (2, "slow_canary"))}
    floor.held.hold("fraud", 1, baseline, run_seconds=slow[1])
    floor.held.hold("fraud", 2, canary, run_seconds=slow[2], signature=takes)
    rollout = rollout_of(**plan)
    floor.adoption.want(Mark("a", REVISION, "d"), compiled(split, **{"baseline": "1", **how}), rollout)
    return floor.adoption.trials.under_way["fraud"]


def arm_of(floor: Floor, version: int) -> Arm:
    """Return the arm of a request whose draw falls into a slot of *version*; where it has none, of any."""
    table = floor.table.route("fraud").routing.table
    numbers = [number for number, _ in table.answers]
    slot = table.owners.index(numbers.index(version)) if version in numbers else 0
    return floor.table.route("fraud").decide(nothing, (slot << 64) // SLOTS + 1)


def counted(trial: Trial) -> dict[str, int]:
    """Return what was counted, without the revision, the assignments, and the class."""
    found: dict[str, int] = {}
    for counter, many in trial.counts().items():
        assert counter.revision == REVISION
        if counter.kind != "assigned":
            name = f"{counter.version} {counter.kind}"
            found[name] = found.get(name, 0) + many
    return found


def values_of(**headers: str) -> Any:
    def values(kind: str, name: str) -> Sequence[bytes]:
        return [headers[name].encode()] if kind == "header" and name in headers else []

    return values


@pytest.mark.parametrize("version", [1, 2])
async def test_a_request_that_goes_well_counts_as_run_for_its_version(floor: Floor, version: int) -> None:
    trial = serve(floor)

    await Dispatched(arm_of(floor, version), pairs(1)).ending()

    assert counted(trial) == {f"{version} n": 1}
    assert {str(counter): many for counter, many in trial.counts().items()}[f"{REVISION}|{version}|assigned"] == 1


@pytest.mark.parametrize(("run", "kind", "reason"), [(raising, "error", "error"), (not_a_number, "invalid", "invalid")])
async def test_a_failure_that_the_baseline_does_not_share_is_the_canarys_and_its_caller_does_not_see_it(
    floor: Floor, run: Run, kind: str, reason: str
) -> None:
    trial = serve(floor, canary=run)

    ended_by, result = await Dispatched(arm_of(floor, 2), pairs(1)).ending()

    assert isinstance(result, list)
    assert (b"x-gateway-fallback-from", b"2") in ended_by.headers
    assert counted(trial) == {"2 n": 1, "2 failed": 1, f"2 {kind}": 1}
    assert floor.cells(2).fallbacks == [reason]


async def test_a_failure_of_the_baseline_is_run_again_likewise_and_the_second_run_answers(floor: Floor) -> None:
    trial = serve(floor, baseline=Once())

    ended_by, result = await Dispatched(arm_of(floor, 1), pairs(1)).ending()

    assert isinstance(result, list)
    assert counted(trial) == {"1 n": 1, "1 failed": 1, "1 error": 1}
    assert (b"x-gateway-version", b"1") in ended_by.headers
    assert floor.cells(1).fallbacks == []


@pytest.mark.parametrize("version", [1, 2])
async def test_an_input_that_breaks_both_is_nobodys_evidence(floor: Floor, version: int) -> None:
    trial = serve(floor, baseline=failing_on_negatives, canary=failing_on_negatives)

    _, result = await Dispatched(arm_of(floor, version), pairs(-1)).ending()

    assert isinstance(result, ModelFailed)
    assert counted(trial) == {f"{version} poison": 1}


@pytest.mark.parametrize("version", [1, 2])
async def test_without_room_in_the_budget_the_caller_gets_the_error_and_nothing_is_confirmed(
    floor: Floor, version: int
) -> None:
    trial = serve(floor, baseline=raising, canary=raising)

    _, result = await Dispatched(arm_of(floor, version), pairs(1), retries=EMPTY).ending()

    assert isinstance(result, ModelFailed)
    assert counted(trial) == {f"{version} n": 1, f"{version} failed": 1, f"{version} unconfirmed": 1}
    assert floor.cells(version).fallbacks == []


async def test_without_a_fallback_the_second_run_only_says_whose_fault_it_was(floor: Floor) -> None:
    trial = serve(floor, canary=raising, fallback="none")
    dispatched = Dispatched(arm_of(floor, 2), pairs(1))

    ended_by, result = await dispatched.ending()
    dispatched.attempt.cancel()
    await a_turn()

    assert isinstance(result, ModelFailed)
    assert (b"x-gateway-version", b"2") in ended_by.headers
    assert counted(trial) == {"2 n": 1, "2 failed": 1, "2 error": 1}
    assert len(dispatched.endings) == 1


@pytest.mark.parametrize(("fallback", "answered"), [("baseline", True), ("none", False)])
async def test_a_model_that_must_not_run_twice_counts_its_failures_unconfirmed(
    floor: Floor, fallback: str, answered: bool
) -> None:
    trial = serve(floor, baseline=raising, canary=raising, fallback=fallback, plan={"confirm": "off"})
    floor.held.sessions["fraud", 1]._run = doubled

    _, canary = await Dispatched(arm_of(floor, 2), pairs(1)).ending()
    floor.held.sessions["fraud", 1]._run = raising
    _, baseline = await Dispatched(arm_of(floor, 1), pairs(1)).ending()

    assert isinstance(canary, list) is answered
    assert isinstance(baseline, ModelFailed)
    assert counted(trial) == {
        "1 n": 1, "1 failed": 1, "1 error": 1, "2 n": 1, "2 failed": 1, "2 error": 1,
    }  # fmt: skip
    assert floor.held.sessions["fraud", 1].rows == ([1, 1] if answered else [1])


async def test_the_requests_of_one_failed_run_are_one_event(floor: Floor) -> None:
    trial = serve(floor, canary=raising)
    roomy = RetryBudget(lambda: 100)

    callers = [Dispatched(arm_of(floor, 2), pairs(number), retries=roomy) for number in range(8)]
    results = [await caller.ending() for caller in callers]

    assert all(isinstance(result, list) for _, result in results)
    assert counted(trial) == {"2 n": 8, "2 failed": 8, "2 error": 1}


async def test_a_failed_run_with_a_poisonous_request_is_no_event(floor: Floor) -> None:
    trial = serve(floor, baseline=failing_on_negatives, canary=raising)
    roomy = RetryBudget(lambda: 100)

    callers = [Dispatched(arm_of(floor, 2), pairs(number), retries=roomy) for number in (1, -1, 2)]
    for caller in callers:
        await caller.ending()

    assert counted(trial) == {"2 n": 2, "2 failed": 2, "2 poison": 1}


async def test_requests_of_one_failed_run_that_end_apart_are_still_one_event(floor: Floor) -> None:
    trial = serve(floor)
    tally = trial.tally(2)

    for _ in range(3):
        tally.conclude(tally.failing(5), "error", End.CONFIRMED)
    tally.conclude(tally.failing(6), "error", End.CONFIRMED)

    assert counted(trial) == {"2 n": 4, "2 failed": 4, "2 error": 2}


async def test_overload_says_nothing_of_a_version(floor: Floor) -> None:
    tight, gate = Floor(max_queue=1), Gate()
    trial = serve(tight, canary=gate, slow_canary=SLOW)
    running = Caller(tight.lane(2), pairs(1))
    await gate.begun.wait()
    waiting = Caller(tight.lane(2), pairs(2))

    _, rescued = await Dispatched(arm_of(tight, 2), pairs(3)).ending()
    _, refused = await Dispatched(arm_of(tight, 2), pairs(3), retries=EMPTY).ending()
    gate.open()
    await running.outputs()
    await waiting.outputs()

    assert isinstance(rescued, list)
    assert isinstance(refused, Overloaded)
    assert counted(trial) == {}


async def test_a_time_out_in_the_queue_says_nothing_of_a_version_and_one_in_the_run_is_its_error(floor: Floor) -> None:
    gate = Gate()
    trial = serve(floor, canary=gate, slow_canary=SLOW)
    soon = asyncio.get_running_loop().time() + 0.2

    running = Dispatched(arm_of(floor, 2), pairs(1), deadline=soon)
    await gate.begun.wait()
    queued = Dispatched(arm_of(floor, 2), pairs(1), deadline=soon)
    for each in (running, queued):
        _, result = await each.ending()
        assert isinstance(result, list)
    gate.open()

    assert counted(trial) == {"2 n": 1, "2 failed": 1, "2 error": 1}
    assert floor.cells(2).fallbacks == ["timeout", "timeout"]


async def test_a_baseline_that_runs_past_half_of_the_time_goes_on_and_counts_an_error(floor: Floor) -> None:
    gate = Gate()
    trial = serve(floor, baseline=gate, slow_baseline=SLOW)
    loop = asyncio.get_running_loop()

    late = Dispatched(arm_of(floor, 1), pairs(1), deadline=loop.time() + 0.6)
    await gate.begun.wait()
    await asyncio.sleep(0.35)
    gate.open()
    _, result = await late.ending()

    assert isinstance(result, list)
    assert counted(trial) == {"1 n": 1, "1 failed": 1, "1 error": 1}


async def test_a_baseline_that_hangs_counts_an_error_and_is_not_run_again(floor: Floor) -> None:
    gate = Gate()
    trial = serve(floor, baseline=gate, slow_baseline=SLOW)

    hung = Dispatched(arm_of(floor, 1), pairs(1), deadline=asyncio.get_running_loop().time() + 0.1)
    _, result = await hung.ending()
    gate.open()

    assert isinstance(result, DeadlineExceeded)
    assert counted(trial) == {"1 n": 1, "1 failed": 1, "1 error": 1}
    assert floor.held.sessions["fraud", 1].rows == [1]


async def test_a_caller_that_leaves_says_nothing_while_the_version_runs_and_confirms_nothing_after(
    floor: Floor,
) -> None:
    gate = Gate()
    trial = serve(floor, canary=raising, baseline=gate, slow_baseline=SLOW)

    failed = Dispatched(arm_of(floor, 2), pairs(1))
    await gate.begun.wait()
    failed.attempt.cancel()
    running = Dispatched(arm_of(floor, 1), pairs(1))
    running.attempt.cancel()
    gate.open()
    await a_turn()

    assert counted(trial) == {"2 n": 1, "2 failed": 1, "2 unconfirmed": 1}


async def test_pinned_requests_and_those_of_a_rule_count_for_nobody(floor: Floor) -> None:
    rule = {"when": {"header:x-tenant": "acme"}, "split": {"2": 1}}
    trial = serve(floor, canary=raising, rules=[rule])
    route = floor.table.route("fraud")

    targeted = route.decide(values_of(**{"x-tenant": "acme"}), 0)
    await Dispatched(targeted, pairs(1)).ending()
    await Dispatched(floor.table.pinned("fraud", floor.lane(2)), pairs(1)).ending()

    assert targeted.rule == "rule-1"
    assert trial.counts() == {}


async def test_requests_that_the_lack_of_a_key_sends_to_the_baseline_count_for_nobody(floor: Floor) -> None:
    trial = serve(floor, assign={"by": "header:x-user", "missing": "baseline"})

    arm = arm_of(floor, 2)
    await Dispatched(arm, pairs(1)).ending()

    assert arm.rule == "missing"
    assert trial.counts() == {}


async def test_the_baseline_that_stands_in_for_an_absent_canary_counts_for_nobody(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.held.move("fraud", 2, FAILED, "bad_model")
    routing = compiled({"1": 50, "2": 50}, baseline="1")
    floor.adoption.want(Mark("a", REVISION, "d"), routing, rollout_of())

    await Dispatched(arm_of(floor, 2), pairs(1)).ending()

    assert floor.adoption.trials.under_way["fraud"].counts() == {}


async def test_a_route_without_a_rollout_watches_nobody(floor: Floor) -> None:
    floor.held.hold("fraud", 1)
    floor.adoption.want(Mark("a", REVISION, "d"), compiled({"1": 1}))

    assert floor.table.route("fraud").decide(nothing, 0).watched is None
    assert floor.adoption.trials.under_way == {}


async def test_a_late_result_counts_for_the_revision_that_it_was_dispatched_under(floor: Floor) -> None:
    gate = Gate()
    trial = serve(floor, canary=gate, slow_canary=SLOW)
    late = Dispatched(arm_of(floor, 2), pairs(1))
    await gate.begun.wait()

    floor.adoption.want(Mark("a", REVISION + 1, "e"), compiled({"1": 10, "2": 90}, baseline="1"), rollout_of())
    gate.open()
    await late.ending()

    assert {str(counter): many for counter, many in trial.counts().items()} == {"7|2|assigned": 1, "7|2|n": 1}


async def test_a_sticky_canary_is_charged_once_per_key_however_often_the_key_comes(floor: Floor) -> None:
    trial = serve(floor, canary=raising, assign={"by": "header:x-user"})
    route = floor.table.route("fraud")
    keys = [f"user-{number}" for number in range(40)]
    on_canary = [key for key in keys if route.decide(values_of(**{"x-user": key}), 0).lane is floor.lane(2)][:3]

    for key in [*on_canary, *on_canary]:
        values = values_of(**{"x-user": key})
        await Dispatched(route.decide(values, 0), pairs(1), point=route.routing.point(values)).ending()

    failed = [points for counter, points in trial.sightings if counter.kind == "error"]
    assert failed == [(route.routing.point(values_of(**{"x-user": key})),) for key in on_canary]
    assert counted(trial) == {"2 n": 6, "2 failed": 6}
    assert trial.canaries[2].runs == 3


async def test_of_sticky_keys_a_sixteenth_each_once_stands_for_the_assignment(floor: Floor) -> None:
    trial = serve(floor, assign={"by": "header:x-user"})
    route = floor.table.route("fraud")
    keys = [f"user-{number}" for number in range(64)] * 2

    for key in keys:
        values = values_of(**{"x-user": key})
        await Dispatched(route.decide(values, 0), pairs(1), point=route.routing.point(values)).ending()

    points = {route.routing.point(values_of(**{"x-user": key})) or 0 for key in keys}
    seen = [point for counter, [point] in trial.sightings if counter.kind == "assigned"]
    assert sorted(seen) == sorted(point for point in points if point % 16 == 0)
    assert seen


@pytest.mark.parametrize(("columns", "kind", "answered"), [(2, "failed", True), (3, "unconfirmed", False)])
async def test_a_failure_on_more_than_the_baseline_takes_is_confirmed_by_nobody(
    floor: Floor, columns: int, kind: str, answered: bool
) -> None:
    trial = serve(floor, canary=raising, takes=TAKES_ANY_WIDTH)

    _, result = await Dispatched(arm_of(floor, 2), np.ones((1, columns), np.float32)).ending()

    assert isinstance(result, list) is answered
    assert counted(trial)[f"2 {kind}"] == 1
