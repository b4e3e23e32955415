"""Models that hurt whoever runs them with the wrong input, and the bodies of requests to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx import helper

from tests.engine.graphs import BOOL, FLOAT, INT64, gather, graph, node, value, weights

if TYPE_CHECKING:
    from collections.abc import Sequence


def divided(op: str = "Div", kind: int = INT64) -> bytes:
    """y = x / z: the smallest integer divided by -1 is SIGFPE."""
    shape: Sequence[int | str] = ["n", 1]
    return graph(
        node(op, ["x", "z"], ["y"], name="divide"),
        inputs=[value("x", kind, shape), value("z", kind, shape)],
        outputs=[value("y", kind, shape)],
    )


def endless() -> bytes:
    """y = x after x rounds of a loop: with 10^12 it ends never, and the runtime can stop it between two rounds."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["goes"]), node("Identity", ["v"], ["w"])],
        "body",
        [value("i", INT64, []), value("go", BOOL, []), value("v", INT64, ["n"])],
        [value("goes", BOOL, []), value("w", INT64, ["n"])],
    )
    return graph(
        node("ReduceMax", ["x"], ["trips"], keepdims=0),
        node("Loop", ["trips", "yes", "x"], ["y"], body=body),
        inputs=[value("x", INT64, ["n"])],
        outputs=[value("y", INT64, ["n"])],
        tensors=[weights("yes", [1], [], BOOL)],
    )


def counted() -> bytes:
    """y = x, at once."""
    return graph(node("Identity", ["x"], ["y"]), inputs=[value("x", INT64, ["n"])], outputs=[value("y", INT64, ["n"])])


def trips_request(trips: int) -> dict[str, Any]:
    """Return the body of a request for so many rounds."""
    return {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [trips]}]}


def unstoppable() -> bytes:
    """y = the product of two matrices that are x wide: one operator that nothing ends before it is done."""
    return graph(
        node("ReduceMax", ["x"], ["width"], keepdims=0),
        node("Unsqueeze", ["width", "zero"], ["side"]),
        node("Concat", ["side", "side"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["m"], value=weights("one", [1.0], [1])),
        node("MatMul", ["m", "m"], ["p"]),
        node("ReduceMax", ["p"], ["y"], keepdims=0),
        inputs=[value("x", INT64, ["n"])],
        outputs=[value("y", FLOAT, [])],
        tensors=[weights("zero", [0], [1], INT64)],
    )


def width_request(width: int) -> dict[str, Any]:
    """Return the body of a request for matrices that wide."""
    return trips_request(width)


def lookup() -> bytes:
    """y = the row x of a table with four rows."""
    return gather(4)
