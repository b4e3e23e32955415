"""The request path over a version behind its adapter: it batches, fails alone and falls back like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.core.errors import InputRefused
from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from gateway.models.adapting import adapted
from gateway.models.metadata import Metadata
from tests.serving.fakes import Caller, Dispatched, FakeSession, Floor, compiled, nothing, pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.engine import Session
    from gateway.serving.batching import Lane

WHOLE = Signature((TensorSpec("n", "INT64", (-1, 2)),), (TensorSpec("m", "INT64", (-1, 2)),))
ADAPTER: Any = {
    "requests": {"rename": {"x": "n"}, "cast": {"x": "FP32"}},
    "responses": {"rename": {"y": "m"}, "cast": {"y": "FP32"}},
}


def behind(own: FakeSession) -> Session:
    """Return a session of the signature of `pairs` over one that knows integers only."""
    return adapted(own, Metadata(adapter=ADAPTER), model="fraud", version=2)[0]


def doubling() -> FakeSession:
    return FakeSession(lambda feeds: [feeds["n"] * 2], WHOLE)


async def test_requests_of_one_tick_are_adapted_and_run_as_one_batch(make_lane: Callable[..., Lane]) -> None:
    own = doubling()
    lane = make_lane(behind(own))

    callers = [Caller(lane, pairs(*rows)) for rows in ((1.0,), (2.0, 3.0))]
    answers = [await caller.result() for caller in callers]

    assert own.rows == [3]
    assert [each[0][:, 0].tolist() for each in answers if not isinstance(each, Exception)] == [[2.0], [4.0, 6.0]]


async def test_a_request_that_cannot_be_adapted_fails_alone(make_lane: Callable[..., Lane]) -> None:
    lane = make_lane(behind(doubling()))

    callers = [Caller(lane, pairs(each)) for each in (1.0, 0.5, 3.0)]
    first, second, third = [await caller.result() for caller in callers]

    assert isinstance(second, InputRefused)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)


async def test_the_baseline_answers_what_an_adapted_canary_cannot_take(floor: Floor) -> None:
    floor.held.hold("fraud", 1, lambda feeds: [feeds["x"] + 100])
    floor.held.hold("fraud", 2, behind(doubling()).run)
    floor.adoption.want(Mark("a", 7, "d"), compiled({"1": 0, "2": 1}, baseline="1"))
    arm = floor.table.route("fraud").decide(nothing, 0)

    _, own = await Dispatched(arm, pairs(4)).ending()
    _, other = await Dispatched(arm, pairs(0.5)).ending()

    assert isinstance(own, list)
    assert isinstance(other, list)
    assert (float(own[0][0, 0]), float(other[0][0, 0])) == (8.0, 100.5)
    assert floor.cells(2).fallbacks == ["error"]
