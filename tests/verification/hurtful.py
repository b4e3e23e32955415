"""Real model files that hurt whoever loads or warms them, and what asks for their probe."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from onnx import helper

from gateway.models.metadata import Metadata, Serving, wishes_text
from gateway.ports.engine import Candidate
from tests.engine.graphs import BOOL, INT64, graph, node, value, weights

if TYPE_CHECKING:
    from pathlib import Path


def crashing_at_load() -> bytes:
    """Divide the smallest integer by -1 while constants are folded: SIGFPE."""
    return graph(
        node("Div", ["small", "minus"], ["w"]),
        node("Add", ["x", "w"], ["y"]),
        inputs=[value("x", INT64, ["n"])],
        outputs=[value("y", INT64, ["n"])],
        tensors=[weights("small", [-(2**63)], [1], INT64), weights("minus", [-1], [1], INT64)],
    )


def crashing_in_warm_up() -> bytes:
    """Divide the smallest integer by the shape of what came, less two: -1 for one row."""
    return graph(
        node("Shape", ["x"], ["rows"], start=0, end=1),
        node("Sub", ["rows", "two"], ["minus"]),
        node("Div", ["small", "minus"], ["w"]),
        node("Add", ["x", "w"], ["y"]),
        inputs=[value("x", INT64, ["n"])],
        outputs=[value("y", INT64, ["n"])],
        tensors=[weights("small", [-(2**63)], [1], INT64), weights("two", [2], [1], INT64)],
    )


def slow_to_load(side: int = 4500) -> bytes:
    """Multiply two matrices that are *side* wide while constants are folded."""
    return graph(
        node("ConstantOfShape", ["shape"], ["m"], value=weights("one", [1.0], [1])),
        node("MatMul", ["m", "m"], ["p"]),
        node("ReduceMax", ["p"], ["w"], keepdims=0),
        node("Add", ["x", "w"], ["y"]),
        tensors=[weights("shape", [side, side], [2], INT64)],
    )


def endless_in_warm_up() -> bytes:
    """Go 10^12 times round a loop, which can be stopped between two rounds."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["goes"]), node("Identity", ["v"], ["w"])],
        "body",
        [value("i", INT64, []), value("go", BOOL, []), value("v")],
        [value("goes", BOOL, []), value("w")],
    )
    return graph(
        node("Loop", ["rounds", "yes", "x"], ["y"], body=body),
        tensors=[weights("rounds", [10**12], [], INT64), weights("yes", [1], [], BOOL)],
    )


def unstoppable_in_warm_up(side: int = 6000) -> bytes:
    """Multiply two matrices per run, whose width only a run knows: nothing ends that before it is done."""
    return graph(
        node("Shape", ["x"], ["rows"], start=0, end=1),
        node("Mul", ["rows", "side"], ["wide"]),
        node("Concat", ["wide", "wide"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["m"], value=weights("one", [1.0], [1])),
        node("MatMul", ["m", "m"], ["p"]),
        node("ReduceMax", ["p"], ["w"], keepdims=0),
        node("Add", ["x", "w"], ["y"]),
        tensors=[weights("side", [side], [1], INT64)],
    )


def hungry(gigabytes: int) -> bytes:
    """Fill so much memory with ones in each run."""
    length = gigabytes * 2**30 // 4
    return graph(
        node("Shape", ["x"], ["rows"], start=0, end=1),
        node("Mul", ["rows", "long"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["m"], value=weights("one", [1.0], [1])),
        node("ReduceMax", ["m"], ["w"], keepdims=0),
        node("Add", ["x", "w"], ["y"]),
        tensors=[weights("long", [length], [1], INT64)],
    )


def candidate(directory: Path, content: bytes, *, serving: Serving | None = None, threads: int = 1) -> Candidate:
    """Write *content* to a file and return what asks for its probe."""
    digest = hashlib.sha256(content).hexdigest()
    path = directory / f"{digest}.onnx"
    path.write_bytes(content)
    return Candidate(str(path), digest, "fraud", 3, threads, wishes_text(Metadata(serving=serving or Serving())))
