"""A graph with a fixed number of rows, behind runs of any number of them, on the real runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import InvalidModel, ModelFailed
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.engine.onnx import OnnxEngine
from gateway.models.adapting import adapted
from gateway.models.metadata import Metadata, Serving
from gateway.models.padding import PaddedSession, padded
from gateway.models.warmup import warm_up
from tests.engine import graphs
from tests.engine.graphs import INT64, node, value, weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.ports.engine import Session, Tensor

    Load = Callable[[bytes], Session]

EIGHT = value("x", shape=(8, 3)), value("y", shape=(8, 3))


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def made(content: bytes) -> Session:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        return OnnxEngine().load(path, model="fraud", version=1, threads=1)

    return made


def plus_one(rows: int = 8, out: int | str | None = None) -> bytes:
    """y = x + 1 over exactly so many rows."""
    inputs, outputs = [value("x", shape=(rows, 3))], [value("y", shape=(rows if out is None else out, 3))]
    return graphs.graph(
        node("Add", ["x", "w"], ["y"]), inputs=inputs, outputs=outputs, tensors=[weights("w", [1.0], [1])]
    )


def uneven() -> bytes:
    """Eight rows in one place, four in another."""
    sides = [[value(f"{name}{rows}", shape=(rows, 3)) for rows in (8, 4)] for name in "xy"]
    return graphs.graph(*[node("Identity", [f"x{n}"], [f"y{n}"]) for n in (8, 4)], inputs=sides[0], outputs=sides[1])


def numbered(count: int) -> Tensor:
    return np.arange(3 * count, dtype=np.float32).reshape(count, 3)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16, 21])
def test_any_number_of_rows_gets_the_answers_of_exactly_these_rows(count: int, load: Load) -> None:
    session = padded(load(plus_one()), model="fraud", version=1)

    [answer] = session.run({"x": numbered(count)})

    assert np.array_equal(answer, numbered(count) + 1)


@pytest.mark.parametrize(("count", "runs"), [(1, 1), (8, 1), (9, 2), (24, 3)])
def test_a_run_takes_as_few_runs_of_the_graph_as_it_can(count: int, runs: int) -> None:
    seen: list[Tensor] = []
    session = PaddedSession(_Counting(seen), 8, model="fraud", version=1)

    session.run({"x": numbered(count)})

    assert [len(each) for each in seen] == [8] * runs


def test_texts_are_filled_up_too() -> None:
    session = PaddedSession(_Counting([]), 4, model="fraud", version=1)

    [answer] = session.run({"x": np.array([["a"], ["b"]], object)})

    assert answer.tolist() == [["a"], ["b"]]


@pytest.mark.parametrize("out", [8, "n"])
def test_callers_see_a_first_axis_that_is_free(out: int | str, load: Load) -> None:
    session, serving = adapted(load(plus_one(out=out)), Metadata(serving=Serving(pad=True)), model="fraud", version=1)

    assert [spec.shape for spec in (*session.signature.inputs, *session.signature.outputs)] == [(FREE, 3)] * 2
    assert serving.max_batch_rows == 8
    assert warm_up(session, serving).batchable


def test_a_smaller_maximum_of_rows_stays(load: Load) -> None:
    _, serving = adapted(
        load(plus_one()), Metadata(serving=Serving(pad=True, max_batch_rows=5)), model="fraud", version=1
    )

    assert serving.max_batch_rows == 5


MIXING: dict[str, bytes] = {
    "mean over the batch": graphs.graph(
        node("ReduceMean", ["x", "axis"], ["m"], keepdims=1), node("Sub", ["x", "m"], ["y"]),
        inputs=EIGHT[:1], outputs=EIGHT[1:], tensors=[weights("axis", [0], [1], INT64)],
    ),
    "sum that runs over the batch": graphs.graph(
        node("CumSum", ["x", "axis"], ["y"]), inputs=EIGHT[:1], outputs=EIGHT[1:],
        tensors=[weights("axis", [0], [], INT64)],
    ),
    "something of its own for each place": graphs.graph(
        node("Add", ["x", "w"], ["y"]), inputs=EIGHT[:1], outputs=EIGHT[1:],
        tensors=[weights("w", range(8), [8, 1])],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MIXING)
def test_a_graph_whose_rows_depend_on_each_other_is_not_filled_up(what: str, load: Load) -> None:
    session, serving = adapted(load(MIXING[what]), Metadata(serving=Serving(pad=True)), model="fraud", version=1)

    with pytest.raises(InvalidModel, match=r"serving\.pad: output 'y' of a row depends on .* take it out") as caught:
        warm_up(session, serving)
    assert caught.value.code == "warm_up"


@pytest.mark.parametrize(
    "content",
    [graphs.identity(), graphs.identity(shape=(1, 3)), graphs.identity(shape=()), uneven()],
    ids=["free", "one row", "scalar", "not the same number everywhere"],
)
def test_what_has_no_fixed_number_of_rows_is_not_filled_up(content: bytes, load: Load) -> None:
    with pytest.raises(InvalidModel, match=r"serving\.pad: the first axes .* take it out") as caught:
        padded(load(content), model="fraud", version=1)
    assert caught.value.code == "bad_metadata"


@pytest.mark.parametrize("feeds", [{}, {"x": numbered(0)}, {"x": numbered(2), "z": numbered(3)}], ids=str)
def test_a_run_without_rows_or_of_uneven_inputs_fails_as_the_port_says(feeds: Mapping[str, Tensor]) -> None:
    session = PaddedSession(_Counting([]), 8, model="fraud", version=1)

    with pytest.raises(ModelFailed):
        session.run(feeds)


def test_a_graph_that_answers_another_number_of_rows_fails_rather_than_shifting_them() -> None:
    session = PaddedSession(_Counting([], drops=1), 8, model="fraud", version=1)

    with pytest.raises(ModelFailed, match="another number"):
        session.run({"x": numbered(2)})


class _Counting:
    """Implements ``ports.Session``: answers its input, less the first *drops* rows; remembers each run."""

    def __init__(self, seen: list[Tensor], drops: int = 0) -> None:
        spec = TensorSpec("x", "FP32", (8, 3))
        self.signature = Signature((spec,), (replace(spec, name="y"),))
        self.warning = ""
        self._seen = seen
        self._drops = drops

    def run(self, feeds: Mapping[str, Any]) -> list[Tensor]:
        self._seen.append(feeds["x"])
        return [feeds["x"][self._drops :]]

    def stop(self) -> None: ...

    def pool_seconds(self) -> float:
        return 0.0
