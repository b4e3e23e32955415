"""What runs of a rollout take: counted until limits are frozen, then held against them, for both arms alike."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.latency import EDGES, bounds_of
from gateway.core.watching import Mark
from gateway.serving.evidence import EvidenceDuty
from gateway.serving.run_times import FIRST_RUNS, RunTimes
from gateway.serving.trials import Trials
from gateway.serving.windows import WINDOW_SECONDS
from tests.serving.fakes import SLOW, Caller, Dispatched, Floor, Gate, compiled, doubled, pairs, rollout_of
from tests.serving.test_evidence import FakeReverter, opened, rounds, totals
from tests.serving.test_watched import REVISION, arm_of, counted, raising, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.latency import Limits
    from gateway.ports.engine import Tensor
    from gateway.serving.trials import Trial
    from tests.serving.fakes import Run

WIDE: Limits = {0: (0, 0, 50)}
"""A run over 100 µs is slow50 and slow90 (the canary's over 125), and none here takes longer than it may."""

TIGHT: Limits = {0: (0, 0, 0)}
"""A run over 300 µs has failed."""


def slowly(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    time.sleep(0.003)
    return doubled(feeds)


def serve(
    floor: Floor, limits: Limits, baseline: Run = doubled, canary: Run = doubled, revision: int = REVISION, **how: Any
) -> Trial:
    """Serve versions 1 and 2, whose lanes have run often, in a rollout of 2 with *limits*; *how* is of the route."""
    slow = {version: how.pop(name, 0.0) for version, name in ((1, "slow_baseline"), (2, "slow_canary"))}
    for version, run in ((1, baseline), (2, canary)):
        if floor.held.ready("fraud", version) is None:
            floor.held.hold("fraud", version, run, run_seconds=slow[version])
    rollout = replace(rollout_of(), limits=limits)
    routing = compiled({"1": 50, "2": 50}, **{"baseline": "1", **how})
    floor.adoption.want(Mark("a", revision, str(revision)), routing, rollout)
    trial = floor.adoption.trials.under_way["fraud"]
    for version, odometer in ((1, trial.windows.baseline), (2, trial.windows.canaries[2])):
        floor.lane(version).queue.batches += FIRST_RUNS
        odometer.reset()
    return trial


def times_of(trial: Trial) -> dict[str, int]:
    """Return how often the versions had a run time of any bucket."""
    found: dict[str, int] = {}
    for name, many in counted(trial).items():
        if "took" in name:
            key = name.rsplit("_", 1)[0]
            found[key] = found.get(key, 0) + many
    return found


def slow_of(trial: Trial) -> dict[str, int]:
    return {name: many for name, many in counted(trial).items() if "slow" in name}


def after_the_window(trial: Trial) -> dict[str, int]:
    """Let a window end, and return the slow runs that are counted then."""
    trial.pass_time(time.monotonic())
    return slow_of(trial)


async def ask(floor: Floor, version: int, times: int = 1, *rows: float) -> None:
    for _ in range(times):
        await Dispatched(arm_of(floor, version), pairs(*(rows or (1.0,)))).ending()


async def test_only_the_baselines_runs_are_counted_by_their_time_until_its_limits_are_known(floor: Floor) -> None:
    trial = serve(floor, {})

    await ask(floor, 1, 3)
    await ask(floor, 1, 1, 1.0, 2.0, 3.0, 4.0)
    await ask(floor, 2, 2)

    assert times_of(trial) == {"1 took_0": 3, "1 took_2": 1}


async def test_with_limits_for_a_class_of_rows_its_run_times_are_counted_no_more(floor: Floor) -> None:
    trial = serve(floor, WIDE)

    await ask(floor, 1, 3)
    await ask(floor, 1, 1, 1.0, 2.0)

    assert times_of(trial) == {"1 took_1": 1}


@pytest.mark.parametrize("version", [1, 2])
async def test_a_slow_run_is_counted_when_its_window_is_over(floor: Floor, version: int) -> None:
    trial = serve(floor, WIDE, slowly, slowly)
    after_the_window(trial)
    await ask(floor, version, 2)

    before = slow_of(trial)
    trial.pass_time(time.monotonic() + WINDOW_SECONDS)

    assert before == {}
    assert slow_of(trial) == {f"{version} slow50": 2, f"{version} slow90": 2}


async def test_a_slow_run_has_the_batch_class_of_its_own_window(floor: Floor) -> None:
    trial = serve(floor, {0: (0, 0, 50), 4: (0, 0, 50)}, slowly, slowly)
    after_the_window(trial)

    await ask(floor, 1, 1, *range(16))
    await ask(floor, 2)
    trial.pass_time(time.monotonic() + WINDOW_SECONDS)

    classes = {counter.batch_class for counter in trial.counts() if counter.kind.startswith("slow")}
    assert classes == {8}


async def test_many_requests_in_one_slow_run_are_one_event(floor: Floor) -> None:
    trial = serve(floor, {3: (0, 0, 50)}, canary=slowly)

    callers = [Dispatched(arm_of(floor, 2), pairs(number)) for number in range(8)]
    for caller in callers:
        await caller.ending()

    assert after_the_window(trial) == {"2 slow50": 1, "2 slow90": 1}


@pytest.mark.parametrize("stranger", [1, 2])
async def test_a_window_with_a_run_of_a_class_without_limits_is_evidence_for_neither_arm(
    floor: Floor, stranger: int
) -> None:
    trial = serve(floor, WIDE, slowly, slowly)

    await ask(floor, 1)
    await ask(floor, 2)
    await ask(floor, stranger, 1, 1.0, 2.0)
    dropped = after_the_window(trial)
    await ask(floor, 2)
    trial.pass_time(time.monotonic() + WINDOW_SECONDS)

    assert dropped == {}
    assert slow_of(trial) == {"2 slow50": 1, "2 slow90": 1}


@pytest.mark.parametrize("version", [1, 2])
async def test_the_first_runs_of_a_version_are_no_evidence_of_how_quick_it_is(floor: Floor, version: int) -> None:
    trial = serve(floor, TIGHT, slowly, slowly)
    floor.lane(version).queue.batches -= 1

    await ask(floor, version)

    assert after_the_window(trial) == {}
    assert counted(trial) == {f"{version} n": 1, f"{version} out_0": 1}


async def test_a_failed_run_says_nothing_of_how_quick_its_version_is(floor: Floor) -> None:
    def failing(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        time.sleep(0.003)
        return raising(feeds)

    trial = serve(floor, WIDE, canary=failing)

    await ask(floor, 2)

    assert after_the_window(trial) == {}
    assert counted(trial) == {"2 n": 1, "2 failed": 1, "2 error": 1}


async def test_a_run_that_began_before_its_limits_were_known_is_held_against_none(floor: Floor) -> None:
    gate = Gate()
    trial = serve(floor, {}, canary=gate, slow_canary=SLOW)
    late = Dispatched(arm_of(floor, 2), pairs(1))
    await gate.begun.wait()

    serve(floor, TIGHT, revision=REVISION + 1)
    gate.open()
    await late.ending()
    trial.pass_time(time.monotonic())

    assert {str(each) for each in trial.counts()} == {"7|2|assigned", "7|2|n", "7|2|out_0"}


async def test_on_a_sticky_route_a_key_is_slow_once(floor: Floor) -> None:
    trial = serve(floor, WIDE, canary=slowly, assign={"by": "header:x-user"})
    route = floor.table.route("fraud")
    keys = [f"user-{number}" for number in range(40)]
    mine = [key for key in keys if route.decide(values_of(**{"x-user": key}), 0).lane is floor.lane(2)][:2]

    for key in [*mine, *mine]:
        values = values_of(**{"x-user": key})
        await Dispatched(route.decide(values, 0), pairs(1), point=route.routing.point(values)).ending()
    trial.pass_time(time.monotonic())

    points = [(route.routing.point(values_of(**{"x-user": key})),) for key in mine]
    for kind in ("slow50", "slow90"):
        assert [found for counter, found in trial.sightings if counter.kind == kind] == points
    assert slow_of(trial) == {}


async def test_a_canary_that_takes_too_long_on_the_loop_answers_and_has_failed_if_the_baseline_had_not(
    floor: Floor,
) -> None:
    trial = serve(floor, TIGHT, canary=slowly)

    ended_by, result = await Dispatched(arm_of(floor, 2), pairs(1)).ending()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert isinstance(result, list)
    assert (b"x-gateway-version", b"2") in ended_by.headers
    assert floor.held.sessions["fraud", 1].rows == [1]
    assert counted(trial) == {"2 n": 1, "2 failed": 1, "2 error": 1}
    assert after_the_window(trial) == {}


async def test_a_baseline_that_takes_too_long_has_failed_likewise(floor: Floor) -> None:
    trial = serve(floor, TIGHT, baseline=slowly)

    _, result = await Dispatched(arm_of(floor, 1), pairs(1)).ending()

    assert isinstance(result, list)
    assert floor.held.sessions["fraud", 1].rows == [1]
    assert counted(trial) == {"1 n": 1, "1 failed": 1, "1 error": 1}
    assert after_the_window(trial) == {}


async def test_a_canary_on_a_thread_is_cut_off_long_before_its_callers_deadline(floor: Floor) -> None:
    gate = Gate()
    trial = serve(floor, TIGHT, canary=gate, slow_canary=SLOW)
    began = time.monotonic()

    _, result = await Dispatched(arm_of(floor, 2), pairs(1), deadline=asyncio.get_running_loop().time() + 30).ending()
    took = time.monotonic() - began
    gate.open()

    assert isinstance(result, list)
    assert took < 5
    assert floor.cells(2).fallbacks == ["timeout"]
    assert counted(trial) == {"2 n": 1, "2 failed": 1, "2 error": 1}


async def test_a_baseline_that_began_late_and_hangs_past_its_deadline_took_too_long(floor: Floor) -> None:
    before, gate = Gate(), Gate()
    gates = iter((before, gate))
    trial = serve(floor, TIGHT, baseline=lambda feeds: next(gates)(feeds), slow_baseline=SLOW)

    ahead = Caller(floor.lane(1), pairs(1))
    await before.begun.wait()
    hung = Dispatched(arm_of(floor, 1), pairs(1), deadline=asyncio.get_running_loop().time() + 0.5)
    await asyncio.sleep(0.35)
    before.open()
    await ahead.outputs()
    await hung.ending()
    gate.open()

    assert counted(trial) == {"1 n": 1, "1 failed": 1, "1 error": 1}


async def test_a_run_that_two_revisions_tell_of_counts_for_the_first(floor: Floor) -> None:
    trial = serve(floor, {})
    mine, run = RunTimes(1), (1, EDGES[20])
    old, new = trial.tally(1), trial._tally(REVISION + 1, 1)
    bound = bounds_of(WIDE)[0]
    assert bound is not None

    for tally in (old, new):
        mine.measured(tally, run)
    mine.close()
    slow = {id(mine.was_slow(tally, run, bound)) for tally in (old, new)}

    assert (sum(old.times.values()), sum(new.times.values())) == (1, 0)
    assert [found.tally for found in mine.close()] == [old]
    assert len(slow) == 1


# Workers that died


async def test_a_canary_that_was_run_when_a_worker_died_is_charged_once(floor: Floor) -> None:
    trials = Trials([("fraud", "2"), ("fraud", "2"), ("iris", "2")])
    routing = compiled({"1": 50, "2": 50}, baseline="1")

    for revision in (0, REVISION, REVISION + 1):
        trials.adopt(rollout_of(), revision, routing, {})

    trial = trials.under_way["fraud"]
    assert {str(counter): many for counter, many in trial.counts().items()} == {f"{REVISION}|2|deaths": 1}


async def test_who_was_run_at_a_death_without_a_rollout_is_charged_with_nothing_in_a_later_one(floor: Floor) -> None:
    trials = Trials([("fraud", "2"), ("fraud", "1")])
    routing = compiled({"1": 50, "2": 50}, baseline="1")

    trials.adopt(None, REVISION, routing, {})
    trial = trials.adopt(rollout_of(), REVISION + 1, routing, {})

    assert trial is not None
    assert trial.counts() == {}


async def test_the_second_death_takes_the_canary_back_at_the_first_flush() -> None:
    store, reverter = await opened(), FakeReverter()
    routing = compiled({"1": 95, "2": 5}, baseline="1")

    for name in ("w1", "w2"):
        assert reverter.asked == []
        trials = Trials([("fraud", "2")])
        trials.adopt(rollout_of(), REVISION, routing, {})
        await rounds(EvidenceDuty(trials, store, reverter, name))

    assert await totals(store) == {f"{REVISION}|2|deaths": 2}
    assert reverter.asked == [("fraud", "r1", "deaths")]
