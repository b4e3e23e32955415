"""Copies of answered requests: who gets them, when they run, and that nobody else notices."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from gateway.core.errors import ModelFailed
from gateway.core.phases import Event, Phase
from gateway.core.plan import read_plan
from gateway.core.rollout import move, start
from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from gateway.serving import copies
from gateway.serving.copies import MOST_WAITING
from gateway.serving.live import LiveRoute
from gateway.serving.shadow import Shadows
from tests.serving.fakes import (
    FAILED,
    LOADING,
    READY,
    SLOW,
    Caller,
    Dispatched,
    Floor,
    Gate,
    compiled,
    doubled,
    nothing,
    pairs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.rollout import Rollout
    from gateway.ports.engine import Tensor
    from gateway.serving.jobs import Result
    from gateway.serving.live import Arm
    from tests.serving.fakes import FakeCells

A, B, Y = (TensorSpec(name, "FP32", (-1, 2)) for name in "aby")
TWO, SAME_TWO = Signature((A, B), (Y,)), Signature((B, A), (Y,))
WAIT_SECONDS = 5.0


class ShadowFloor(Floor):
    """A worker's request path with shadows; *evidence* remembers the pairs that were handed on."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.evidence: list[tuple[int, int, bool]] = []
        self.busy = False
        self.shadows = Shadows(lambda: self.busy or self.lanes.are_waited_for(), self.metrics, on_pair=self._pair)
        self.adoption._make_route = self.shadows.route

    def _pair(self, route: LiveRoute, version: int, differs: bool) -> None:
        self.evidence.append((route.revision, version, differs))

    def serve(self, split: Mapping[str, int], rollout: Rollout | None = None, **members: Any) -> LiveRoute:
        self.adoption.want(Mark("a", 7, "d"), compiled(split, **members), rollout)
        return self.table.route("fraud")

    def arm(self, draw: int = 0) -> Arm:
        return self.table.route("fraud").decide(nothing, draw)

    async def ask(self, *rows: float, draw: int = 0, name: str = "") -> Tensor:
        """Send a request as a door does, and return what its caller got."""
        result = await Passed(self.arm(draw), pairs(*rows), name=name).result()
        assert not isinstance(result, Exception)
        return result[0]

    @property
    def shadow(self) -> FakeCells:
        return self.cells(3)


class Passed(Dispatched):
    """A request that goes through its arm's tap, where it has one, as Exchange sends it."""

    def __init__(self, arm: Arm, *feeds: Tensor, name: str = "") -> None:
        done = super()._done
        self._through = done if arm.tap is None else arm.tap.behind(done, feeds, len(feeds[0]), name)
        super().__init__(arm, *feeds)

    def _done(self, arm: Arm, result: Result) -> None:
        self._through(arm, result)

    async def result(self) -> Result:
        return (await self.ending())[1]


@pytest.fixture
async def floor() -> ShadowFloor:
    """Version 1 answers, version 3 can shadow; both double."""
    made = ShadowFloor()
    made.held.hold("fraud", 1)
    made.held.hold("fraud", 3)
    return made


async def until(holds: Callable[[], object]) -> None:
    """Wait until *holds*; fail when it does not."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - what a thread did shows in counters, which set no event
            await asyncio.sleep(0.001)


def failing(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    raise ModelFailed("fraud", 3, "it always does")


def infinite(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    return [feeds["x"] * np.inf]


def buggy(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    raise RuntimeError("a bug")


def turned(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """Two columns that sum up to the same, the smaller one larger."""
    return [np.stack([feeds["x"][:, 0] * 2 + 1, feeds["x"][:, 1] * 2], 1)]


# Which requests


async def test_a_route_without_shadows_has_no_taps_and_is_a_plain_route(floor: ShadowFloor) -> None:
    route = floor.serve({"1": 1, "3": 0}, shadow={"3": 0})

    assert type(route) is LiveRoute
    assert floor.arm().tap is None


async def test_a_share_of_the_requests_has_a_tap(floor: ShadowFloor) -> None:
    floor.serve({"1": 1}, shadow={"3": 20})

    tapped = sum(floor.arm(draw).tap is not None for draw in range(0, 2**32, 2**20))

    assert abs(tapped - 0.2 * 4096) <= 4.5 * math.sqrt(4096 * 0.16)


async def test_a_request_that_a_rule_takes_and_a_pinned_one_have_no_tap(floor: ShadowFloor) -> None:
    rules = [{"when": {"header:x-tenant": "acme"}, "split": {"1": 1}}]
    route = floor.serve({"1": 1}, shadow={"3": 100}, rules=rules)

    def acme(kind: str, name: str) -> Sequence[bytes]:
        return (b"acme",)

    assert route.decide(nothing, 0).tap is not None
    assert route.decide(acme, 0).tap is None
    assert route.pinned(floor.lane(1)).tap is None


async def test_the_arm_of_a_copied_request_is_otherwise_the_same(floor: ShadowFloor) -> None:
    floor.serve({"1": 1}, shadow={"3": 50})
    copied, other = floor.arm(0), floor.arm(2**32 - 1)

    assert (copied.lane, copied.block, copied.fallback) == (other.lane, other.block, other.fallback)
    assert floor.arm(0) is copied
    assert (other.tap, copied.tap is None) == (None, False)


# What becomes of a copy


async def test_a_copy_is_run_compared_and_counted_for_the_shadow_only(floor: ShadowFloor) -> None:
    floor.serve({"1": 1}, shadow={"3": 100})

    answer = await floor.ask(1, 2)
    await until(lambda: floor.shadow.copies)

    assert answer.tolist() == [[2, 2], [4, 4]]
    assert (floor.shadow.copies, floor.shadow.pairs, floor.shadow.drops) == (["ok"], [(True, 0.0, 0.0)], [])
    assert (floor.shadow.outcomes, floor.shadow.runs, floor.shadow.waits, floor.shadow.fallbacks) == ([], [], [], [])
    assert (floor.cells(1).copies, len(floor.cells(1).runs)) == ([], 1)


async def test_a_copy_that_is_answered_otherwise_differs(floor: ShadowFloor) -> None:
    floor.held.hold("fraud", 3, turned)
    floor.held.sessions["fraud", 1]._run = lambda feeds: [np.stack([feeds["x"][:, 0] * 2, feeds["x"][:, 1] * 3], 1)]
    floor.serve({"1": 1}, shadow={"3": 100})

    await floor.ask(1)
    await until(lambda: floor.shadow.pairs)

    assert floor.shadow.pairs == [(False, 1.0, 1.0)]


async def test_the_caller_has_its_answer_before_the_copy_is_offered(floor: ShadowFloor) -> None:
    floor.held.move("fraud", 3, FAILED, "so that each offer is counted at once")
    floor.serve({"1": 1}, shadow={"3": 100})
    arm, offered_before = floor.arm(), []
    assert arm.tap is not None

    arm.tap.behind(lambda *_: offered_before.append(len(floor.shadow.drops)), (pairs(1),), 1)(arm, [pairs(2)])

    assert (offered_before, floor.shadow.drops) == ([0], ["unavailable"])


async def test_a_copy_runs_after_the_answer_and_off_the_loop(floor: ShadowFloor) -> None:
    floor.serve({"1": 1}, shadow={"3": 100})
    session = floor.held.sessions["fraud", 3]

    await floor.ask(1)
    at_the_answer = len(session.rows)
    await until(lambda: floor.shadow.copies)

    assert (at_the_answer, len(session.rows)) == (0, 1)
    assert session.threads.isdisjoint(floor.held.sessions["fraud", 1].threads)


async def test_inputs_are_given_by_name_whatever_order_the_shadow_has_them_in(floor: ShadowFloor) -> None:
    def minus(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        return [feeds["a"] - feeds["b"]]

    floor.held.hold("fraud", 1, minus, signature=TWO)
    floor.held.hold("fraud", 3, minus, signature=SAME_TWO)
    floor.serve({"1": 1}, shadow={"3": 100})

    await Passed(floor.arm(), pairs(5), pairs(3)).result()
    await until(lambda: floor.shadow.copies)

    assert floor.shadow.pairs == [(True, 0.0, 0.0)]


async def test_the_version_that_answered_gets_no_copy(floor: ShadowFloor) -> None:
    floor.held.hold("fraud", 4)
    floor.serve({"1": 0, "3": 1}, shadow={"3": 100, "4": 100})

    await floor.ask(1)
    await until(lambda: floor.cells(4).copies)

    assert (floor.shadow.copies, floor.shadow.drops) == ([], [])


async def test_a_request_that_failed_is_not_copied(floor: ShadowFloor) -> None:
    floor.held.sessions["fraud", 1]._run = failing
    floor.serve({"1": 1}, shadow={"3": 100})

    result = await Passed(floor.arm(), pairs(1)).result()
    await asyncio.sleep(0.01)

    assert isinstance(result, ModelFailed)
    assert (floor.shadow.copies, floor.shadow.drops) == ([], [])


# Nobody notices


@pytest.mark.parametrize(("run", "outcome"), [(failing, "error"), (infinite, "invalid"), (buggy, "other")])
async def test_a_shadow_that_fails_is_counted_and_the_next_copy_has_its_turn(
    floor: ShadowFloor, run: Any, outcome: str
) -> None:
    floor.held.hold("fraud", 3, run)
    floor.serve({"1": 1}, shadow={"3": 100})

    answers = [(await floor.ask(row)).tolist() for row in (1, 2)]
    await until(lambda: len(floor.shadow.copies) == 2)

    assert answers == [[[2, 2]], [[4, 4]]]
    assert floor.shadow.copies == [outcome] * 2
    assert floor.shadow.pairs == []


async def test_a_shadow_that_hangs_holds_up_its_own_copies_and_nobody_else(
    floor: ShadowFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "LIMIT_SECONDS", 0.05)
    gate = Gate()
    floor.held.hold("fraud", 3, gate)
    floor.held.hold("fraud", 4)
    floor.serve({"1": 1}, shadow={"3": 100, "4": 100})

    await floor.ask(0)
    await gate.begun.wait()
    answers = []
    for row in range(MOST_WAITING + 10):
        answers.append(float((await floor.ask(row))[0, 0]))
        await until(lambda: len(floor.cells(4).copies) > len(answers))
    await until(lambda: floor.shadow.copies)
    hung = (list(floor.shadow.copies), list(floor.shadow.drops))
    gate.open()
    await until(lambda: len(floor.shadow.copies) == MOST_WAITING)

    assert answers == [2.0 * row for row in range(MOST_WAITING + 10)]
    assert hung == (["timeout"], ["full"] * 11)
    assert floor.shadow.copies == ["timeout", *["ok"] * (MOST_WAITING - 1)]
    assert floor.lane(3).version.in_flight == 0


async def test_copies_wait_for_callers_and_are_dropped_when_that_takes_long(
    floor: ShadowFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PATIENCE_SECONDS", 0.02)
    floor.serve({"1": 1}, shadow={"3": 100})
    floor.busy = True

    await floor.ask(1)
    await until(lambda: floor.shadow.drops)
    floor.busy = False
    await floor.ask(2)
    await until(lambda: floor.shadow.copies)

    assert (floor.shadow.drops, floor.shadow.copies) == (["busy"], ["ok"])


async def test_a_worker_is_busy_while_a_request_queues_for_any_version(floor: ShadowFloor) -> None:
    gate = Gate()
    floor.held.hold("other", 1, gate, run_seconds=SLOW)
    lane = floor.lane(1, "other")
    running = Caller(lane, pairs(1))
    await gate.begun.wait()
    alone = floor.lanes.are_waited_for()
    waiting = Caller(lane, pairs(2))

    assert (alone, floor.lanes.are_waited_for()) == (False, True)
    gate.open()
    await running.outputs()
    await waiting.outputs()


async def test_large_copies_do_not_pile_up(floor: ShadowFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MOST_BYTES", 40)
    floor.serve({"1": 1}, shadow={"3": 100})
    floor.busy = True

    await floor.ask(1)  # 16 bytes with its answer
    await floor.ask(2)
    await floor.ask(3)
    full = list(floor.shadow.drops)
    floor.busy = False
    await until(lambda: len(floor.shadow.copies) == 2)
    await floor.ask(4)
    await until(lambda: len(floor.shadow.copies) == 3)

    assert (full, floor.shadow.drops) == (["full"], ["full"])


async def test_a_slice_of_copies_ends_and_the_rest_has_its_turn(
    floor: ShadowFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "SLICE_SECONDS", 0.0)
    floor.serve({"1": 1}, shadow={"3": 100})

    for row in range(5):
        await floor.ask(row)
    await until(lambda: len(floor.shadow.copies) == 5)

    assert floor.shadow.pairs == [(True, 0.0, 0.0)] * 5


async def test_a_fault_while_copying_reaches_no_caller(floor: ShadowFloor, monkeypatch: pytest.MonkeyPatch) -> None:
    floor.serve({"1": 1}, shadow={"3": 100})
    monkeypatch.setattr(Shadows, "offer", buggy)

    arm = floor.arm()
    results = [await each.result() for each in [Passed(arm, pairs(1)), Passed(arm, pairs(2))]]

    assert [float(result[0][0, 0]) for result in results if isinstance(result, list)] == [2, 4]


# A shadow that cannot run


async def test_copies_for_a_version_that_is_not_ready_are_dropped(floor: ShadowFloor) -> None:
    floor.held.move("fraud", 3, FAILED, "bad_model: no graph")
    floor.serve({"1": 1}, shadow={"3": 100})

    await floor.ask(1)

    assert (floor.shadow.drops, floor.shadow.copies) == (["unavailable"], [])


async def test_copies_for_a_version_with_other_inputs_are_dropped(floor: ShadowFloor) -> None:
    floor.held.hold("fraud", 3, signature=TWO)
    floor.serve({"1": 1}, shadow={"3": 100})

    await floor.ask(1)

    assert floor.shadow.drops == ["inputs"]


async def test_a_route_is_served_while_its_shadow_still_loads_and_copies_once_it_is_ready(floor: ShadowFloor) -> None:
    floor.held.move("fraud", 3, LOADING)
    floor.serve({"1": 1}, shadow={"3": 100})

    await floor.ask(1)
    floor.held.move("fraud", 3, READY)
    await asyncio.sleep(0.01)
    await floor.ask(2)
    await until(lambda: floor.shadow.copies)

    assert (floor.shadow.drops, floor.shadow.copies) == (["unavailable"], ["ok"])


async def test_copies_that_wait_when_their_version_goes_are_dropped(floor: ShadowFloor) -> None:
    floor.serve({"1": 1}, shadow={"3": 100})
    floor.busy = True
    await floor.ask(1)

    floor.lane(3).close()
    await until(lambda: floor.shadow.drops)
    floor.serve({"1": 1}, shadow={"3": 50})

    assert floor.shadow.drops == ["unavailable"]


# Evidence


def in_shadow(**shadow: Any) -> Rollout:
    phase = {"for": "1m", **shadow}
    plan = read_plan({"steps": [{"weight": 10, "for": "1m"}], "shadow": phase})
    state = start("r", candidates=(3,), baseline=1, plan=plan, before={1: 100}, baseline_rate=0.0, now=0.0)
    for event in (Event.DONE, Event.DONE):
        state = move(state, event, now=1.0, revision=1, reason="").rollout
    assert state.phase is Phase.SHADOW
    return state


@pytest.mark.parametrize(
    ("run", "tolerance", "pair"),
    [
        (lambda feeds: [feeds["x"][:, :1] * 2], 0.0, (7, 3, False)),
        (lambda feeds: [feeds["x"][:, :1] * 2 + 0.25], 0.0, (7, 3, True)),
        (lambda feeds: [feeds["x"][:, :1] * 2 + 0.25], 0.5, (7, 3, False)),
        (failing, 0.0, (7, 3, True)),
        (infinite, 0.0, (7, 3, True)),
    ],
)
async def test_pairs_of_the_shadow_phase_of_a_rollout_are_evidence(
    floor: ShadowFloor, run: Any, tolerance: float, pair: tuple[int, int, bool]
) -> None:
    floor.held.sessions["fraud", 1]._run = lambda feeds: [feeds["x"][:, :1] * 2]
    floor.held.hold("fraud", 3, run)
    floor.serve({"1": 100, "3": 0}, in_shadow(tolerance=tolerance))

    await floor.ask(1)
    await until(lambda: floor.shadow.copies)

    assert floor.evidence == [pair]


class Memory:
    """Implements what a shadow leaves in ``ports.PredictionMemory``."""

    def __init__(self) -> None:
        self.left: list[tuple[Any, ...]] = []

    def copied(self, *given: Any) -> None:
        self.left.append(given)


async def remembered(floor: ShadowFloor, run: Any, rollout: Rollout | None) -> list[tuple[Any, ...]]:
    """Send one request and return what is remembered of its copy."""
    memory = Memory()
    floor.shadows.memory = cast("Any", memory)
    floor.held.hold("fraud", 3, run)
    floor.serve({"1": 100, "3": 0}, rollout, **({} if rollout else {"shadow": {"3": 100}}))
    await floor.ask(1, name="id-1")
    await until(lambda: floor.shadow.copies)
    return memory.left


async def test_what_a_canary_predicts_for_a_copy_is_remembered_under_the_answers_id(floor: ShadowFloor) -> None:
    ((name, model, version, signature, outputs, revision, rollout),) = await remembered(floor, doubled, in_shadow())

    assert (name, model, version, revision, rollout) == ("id-1", "fraud", 3, 7, "r")
    assert signature == floor.lane(3).version.signature
    assert outputs[0].tolist() == [[2.0, 2.0]]


async def test_a_copy_that_failed_and_one_outside_a_rollout_leave_nothing_to_be_labelled(floor: ShadowFloor) -> None:
    assert await remembered(floor, failing, in_shadow()) == []
    floor.shadow.copies.clear()
    assert await remembered(floor, doubled, None) == []


async def test_pairs_with_an_answer_that_is_not_the_baselines_are_no_evidence(floor: ShadowFloor) -> None:
    floor.held.hold("fraud", 2)
    floor.serve({"1": 0, "2": 1, "3": 0}, in_shadow(), baseline="1")

    await floor.ask(1)
    await until(lambda: floor.shadow.copies)

    assert (floor.shadow.pairs, floor.evidence) == ([(True, 0.0, 0.0)], [])


async def test_pairs_of_a_shadow_that_is_no_candidate_are_no_evidence(floor: ShadowFloor) -> None:
    floor.serve({"1": 1}, shadow={"3": 100})

    await floor.ask(1)
    await until(lambda: floor.shadow.copies)

    assert floor.evidence == []


async def test_a_fault_of_ours_is_no_evidence(floor: ShadowFloor) -> None:
    floor.held.hold("fraud", 3, buggy)
    floor.serve({"1": 100, "3": 0}, in_shadow())

    await floor.ask(1)
    await until(lambda: floor.shadow.copies)

    assert floor.evidence == []
