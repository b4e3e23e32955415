"""What is built before a fork holds after it: sessions with threads of their own, and no thread from before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.engine.kernels import IDENTITY

MODEL = Path(__file__).parents[2] / "models" / "breast-cancer" / "1" / "model.onnx"

FORKED = """
import json, os, sys
from pathlib import Path
import numpy
from gateway.engine.kernels import register_kernels
from gateway.engine.onnx import OnnxEngine

def answer(threads):
    session = OnnxEngine().load(Path(sys.argv[1]), model="m", version=1, threads=threads)
    feeds = {"input": numpy.full((64, 30), 0.5, dtype=numpy.float32)}
    return [output.tolist() for output in session.run(feeds)]

register_kernels()
alone = os.listdir("/proc/self/task") == [str(os.getpid())]
said = []
for threads in (1, 2):
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, json.dumps(answer(threads)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as child:
        said.append(json.loads(child.read()))
    os.wait()
print(json.dumps([alone, [each == answer(1) for each in said]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in Linux's /proc")
def test_sessions_of_a_fork_answer_as_those_of_any_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(MODEL)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, [True, True]]


def test_the_model_that_is_built_for_its_kernels_is_a_valid_one() -> None:
    onnx = pytest.importorskip("onnx")

    model = onnx.load_from_string(IDENTITY)

    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Identity"]
