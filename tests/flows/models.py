"""Small repositories whose models say in their output which version they are: the third of three counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx import helper

from tests.engine import graphs
from tests.engine.graphs import BOOL, FLOAT, INT64, node, value

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MODEL = "echo"


def tagged(version: int) -> bytes:
    """y = x, and *version* once per row."""
    number = graphs.weights("number", [version], [1], INT64)
    return graphs.graph(
        node("Identity", ["x"], ["y"]),
        node("Shape", ["x"], ["rows"], start=0, end=1),
        node("ConstantOfShape", ["rows"], ["version"], value=number),
        inputs=[value("x", shape=["n", 2])],
        outputs=[value("y", shape=["n", 2]), value("version", INT64, ["n"])],
    )


def crashing(version: int) -> bytes:
    """Like ``tagged`` where the largest number of each row is below 1, as in a warm-up; every other run fails."""
    return graphs.graph(
        node("Identity", ["x"], ["y"]),
        node("ReduceMax", ["x", "last"], ["largest"], keepdims=0),
        node("Cast", ["largest"], ["row"], to=INT64),
        node("Gather", ["table", "row"], ["version"]),
        inputs=[value("x", shape=["n", 2])],
        outputs=[value("y", shape=["n", 2]), value("version", INT64, ["n"])],
        tensors=[graphs.weights("last", [1], [1], INT64), graphs.weights("table", [version], [1], INT64)],
    )


def busy(version: int, rounds: int) -> bytes:
    """Like ``tagged``, after so many *rounds* of a loop: about 2 µs each."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["goes"]), node("Neg", ["v"], ["w"])],
        "body",
        [value("i", INT64, []), value("go", BOOL, []), value("v", shape=["n", 2])],
        [value("goes", BOOL, []), value("w", shape=["n", 2])],
    )
    return graphs.graph(
        node("Loop", ["rounds", "yes", "x"], ["y"], body=body),
        node("Shape", ["x"], ["rows"], start=0, end=1),
        node("ConstantOfShape", ["rows"], ["version"], value=graphs.weights("number", [version], [1], INT64)),
        inputs=[value("x", shape=["n", 2])],
        outputs=[value("y", shape=["n", 2]), value("version", INT64, ["n"])],
        tensors=[graphs.weights("rounds", [rounds], [], INT64), graphs.weights("yes", [1], [], BOOL)],
    )


def request(numbers: Iterable[float]) -> dict[str, Any]:
    """Return the body of a request to a tagged model; two *numbers* make a row."""
    data = list(numbers)
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(data) // 2, 2], "data": data}]}


def publish(root: Path, version: int, content: bytes | None = None, *, model: str = MODEL) -> Path:
    """Put a version into the repository *root*, as one that is copied there, and return its file."""
    directory = root / model / str(version)
    directory.mkdir(parents=True)
    file = directory / "model.onnx"
    file.write_bytes(tagged(version) if content is None else content)
    return file


def repository(root: Path, versions: Iterable[int]) -> Path:
    """Return a new repository with these versions of MODEL."""
    for version in versions:
        publish(root, version)
    return root


def route_file(directory: Path, text: str, *, model: str = MODEL) -> Path:
    """Return *directory* with one route file of MODEL; *text* is what follows its name."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{model}.yaml").write_text(f"model: {model}\n{text}\n")
    return directory


def failing_every(version: int, nth: int) -> bytes:
    """Like ``tagged``; fails where the largest number of the first row is one below a multiple of *nth*."""
    return graphs.graph(
        node("Identity", ["x"], ["y"]),
        node("ReduceMax", ["x", "last"], ["largest"], keepdims=0),
        node("Cast", ["largest"], ["whole"], to=INT64),
        node("Mod", ["whole", "nth"], ["place"]),
        node("Gather", ["table", "place"], ["version"]),
        inputs=[value("x", shape=["n", 2])],
        outputs=[value("y", shape=["n", 2]), value("version", INT64, ["n"])],
        tensors=[
            graphs.weights("last", [1], [1], INT64),
            graphs.weights("nth", [nth], [1], INT64),
            graphs.weights("table", [version] * (nth - 1), [nth - 1], INT64),
        ],
    )


def nowhere_finite(version: int) -> bytes:
    """Like ``tagged``, but y is the root of 1 − x: NaN for all that is larger than in a warm-up."""
    number = graphs.weights("number", [version], [1], INT64)
    return graphs.graph(
        node("Sub", ["one", "x"], ["below"]),
        node("Sqrt", ["below"], ["y"]),
        node("Shape", ["x"], ["rows"], start=0, end=1),
        node("ConstantOfShape", ["rows"], ["version"], value=number),
        inputs=[value("x", shape=["n", 2])],
        outputs=[value("y", shape=["n", 2]), value("version", INT64, ["n"])],
        tensors=[graphs.weights("one", [1], [], FLOAT)],
    )


def hanging(version: int) -> bytes:
    """Like ``tagged``, after ten million rounds of a loop per unit of the largest number: none in a warm-up."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["goes"]), node("Neg", ["v"], ["w"])],
        "body",
        [value("i", INT64, []), value("go", BOOL, []), value("v", shape=["n", 2])],
        [value("goes", BOOL, []), value("w", shape=["n", 2])],
    )
    return graphs.graph(
        node("ReduceMax", ["x"], ["largest"], keepdims=0),
        node("Cast", ["largest"], ["whole"], to=INT64),
        node("Mul", ["whole", "many"], ["rounds"]),
        node("Loop", ["rounds", "yes", "x"], ["y"], body=body),
        node("Shape", ["x"], ["rows"], start=0, end=1),
        node("ConstantOfShape", ["rows"], ["version"], value=graphs.weights("number", [version], [1], INT64)),
        inputs=[value("x", shape=["n", 2])],
        outputs=[value("y", shape=["n", 2]), value("version", INT64, ["n"])],
        tensors=[graphs.weights("many", [10_000_000], [], INT64), graphs.weights("yes", [1], [], BOOL)],
    )
