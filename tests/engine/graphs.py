"""Small ONNX files, each with one property that a test needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
pytest.importorskip("onnx", reason="ONNX files are built with the `convert` extra")

from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOAT: Final[int] = TensorProto.FLOAT
INT32: Final[int] = TensorProto.INT32
INT64: Final[int] = TensorProto.INT64
STRING: Final[int] = TensorProto.STRING
BFLOAT16: Final[int] = TensorProto.BFLOAT16
INT4: Final[int] = TensorProto.INT4
BOOL: Final[int] = TensorProto.BOOL

KINDS: Final[dict[str, int]] = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}

node = helper.make_node


def value(name: str, kind: int = FLOAT, shape: Sequence[int | str | None] | None = ("n", 3)) -> Any:
    """Return the declaration of an input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def weights(name: str, numbers: Sequence[float], shape: Sequence[int], kind: int = FLOAT) -> Any:
    """Return an initializer."""
    return helper.make_tensor(name, kind, shape, numbers)


def proto(nodes: Any, inputs: Any, outputs: Any, *, tensors: Any = (), opset: int = 21, ir: int = 10) -> Any:
    """Return a model that its test may still break."""
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(tensors))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)], ir_version=ir
    )


def graph(*nodes: Any, inputs: Any = (), outputs: Any = (), tensors: Any = (), opset: int = 21, ir: int = 10) -> bytes:
    """Return the bytes of a model; x and y are float [n, 3] unless given."""
    built = proto(nodes, inputs or [value("x")], outputs or [value("y")], tensors=tensors, opset=opset, ir=ir)
    content: bytes = built.SerializeToString()
    return content


def identity(kind: int = FLOAT, shape: Sequence[int | str | None] = ("n", 3)) -> bytes:
    """y = x."""
    return graph(node("Identity", ["x"], ["y"]), inputs=[value("x", kind, shape)], outputs=[value("y", kind, shape)])


def plus(number: float) -> bytes:
    """y = x + number: versions that can be told apart by what they answer."""
    return graph(node("Add", ["x", "w"], ["y"]), tensors=[weights("w", [number], [1])])


def mean_over_the_batch() -> bytes:
    """y = x - mean(x over the rows): each row depends on the others."""
    axes = weights("axes", [0], [1], INT64)
    return graph(node("ReduceMean", ["x", "axes"], ["m"]), node("Sub", ["x", "m"], ["y"]), tensors=[axes])


def logarithm() -> bytes:
    """y = log(-1 - x): NaN for what a warm-up sends."""
    one = weights("one", [-1.0], [1])
    return graph(node("Sub", ["one", "x"], ["d"]), node("Log", ["d"], ["y"]), tensors=[one])


def gather(rows: int) -> bytes:
    """y = the row x of a table with *rows* rows; other indices are an error."""
    table = weights("table", [float(each) for each in range(rows * 2)], [rows, 2])
    return graph(
        node("Gather", ["table", "x"], ["y"]),
        inputs=[value("x", INT64, ["n"])],
        outputs=[value("y", FLOAT, ["n", 2])],
        tensors=[table],
    )


def ten_divided() -> bytes:
    """y = 10 / x in integers: 0 is an error."""
    ten = weights("ten", [10], [1], INT64)
    return graph(
        node("Div", ["ten", "x"], ["y"]),
        inputs=[value("x", INT64, ["n", 1])],
        outputs=[value("y", INT64, ["n", 1])],
        tensors=[ten],
    )


def with_external_data(**entries: str) -> bytes:
    """y = x + w, where w lies where *entries* (location, offset, length) say."""
    built = proto([node("Add", ["x", "w"], ["y"])], [value("x")], [value("y")], tensors=[external("w", **entries)])
    content: bytes = built.SerializeToString()
    return content


def external(name: str, **entries: str) -> Any:
    """Return a tensor of three floats that is kept elsewhere."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, text in entries.items():
        tensor.external_data.add(key=key, value=text)
    return tensor


def heavy(megabytes: int) -> bytes:
    """y = x · w with weights of that size."""
    width = 1024
    length = megabytes * 1024 * 1024 // 4 // width
    tensor = TensorProto(
        name="w", data_type=FLOAT, dims=[width, length], raw_data=b"\x00\x00\x80\x3f" * (width * length)
    )
    return graph(
        node("MatMul", ["x", "w"], ["y"]),
        inputs=[value("x", FLOAT, ["n", width])],
        outputs=[value("y", FLOAT, ["n", length])],
        tensors=[tensor],
    )
