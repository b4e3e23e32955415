"""What shares a run, on the real runtime: each rule with the rows that the runtime saw and what each caller got."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import ModelFailed
from gateway.engine.onnx import OnnxEngine
from gateway.models.adapting import adapted
from gateway.models.loaded import LoadedVersion
from gateway.models.metadata import Metadata, Serving
from gateway.models.warmup import warm_up
from gateway.serving.batching import Lane
from tests.engine import graphs
from tests.engine.graphs import INT64, node, value, weights
from tests.serving.fakes import SLOW, Caller, FakeCells, FakeRuns, FakeWatchdog, a_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.ports.engine import Session, Tensor

    Make = Callable[..., tuple[Lane, list[int]]]

POISON = 4.0
"""An index that the table of `TABLE` has not: the runtime fails on any run with it."""

PLUS = graphs.plus(1)
MIXING = graphs.mean_over_the_batch()
ANY_WIDTH = graphs.graph(
    node("Add", ["x", "w"], ["y"]),
    inputs=[value("x", shape=("n", "m"))], outputs=[value("y", shape=("n", "m"))], tensors=[weights("w", [1.0], [1])],
)  # fmt: skip
EIGHT = graphs.graph(
    node("Add", ["x", "w"], ["y"]),
    inputs=[value("x", shape=(8, 3))], outputs=[value("y", shape=(8, 3))], tensors=[weights("w", [1.0], [1])],
)  # fmt: skip


def table(rows: int | str) -> bytes:
    """y = x + 1 for x of 0 to 3: a table that is looked up, and fails on any other number."""
    return graphs.graph(
        node("Cast", ["x"], ["i"], to=INT64), node("Gather", ["w", "i"], ["y"]),
        inputs=[value("x", shape=(rows, 3))], outputs=[value("y", shape=(rows, 3))],
        tensors=[weights("w", [1.0, 2.0, 3.0, 4.0], [4])],
    )  # fmt: skip


@dataclass
class Seen:
    """Implements ``ports.Session`` over the runtime's, and remembers how many rows each run had."""

    own: Session
    rows: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.signature = self.own.signature
        self.warning = self.own.warning

    def run(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        self.rows.append(len(next(iter(feeds.values()))))
        return self.own.run(feeds)

    def stop(self) -> None:
        self.own.stop()

    def pool_seconds(self) -> float:
        return self.own.pool_seconds()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a lane of a version that was warmed up, and the list of the rows of each run of its graph."""
    lanes: list[Lane] = []

    def made(content: bytes, *, on_thread: bool = False, **wishes: Any) -> tuple[Lane, list[int]]:
        path = tmp_path / f"{len(lanes)}.onnx"
        path.write_bytes(content)
        seen = Seen(OnnxEngine().load(path, model="fraud", version=1, threads=1))
        session, serving = adapted(seen, Metadata(serving=Serving(**wishes)), model="fraud", version=1)
        warm = warm_up(session, serving)
        seen.rows.clear()
        version = LoadedVersion(
            "fraud", 1, digest="", session=session, metadata=Metadata(serving=serving), cells=FakeCells(),
            batchable=warm.batchable, why_not_batchable=warm.why_not, run_seconds=SLOW if on_thread else 0.0,
        )  # fmt: skip
        lanes.append(Lane(version, FakeWatchdog(), FakeRuns(), max_queue=1024))
        return lanes[-1], seen.rows

    yield made
    for lane in lanes:
        lane.close()


def rows_of(*numbers: float, width: int = 3) -> Tensor:
    return np.repeat(np.array(numbers, np.float32)[:, None], width, axis=1)


ONE_BY_ONE = [1, 1, 1]

TABLE: dict[str, tuple[bytes, dict[str, Any], Sequence[Tensor], Sequence[int]]] = {
    "requests of one row": (PLUS, {}, [rows_of(1), rows_of(2), rows_of(3)], [3]),
    "requests of different rows": (PLUS, {}, [rows_of(1), rows_of(2, 3, 0), rows_of(1, 2)], [6]),
    "more rows than a run may have": (
        PLUS, {"max_batch_rows": 4}, [rows_of(1, 2, 3), rows_of(1, 2), rows_of(3)], [3, 3],
    ),
    "one request of more rows than are joined": (PLUS, {"max_batch_rows": 2}, [rows_of(1, 2, 3), rows_of(1)], [3, 1]),
    "requests of different widths": (
        ANY_WIDTH, {}, [rows_of(1), rows_of(2), rows_of(3, width=5), rows_of(1)], [2, 1, 1],
    ),
    "rows that depend on each other": (MIXING, {}, [rows_of(1), rows_of(2), rows_of(3)], ONE_BY_ONE),
    "a fixed number of rows, filled up": (EIGHT, {"pad": True}, [rows_of(1), rows_of(2, 3), rows_of(0)], [8]),
    "more than a fixed number of rows": (EIGHT, {"pad": True}, [rows_of(*[1, 2, 3] * 2), rows_of(0, 1, 2)], [8, 8]),
    "one request of more than a fixed number": (EIGHT, {"pad": True}, [rows_of(*[1, 2, 3] * 3)], [8, 8]),
    "a fixed number of rows, all of them": (EIGHT, {}, [rows_of(*[1, 2] * 4), rows_of(*[2, 3] * 4)], [8, 8]),
}  # fmt: skip


@pytest.mark.parametrize("on_thread", [False, True], ids=["loop", "thread"])
@pytest.mark.parametrize("what", TABLE)
async def test_each_caller_gets_its_own_rows_in_as_few_runs_as_the_version_allows(
    what: str, on_thread: bool, make: Make
) -> None:
    content, wishes, requests, runs = TABLE[what]
    lane, seen = make(content, on_thread=on_thread, **wishes)
    mixes = content is MIXING

    callers = [Caller(lane, tensor) for tensor in requests]
    answers = [(await caller.outputs())[0] for caller in callers]

    assert [answer.shape for answer in answers] == [tensor.shape for tensor in requests]
    if not mixes:
        assert all(np.array_equal(answer, tensor + 1) for answer, tensor in zip(answers, requests, strict=True))
    assert seen == runs


@pytest.mark.parametrize("on_thread", [False, True], ids=["loop", "thread"])
@pytest.mark.parametrize(("rows", "wishes", "runs"), [("n", {}, [3, 1, 1, 1]), (8, {"pad": True}, [8, 8, 8, 8])])
async def test_a_row_that_the_runtime_fails_on_fails_alone(
    rows: int | str, wishes: dict[str, Any], runs: list[int], on_thread: bool, make: Make
) -> None:
    lane, seen = make(table(rows), on_thread=on_thread, **wishes)

    callers = [Caller(lane, rows_of(number)) for number in (1, POISON, 3)]
    before, poisoned, after = [await caller.result() for caller in callers]

    assert isinstance(poisoned, ModelFailed)
    assert isinstance(before, list)
    assert isinstance(after, list)
    assert [before[0][0, 0], after[0][0, 0]] == [2, 4]
    assert seen == runs


async def test_a_caller_that_left_has_no_row_in_the_run(make: Make) -> None:
    lane, seen = make(PLUS)
    callers = [Caller(lane, rows_of(number)) for number in (1, 2, 3)]

    callers[1].leave()
    answers = [(await callers[place].outputs())[0] for place in (0, 2)]

    assert seen == [2]
    assert [answer[0, 0] for answer in answers] == [2, 4]


async def test_a_version_waits_for_company_only_as_long_as_it_says(make: Make) -> None:
    (patient, together), (quick, alone) = make(PLUS, max_delay_ms=15.0), make(PLUS)

    for lane in (patient, quick):
        first = Caller(lane, rows_of(1))
        await asyncio.sleep(0.001)
        second = Caller(lane, rows_of(2))
        await asyncio.gather(first.outputs(), second.outputs())

    assert (together, alone) == ([2], [1, 1])


async def test_versions_never_share_a_run(make: Make) -> None:
    (one, of_one), (two, of_two) = make(PLUS), make(graphs.plus(2))

    callers = [Caller(lane, rows_of(5)) for lane in (one, two, one, two)]
    answers = [float((await caller.outputs())[0][0, 0]) for caller in callers]

    assert answers == [6, 7, 6, 7]
    assert (of_one, of_two) == ([2], [2])


async def test_a_busy_version_lets_another_one_run_between_its_batches(make: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.serving.batching.TURN_SECONDS", 0.0)
    (busy, _), (other, _) = make(MIXING), make(PLUS)
    order: list[str] = []

    callers = [Caller(busy, rows_of(1), told=lambda: order.append("busy")) for _ in range(50)]
    callers.append(Caller(other, rows_of(1), told=lambda: order.append("other")))
    await asyncio.gather(*[caller.outputs() for caller in callers])

    assert order.index("other") <= 3
    assert len(order) == 51


async def test_what_is_left_of_a_turn_is_run_though_nothing_more_arrives(make: Make, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.serving.batching.TURN_SECONDS", 0.0)
    lane, seen = make(MIXING)

    callers = [Caller(lane, rows_of(1)) for _ in range(5)]
    for caller in callers:
        await caller.outputs()
    await a_turn()

    assert seen == [1] * 5
    assert lane.version.in_flight == 0
