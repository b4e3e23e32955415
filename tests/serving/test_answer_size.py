"""The limit ``output-bytes``: refused before the run where the graph says how large the answer is, else behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import RequestTooLarge
from gateway.core.signature import Signature, TensorSpec
from gateway.serving.batching import Lane
from tests.serving.fakes import SLOW, FakeRuns, FakeSession, FakeWatchdog, loaded_version, pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.engine import Tensor

LIMIT = 1000


def outer(*output_axes: str) -> FakeSession:
    """y = the outer product of x with itself, of which the graph says so much."""
    signature = Signature((TensorSpec("x", "FP32", (-1,), ("n",)),), (TensorSpec("y", "FP32", (-1, -1), output_axes),))
    return FakeSession(lambda feeds: [np.outer(feeds["x"], feeds["x"])], signature)


def lane_over(session: FakeSession, **how: Any) -> Lane:
    return Lane(loaded_version(session, **how), FakeWatchdog(), FakeRuns(), max_queue=64, output_bytes=LIMIT)


async def ask(lane: Lane, *feeds: Tensor) -> list[Any]:
    """Send the tensors in one tick and return what came of each."""
    loop = asyncio.get_running_loop()
    waiting = []
    for each in feeds:
        future = loop.create_future()
        lane.submit((each,), len(each), loop.time() + 9, future.set_result)
        waiting.append(future)
    return list(await asyncio.gather(*waiting))


async def test_an_answer_that_the_graph_shows_to_be_too_large_is_refused_before_the_run() -> None:
    lane = lane_over(session := outer("n", "n"), batchable=False)

    with pytest.raises(RequestTooLarge, match=r"1024 bytes.*--limits output-bytes=1000"):
        await ask(lane, np.ones(16, np.float32))
    with pytest.raises(RequestTooLarge):
        lane.attempt((np.ones(16, np.float32),), 16)

    assert not session.rows
    [answer] = await ask(lane, np.ones(15, np.float32))
    assert answer[0].nbytes == 900


@pytest.mark.parametrize("seconds", [0.0, SLOW])
async def test_an_answer_that_nobody_could_foresee_is_refused_after_the_run_and_the_model_is_not_blamed(
    seconds: float,
) -> None:
    lane = lane_over(outer(), batchable=False, run_seconds=seconds)

    large, small = await ask(lane, np.ones(16, np.float32), np.ones(2, np.float32))
    lane.close()

    assert isinstance(large, RequestTooLarge)
    assert isinstance(lane.attempt((np.ones(16, np.float32),), 16), RequestTooLarge)
    assert small[0].shape == (2, 2)


def widened(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """Each row as often as its first number says of the largest."""
    return [np.repeat(feeds["x"][:, :1], int(feeds["x"].max()), axis=1)]


WIDE = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1, -1)),))


async def test_each_request_of_a_joined_run_is_held_to_the_limit_by_itself() -> None:
    lane = lane_over(session := FakeSession(widened, WIDE))

    alone, three = await ask(lane, pairs(200), pairs(200, 200, 200))

    assert session.rows == [4]
    assert alone[0].nbytes == 800
    assert isinstance(three, RequestTooLarge)


async def test_a_request_that_is_run_again_alone_is_held_to_the_limit() -> None:
    def picky(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        y = widened(feeds)
        return [y[0] * np.nan] if len(feeds["x"]) == 3 else y

    large, small = await ask(lane_over(FakeSession(picky, WIDE)), pairs(300), pairs(1, 1))

    assert isinstance(large, RequestTooLarge)
    assert small[0].shape == (2, 1)


async def test_nothing_is_looked_at_where_the_rows_of_a_request_settle_it(monkeypatch: pytest.MonkeyPatch) -> None:
    version = loaded_version(FakeSession())
    lane = Lane(version, FakeWatchdog(), FakeRuns(), max_queue=64)

    assert not lane._checks_size
    assert lane._runner._size is None
