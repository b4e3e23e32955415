"""The ONNX Runtime as an engine: what it takes, what it refuses and in whose words."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import InvalidSettings, ModelFailed, RunStopped
from gateway.core.signature import Signature, TensorSpec
from gateway.engine.onnx import DATATYPE_OF, OnnxEngine, OnnxSession
from tests.engine import graphs, killers
from tests.engine.graphs import FLOAT, STRING, node, value, weights

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES: dict[str, Any] = {"BOOL": [[True, False, True]], "BYTES": [["a", "ä", ""]]}


def load(content: bytes, directory: Path) -> OnnxSession:
    path = directory / "model.onnx"
    path.write_bytes(content)
    return OnnxEngine().load(path, model="fraud", version=3, threads=1)


def row(datatype: str) -> Any:
    floats = {"FP16": np.float16, "BF16": np.float32, "FP32": np.float32, "FP64": np.float64}
    kind = {"BYTES": object, "BOOL": bool, **floats}
    return np.array(SAMPLES.get(datatype, [[1, 2, 3]]), dtype=kind.get(datatype, datatype.lower()))


@pytest.mark.parametrize("datatype", graphs.KINDS)
def test_every_datatype_goes_in_and_comes_out_as_itself(datatype: str, tmp_path: Path) -> None:
    session = load(graphs.identity(graphs.KINDS[datatype]), tmp_path)

    (answer,) = session.run({"x": row(datatype)})

    assert session.signature.inputs == (TensorSpec("x", datatype, (-1, 3)),)
    assert answer.tolist() == row(datatype).tolist()


def test_every_datatype_of_the_protocol_has_one_type_of_the_runtime() -> None:
    assert sorted(DATATYPE_OF.values()) == sorted(graphs.KINDS)


def test_named_and_unknown_dimensions_are_free(tmp_path: Path) -> None:
    session = load(graphs.identity(shape=("n", None, 4)), tmp_path)

    assert session.signature.inputs[0].shape == (-1, -1, 4)
    assert session.signature.inputs[0].axes == ("n", "", "")


def test_outputs_come_in_the_order_of_the_signature(tmp_path: Path) -> None:
    nodes = [node("Neg", ["x"], ["a"]), node("Identity", ["x"], ["b"])]
    session = load(graphs.graph(*nodes, outputs=[value("b"), value("a")]), tmp_path)

    answers = session.run({"x": np.ones((1, 3), np.float32)})

    assert [spec.name for spec in session.signature.outputs] == ["b", "a"]
    assert [answer[0, 0] for answer in answers] == [1.0, -1.0]


def test_an_initializer_is_no_input(tmp_path: Path) -> None:
    content = graphs.graph(
        node("Add", ["x", "w"], ["y"]), inputs=[value("x"), value("w", shape=[1])], tensors=[weights("w", [1.0], [1])]
    )

    session = load(content, tmp_path)

    assert session.signature == Signature((TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "FP32", (-1, 3)),))


def test_an_input_that_the_model_cannot_take_is_a_failure_in_our_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    session = load(graphs.gather(3), tmp_path)

    with pytest.raises(ModelFailed) as caught:
        session.run({"x": np.array([9])})

    assert (caught.value.model, caught.value.version, caught.value.code) == ("fraud", 3, "model_error")
    assert "out of data bounds" in caplog.text
    assert "out of data bounds" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_session_serves_on_after_a_failure(tmp_path: Path) -> None:
    session = load(graphs.gather(3), tmp_path)

    with pytest.raises(ModelFailed):
        session.run({"x": np.array([9])})
    (answer,) = session.run({"x": np.array([1])})

    assert answer.tolist() == [[2.0, 3.0]]


def test_a_run_that_is_stopped_says_so_and_the_next_one_is_run(tmp_path: Path) -> None:
    session = load(killers.endless(), tmp_path)
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(session.run, {"x": np.array([10**12])})
        while not endless.done():
            session.stop()
            time.sleep(0.01)

    assert isinstance(endless.exception(), RunStopped)
    assert session.run({"x": np.array([3])})


def test_a_stop_that_comes_when_the_run_is_over_stops_no_later_one(tmp_path: Path) -> None:
    session = load(killers.endless(), tmp_path)

    session.stop()

    assert session.run({"x": np.array([3])})


@pytest.mark.parametrize("names", [(), ("q",), ("x", "q")])
def test_feeds_that_are_not_the_inputs_are_a_failure(names: tuple[str, ...], tmp_path: Path) -> None:
    session = load(graphs.identity(), tmp_path)

    with pytest.raises(ModelFailed):
        session.run({name: np.ones((1, 3), np.float32) for name in names})


def test_a_model_that_fails_all_the_time_writes_one_record_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = load(graphs.gather(3), tmp_path)

    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            with pytest.raises(ModelFailed):
                session.run({"x": np.array([9])})

    assert 1 <= len(caplog.records) <= 3


def test_threads_on_one_session_get_their_own_answers(tmp_path: Path) -> None:
    session = load(graphs.plus(1.0), tmp_path)

    def ask(number: int) -> bool:
        (answer,) = session.run({"x": np.full((2, 3), number, np.float32)})
        return bool((answer == number + 1).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(1000)))


def test_a_model_of_texts_keeps_no_arena(tmp_path: Path) -> None:
    text = load(graphs.identity(STRING), tmp_path)
    numbers = load(graphs.identity(FLOAT), tmp_path)

    assert not text._native.get_session_options().enable_cpu_mem_arena
    assert numbers._native.get_session_options().enable_cpu_mem_arena


def test_a_session_neither_spins_nor_takes_more_threads_than_given(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graphs.identity())

    options = OnnxEngine().load(path, model="fraud", version=1, threads=2)._native.get_session_options()

    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("version", ["1.30.0", "1.23.2", "0.9"])
def test_a_runtime_that_stops_the_traffic_while_it_loads_is_refused(version: str) -> None:
    with pytest.raises(InvalidSettings, match=r"onnxruntime>=1\.31"):
        OnnxEngine(runtime_version=version)


@pytest.mark.parametrize("version", ["1.31.0", "1.31.1", "1.32.0.dev20261101", "2.0"])
def test_a_runtime_that_is_new_enough_is_taken(version: str) -> None:
    OnnxEngine(runtime_version=version)


def test_the_environment_keeps_the_runtime_from_calling_home() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
