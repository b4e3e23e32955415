"""Same-tick batching on the event loop: who is joined, who gets which rows, who fails with whom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import ModelFailed, Overloaded
from gateway.core.signature import Signature, TensorSpec
from gateway.serving.batching import Lane
from tests.serving.fakes import (
    ANY_WIDTH,
    Caller,
    FakeCells,
    FakeRuns,
    FakeSession,
    FakeWatchdog,
    a_turn,
    doubled,
    loaded_version,
    pairs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.ports.engine import Tensor
    from gateway.serving.jobs import Result

    MakeLane = Callable[..., Lane]

POISON = 666.0


def fails_on_poison(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    if (feeds["x"] == POISON).any():
        raise ModelFailed("fraud", 1, "it does not like that number")
    return doubled(feeds)


def not_a_number_on_poison(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    return [np.where(feeds["x"] == POISON, np.nan, feeds["x"] * 2)]


async def ask(lane: Lane, *requests: Tensor) -> list[Result]:
    """Send *requests* in one pass of the loop and return how each ended."""
    callers = [Caller(lane, tensor) for tensor in requests]
    return [await caller.result() for caller in callers]


def first_column(answer: Result) -> list[float]:
    assert not isinstance(answer, Exception), answer
    return [float(row) for row in answer[0][:, 0]]


async def test_callers_of_one_tick_share_a_run_and_each_gets_its_own_rows(make_lane: MakeLane) -> None:
    session = FakeSession()
    lane = make_lane(session)

    answers = await ask(lane, pairs(1), pairs(2), pairs(3))

    assert [first_column(answer) for answer in answers] == [[2], [4], [6]]
    assert session.rows == [3]


async def test_a_request_of_five_rows_gets_five_answers_between_its_neighbours(make_lane: MakeLane) -> None:
    session = FakeSession()
    lane = make_lane(session)

    answers = await ask(lane, pairs(1), pairs(2, 3, 4, 5, 6), pairs(7, 8))

    assert [first_column(answer) for answer in answers] == [[2], [4, 6, 8, 10, 12], [14, 16]]
    assert session.rows == [8]


async def test_requests_of_different_ticks_do_not_wait_for_each_other(make_lane: MakeLane) -> None:
    session = FakeSession()
    lane = make_lane(session)

    await ask(lane, pairs(1))
    await ask(lane, pairs(2))

    assert session.rows == [1, 1]


async def test_no_run_joins_more_rows_than_the_maximum(make_lane: MakeLane) -> None:
    session = FakeSession()
    lane = make_lane(session, max_rows=4)

    answers = await ask(lane, *[pairs(number) for number in range(10)])

    assert [first_column(answer) for answer in answers] == [[2 * number] for number in range(10)]
    assert session.rows == [4, 4, 2]


async def test_a_request_that_no_longer_fits_waits_for_the_next_run(make_lane: MakeLane) -> None:
    session = FakeSession()
    lane = make_lane(session, max_rows=4)

    await ask(lane, pairs(1, 2, 3), pairs(4, 5), pairs(6))

    assert session.rows == [3, 3]


async def test_requests_of_different_widths_are_never_joined(make_lane: MakeLane) -> None:
    session = FakeSession(signature=ANY_WIDTH)
    lane = make_lane(session)
    narrow, wide = np.ones((1, 2), np.float32), np.ones((1, 3), np.float32)

    answers = await ask(lane, narrow, narrow, wide, narrow)

    assert [answer[0].shape for answer in answers if not isinstance(answer, Exception)] == [
        (1, 2), (1, 2), (1, 3), (1, 2),
    ]  # fmt: skip
    assert session.rows == [2, 1, 1]


async def test_a_version_that_cannot_batch_runs_its_requests_one_by_one(make_lane: MakeLane) -> None:
    session = FakeSession()
    lane = make_lane(session, batchable=False)

    answers = await ask(lane, pairs(1), pairs(2), pairs(3))

    assert [first_column(answer) for answer in answers] == [[2], [4], [6]]
    assert session.rows == [1, 1, 1]


async def test_a_version_that_cannot_batch_may_answer_any_number_of_rows(make_lane: MakeLane) -> None:
    lane = make_lane(FakeSession(lambda feeds: [feeds["x"].sum(axis=0, keepdims=True)]), batchable=False)

    [answer] = await ask(lane, pairs(1, 2, 3))

    assert first_column(answer) == [6]


async def test_several_inputs_and_outputs_are_cut_back_together(make_lane: MakeLane) -> None:
    signature = Signature(
        (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("z", "FP32", (-1,))),
        (TensorSpec("sum", "FP32", (-1, 2)), TensorSpec("z", "FP32", (-1,))),
    )
    session = FakeSession(lambda feeds: [feeds["x"] + feeds["z"][:, None], feeds["z"]], signature)
    lane = make_lane(session)
    one, two = np.array([10], np.float32), np.array([20, 30], np.float32)

    callers = Caller(lane, pairs(1), one), Caller(lane, pairs(2, 3), two)
    first, second = [await caller.outputs() for caller in callers]

    assert session.rows == [3]
    assert [first_column(first), list(first[1])] == [[11], [10]]
    assert [first_column(second), list(second[1])] == [[22, 33], [20, 30]]


async def test_texts_are_batched_too(make_lane: MakeLane) -> None:
    texts = Signature((TensorSpec("x", "BYTES", (-1, 1)),), (TensorSpec("y", "BYTES", (-1, 1)),))
    session = FakeSession(lambda feeds: [feeds["x"] + "!"], texts)
    lane = make_lane(session)

    answers = await ask(lane, np.array([["a"]], object), np.array([["b\0"]], object))

    assert session.rows == [2]
    assert [answer[0].tolist() for answer in answers if isinstance(answer, list)] == [[["a!"]], [["b\0!"]]]


async def test_one_poisonous_request_fails_alone(make_lane: MakeLane) -> None:
    lane = make_lane(FakeSession(fails_on_poison))

    before, poisoned, after = await ask(lane, pairs(1), pairs(POISON), pairs(3))

    assert isinstance(poisoned, ModelFailed)
    assert [first_column(before), first_column(after)] == [[2], [6]]


async def test_a_value_that_is_not_finite_fails_only_the_request_that_made_it(make_lane: MakeLane) -> None:
    lane = make_lane(FakeSession(not_a_number_on_poison))

    fine, poisoned = await ask(lane, pairs(1), pairs(POISON))

    assert first_column(fine) == [2]
    assert isinstance(poisoned, ModelFailed)
    assert poisoned.code == "nonfinite_output"


@pytest.mark.parametrize("policy", ["null", "binary"])
async def test_answers_that_are_not_finite_are_counted_one_by_one_where_they_are_allowed(
    make_lane: MakeLane, policy: str
) -> None:
    cells = FakeCells()
    lane = make_lane(FakeSession(not_a_number_on_poison), nonfinite=policy, cells=cells)

    answers = await ask(lane, pairs(1), pairs(POISON), pairs(POISON), pairs(2))

    assert not any(isinstance(answer, Exception) for answer in answers)
    assert cells.events == ["nonfinite_out"] * 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_a_version_that_may_answer_what_is_not_finite_does(make_lane: MakeLane, value: float) -> None:
    lane = make_lane(FakeSession(lambda feeds: [feeds["x"] * value]), nonfinite="null")

    [answer] = await ask(lane, pairs(1))

    assert not isinstance(answer, Exception)
    assert not np.isfinite(answer[0]).any()


async def test_integers_are_not_asked_whether_they_are_finite(make_lane: MakeLane) -> None:
    signature = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "BYTES", (-1, 2)),))
    lane = make_lane(FakeSession(lambda feeds: [feeds["x"].astype(str).astype(object)], signature))

    [answer] = await ask(lane, pairs(1))

    assert not isinstance(answer, Exception)
    assert answer[0].tolist() == [["1.0", "1.0"]]


async def test_a_run_that_loses_a_row_fails_everybody_rather_than_shifting_rows(make_lane: MakeLane) -> None:
    lane = make_lane(FakeSession(lambda feeds: [feeds["x"][1:]]))

    answers = await ask(lane, pairs(1), pairs(2))

    assert all(isinstance(answer, ModelFailed) for answer in answers)


async def test_a_bug_in_the_engine_reaches_every_caller_instead_of_hanging_them(make_lane: MakeLane) -> None:
    def buggy(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        raise RuntimeError("a bug")

    lane = make_lane(FakeSession(buggy))

    answers = await ask(lane, pairs(1), pairs(2))

    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError]
    assert lane.version.in_flight == 0


async def test_the_lane_serves_on_after_a_bug(make_lane: MakeLane) -> None:
    session = FakeSession(lambda feeds: [feeds["x"] * 2] if len(session.rows) > 1 else [None])  # type: ignore[list-item]  # the bug
    lane = make_lane(session)
    [broken] = await ask(lane, pairs(1))

    [answer] = await ask(lane, pairs(1))

    assert isinstance(broken, Exception)
    assert first_column(answer) == [2]


async def test_a_caller_that_left_is_not_run_not_told_and_not_counted(make_lane: MakeLane) -> None:
    session, cells = FakeSession(), FakeCells()
    lane = make_lane(session, cells=cells)
    leaving, staying = Caller(lane, pairs(1)), Caller(lane, pairs(2))

    leaving.leave()
    answer = await staying.outputs()

    assert first_column(answer) == [4]
    assert session.rows == [1]
    assert not leaving.results
    assert (cells.runs, len(cells.waits), lane.version.in_flight) == ([1], 1, 0)


async def test_nothing_runs_when_everybody_has_left(make_lane: MakeLane) -> None:
    session = FakeSession()
    lane = make_lane(session)
    callers = [Caller(lane, pairs(number)) for number in range(3)]

    for caller in callers:
        caller.leave()
    await a_turn()

    assert (session.rows, lane.version.in_flight) == ([], 0)


async def test_a_queue_that_is_full_refuses_and_takes_again_when_it_has_run(make_lane: MakeLane) -> None:
    lane = make_lane(max_queue=2)
    waiting = [Caller(lane, pairs(number)) for number in (1, 2)]

    with pytest.raises(Overloaded):
        Caller(lane, pairs(3))
    for caller in waiting:
        await caller.outputs()

    assert first_column(await Caller(lane, pairs(3)).outputs()) == [6]
    assert lane.version.in_flight == 0


async def test_what_a_run_took_is_counted_once_per_run_and_the_wait_once_per_request(make_lane: MakeLane) -> None:
    cells = FakeCells()
    lane = make_lane(cells=cells)

    await ask(lane, pairs(1), pairs(2, 3), pairs(4))

    assert cells.runs == [4]
    assert len(cells.waits) == 3


async def test_a_window_collects_what_arrives_in_it(make_lane: MakeLane) -> None:
    session = FakeSession()
    lane = make_lane(session, delay_ms=20.0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = Caller(lane, pairs(1))
    await a_turn()

    second = Caller(lane, pairs(2))
    answers = [await caller.outputs() for caller in (first, second)]

    assert [first_column(answer) for answer in answers] == [[2], [4]]
    assert session.rows == [2]
    assert loop.time() - began >= 0.019


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=20), st.integers(1, 16))
def test_nobody_ever_gets_a_row_of_somebody_else(sizes: Sequence[int], max_rows: int) -> None:
    async def play() -> tuple[list[list[float]], list[int], int]:
        session = FakeSession()
        lane = Lane(loaded_version(session, max_rows=max_rows), FakeWatchdog(), FakeRuns(), max_queue=64)
        requests = [pairs(*(100 * caller + row for row in range(size))) for caller, size in enumerate(sizes)]
        answers = await ask(lane, *requests)
        return [first_column(answer) for answer in answers], session.rows, lane.version.in_flight

    answers, runs, in_flight = asyncio.run(play())

    assert answers == [[2 * (100 * caller + row) for row in range(size)] for caller, size in enumerate(sizes)]
    assert sum(runs) == sum(sizes)
    assert all(rows <= max(max_rows, max(sizes)) for rows in runs)
    assert in_flight == 0
