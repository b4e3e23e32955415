"""What another execution provider gives: run time and numbers beside the processor's, in this process, in turns.

    python -m load_tests.providers --providers cuda,cpu [--rounds 21]

Loads each model twice through the gateway's engine, warms both as the gateway does, and runs batches of rows in turns.
``speed`` is the processor's median over the provider's; ``difference`` the largest between both answers, as a part of
the largest number in the answer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import TensorProto, helper

from gateway.core.providers import CPU, read_providers
from gateway.engine.onnx import OnnxEngine
from gateway.models.metadata import Serving
from gateway.models.warmup import warm_up
from load_tests.images import convolution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.engine import Session

IMAGE: Final = (3, 224, 224)
BATCHES: Final = (1, 8, 32)
CHANNELS: Final = (64, 64, 128, 128, 256, 256, 512, 512)
"""Of the blocks of the large network; at each doubling the image is halved, as in a residual network of 18 layers."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row per model and batch."""
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.providers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--providers", default="cuda,cpu", help="first choice first (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=21, help="runs of each, in turns (default: %(default)s)")
    given = parser.parse_args(arguments)
    wanted = read_providers(given.providers.split(","))
    cores = len(os.sched_getaffinity(0))
    print(f"{given.providers} beside {CPU} with 1 and with {cores} threads, median of {given.rounds} runs, ms")
    print(f"{'model':>12} {'rows':>5} {wanted[0]:>9} {'1 thread':>9} {'all':>9} {'speed':>7} {'difference':>11}")
    for name, content in {"small": convolution(), "large": residual()}.items():
        sessions = [_load(content, wanted, 1), _load(content, (CPU,), 1), _load(content, (CPU,), cores)]
        for rows in BATCHES:
            _row(name, rows, sessions, given.rounds)
    return 0


def residual() -> bytes:
    """Return a network of the shape of ResNet-18 over [n, 3, 224, 224]; its weights are random and keep the scale."""
    random = np.random.default_rng(1)
    nodes: list[Any] = []
    tensors: list[Any] = []

    def convolve(of: str, to: str, before: int, after: int, size: int, stride: int) -> str:
        values = (random.standard_normal((after, before, size, size)) * (before * size * size) ** -0.5).astype("f4")
        tensors.append(helper.make_tensor(f"w_{to}", TensorProto.FLOAT, values.shape, values.tobytes(), raw=True))
        around = [size // 2] * 4
        nodes.append(helper.make_node("Conv", [of, f"w_{to}"], [to], strides=[stride, stride], pads=around))
        return to

    def follow(kind: str, of: Sequence[str], to: str) -> str:
        nodes.append(helper.make_node(kind, of, [to]))
        return to

    at = follow("Relu", [convolve("input", "stem", 3, 64, 7, 4)], "stem_r")
    before = 64
    for index, after in enumerate(CHANNELS):
        stride = 2 if after != before else 1
        one = follow("Relu", [convolve(at, f"a{index}", before, after, 3, stride)], f"a{index}_r")
        two = convolve(one, f"b{index}", after, after, 3, 1)
        beside = at if stride == 1 else convolve(at, f"s{index}", before, after, 1, stride)
        at = follow("Relu", [follow("Add", [two, beside], f"c{index}")], f"c{index}_r")
        before = after
    follow("Flatten", [follow("GlobalAveragePool", [at], "pool")], "output")
    graph = helper.make_graph(
        nodes, "residual",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", *IMAGE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", before])],
        tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _load(content: bytes, providers: Sequence[str], threads: int) -> Session:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        path.write_bytes(content)
        session = OnnxEngine().load(path, model="measured", version=1, threads=threads, providers=providers)
    proven = warm_up(session, Serving())
    if not proven.batchable:
        print(
            f"  on {providers[0]} the rows of a batch cannot be told apart from the same rows alone: {proven.why_not}"
        )
    return session


def _row(name: str, rows: int, sessions: Sequence[Session], rounds: int) -> None:
    feeds = {"input": np.random.default_rng(rows).random((rows, *IMAGE), np.float32)}
    taken: list[list[float]] = [[] for _ in sessions]
    answers: list[Any] = [session.run(feeds)[0] for session in sessions]  # the first run of a shape chooses kernels
    for _ in range(rounds):
        for session, times in zip(sessions, taken, strict=True):
            began = time.perf_counter()
            session.run(feeds)
            times.append(time.perf_counter() - began)
    device, one, all_threads = (statistics.median(times) * 1000 for times in taken)
    difference = np.abs(answers[0] - answers[1]).max() / np.abs(answers[1]).max()
    print(
        f"{name:>12} {rows:>5} {device:>9.2f} {one:>9.2f} {all_threads:>9.2f} {one / device:>7.1f} {difference:>11.1e}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
