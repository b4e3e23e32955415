"""Finds the integer divisions of a graph that a caller's numbers can turn into the end of the process.

The smallest 32- or 64-bit integer divided by -1 has no answer, and the processor traps: SIGFPE. The runtime catches
a zero and not this. A division is harmless where its divisor is a constant without -1, or where its datatype
is not one of the two; types are followed only as far as they are certain, so a doubtful one is named.

Source: field numbers from onnx.proto, IR version 13.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from gateway.engine.onnx_file import Walk

OPERATORS: Final = frozenset((b"Div", b"Mod"))
OPERATOR_BYTES: Final = 3
"""The two that divide, as ``NodeProto.op_type`` says it, and how long either word is."""

TRAPPING: Final[dict[int, np.dtype[np.signedinteger[Any]]]] = {6: np.dtype("<i4"), 7: np.dtype("<i8")}
"""INT32 and INT64. The narrower ones are divided as wider ones; measured with onnxruntime 1.31."""

MAX_CONSTANT_BYTES: Final = 1 << 20
"""A larger constant is not looked through."""

_FLOAT: Final = 1
_INT64: Final = 7
_BOOL: Final = 9

_AS_FIRST_INPUT: Final = frozenset(
    (  # noqa: SIM905 - a list literal is seventy lines long
        "Abs Add AveragePool BatchNormalization Ceil Clip Concat Conv CumSum Div Dropout Elu Erf Exp Expand Flatten "
        "Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool HardSigmoid Identity InstanceNormalization "
        "LayerNormalization LeakyRelu Log LogSoftmax MatMul Max Mean Min Mod Mul Neg Pad Pow Reciprocal ReduceL1 "
        "ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape "
        "Resize Round Sigmoid Sign Sin Cos Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu "
        "Unsqueeze"
    ).split()
)
_INTEGERS: Final = ("Shape", "Size", "NonZero", "ArgMax", "ArgMin")
_TRUTHS: Final = ("And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or")
_REALS: Final = ("Normalizer", "Scaler", "LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor")
_ALWAYS: Final = {
    **dict.fromkeys(_INTEGERS, _INT64),
    **dict.fromkeys(_TRUTHS, _BOOL),
    **dict.fromkeys(_REALS, _FLOAT),
}


@dataclass(slots=True)
class _Node:
    """One node; *kind* is the datatype that an attribute gives its output (Cast, Constant), 0 for none."""

    name: str = ""
    op: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    graphs: list[tuple[int, int]] = field(default_factory=list)
    kind: int = 0
    is_harmless_constant: bool = False
    uses_fmod: bool = False


class _Scope:
    """The names that a graph sees: its own, and those of the graphs around it."""

    def __init__(self, kinds: MutableMapping[str, int], harmless: MutableMapping[str, bool]) -> None:
        self.kinds = kinds
        self.harmless = harmless

    def inner(self) -> _Scope:
        return _Scope(ChainMap({}, self.kinds), ChainMap({}, self.harmless))


def find(walk: Walk, start: int, end: int) -> list[str]:
    """Return the names of the dangerous divisions of the model in ``data[start:end]``, in the order of the file."""
    found: list[str] = []
    for number, at, length in walk.fields("model", start, end):
        if length >= 0 and number == 7:
            _graph(walk, at, at + length, _Scope({}, {}), found)
        elif length >= 0 and number == 25:
            _function(walk, at, at + length, found)
    return found


def _function(walk: Walk, start: int, end: int, found: list[str]) -> None:
    """Look through a local function, whose types depend on who calls it."""
    fields = walk.fields("function", start, end)
    nodes = [(at, at + length) for number, at, length in fields if number == 7 and length >= 0]
    _nodes(walk, nodes, _Scope({}, {}), found)


def _graph(walk: Walk, start: int, end: int, scope: _Scope, found: list[str]) -> None:
    nodes: list[tuple[int, int]] = []
    for number, at, length in walk.fields("graph", start, end):
        if length < 0:
            continue
        if number == 1:
            nodes.append((at, at + length))
        elif number == 5:
            name, kind, harmless = _tensor(walk, at, at + length)
            scope.kinds[name] = kind
            scope.harmless[name] = harmless
        elif number in (11, 12, 13):  # inputs, outputs and what is said of values between them
            name, kind = _value(walk, at, at + length)
            if kind:
                scope.kinds.setdefault(name, kind)
    _nodes(walk, nodes, scope, found)


def _nodes(walk: Walk, nodes: list[tuple[int, int]], scope: _Scope, found: list[str]) -> None:
    for start, end in nodes:
        node = _node(walk, start, end)
        if node.op in ("Div", "Mod") and not node.uses_fmod and not _is_harmless(node, scope):
            found.append(node.name or f"{node.op} that makes {', '.join(node.outputs)}")
        for begin, stop in node.graphs:
            _graph(walk, begin, stop, scope.inner(), found)
        kind = _kind(node, scope.kinds)
        for output in node.outputs:
            scope.harmless[output] = node.is_harmless_constant
            if kind:
                scope.kinds[output] = kind


def _is_harmless(node: _Node, scope: _Scope) -> bool:
    if len(node.inputs) == 2 and scope.harmless.get(node.inputs[1], False):
        return True
    kinds = {scope.kinds.get(name, 0) for name in (*node.inputs, *node.outputs)} - {0}
    return bool(kinds) and kinds.isdisjoint(TRAPPING)


def _kind(node: _Node, kinds: Mapping[str, int]) -> int:
    """Return the datatype of a node's outputs where it is certain, else 0."""
    if node.op in ("Cast", "Constant", "ConstantOfShape"):
        return node.kind or (_FLOAT if node.op == "ConstantOfShape" else 0)
    if node.op in _ALWAYS:
        return _ALWAYS[node.op]
    if node.op == "Where" and len(node.inputs) == 3:
        return kinds.get(node.inputs[1], 0)
    return kinds.get(node.inputs[0], 0) if node.op in _AS_FIRST_INPUT and node.inputs else 0


def _node(walk: Walk, start: int, end: int) -> _Node:
    node = _Node()
    for number, at, length in walk.fields("node", start, end):
        if length < 0:
            continue
        if number in (1, 2):
            (node.inputs if number == 1 else node.outputs).append(_text(walk, at, length))
        elif number == 3:
            node.name = _text(walk, at, length)
        elif number == 4:
            node.op = _text(walk, at, length)
        elif number == 5:
            _attribute(walk, at, at + length, node)
    return node


def _attribute(walk: Walk, start: int, end: int, node: _Node) -> None:
    name, integer = "", 0
    for number, at, length in walk.fields("attribute", start, end):
        if number == 1 and length >= 0:
            name = _text(walk, at, length)
        elif number == 3 and length < 0:
            integer = at
        elif number == 5 and length >= 0:
            _, node.kind, harmless = _tensor(walk, at, at + length)
            node.is_harmless_constant = node.op == "Constant" and harmless
        elif number in (6, 11) and length >= 0:
            node.graphs.append((at, at + length))
    if name == "to":
        node.kind = integer
    elif name == "fmod":
        node.uses_fmod = bool(integer)
    elif name == "value_int":
        node.kind, node.is_harmless_constant = _INT64, integer != (1 << 64) - 1


def _value(walk: Walk, start: int, end: int) -> tuple[str, int]:
    """Return the name and the datatype of a ``ValueInfoProto``; 0 where it declares none."""
    name, kind = "", 0
    for number, at, length in walk.fields("input", start, end):
        if number == 1 and length >= 0:
            name = _text(walk, at, length)
        elif number == 2 and length >= 0:
            for _, inner, size in (each for each in walk.fields("input type", at, at + length) if each[0] == 1):
                kind = next((k for f, k, n in walk.fields("input tensor", inner, inner + size) if f == 1 and n < 0), 0)
    return name, kind


def _tensor(walk: Walk, start: int, end: int) -> tuple[str, int, bool]:
    """Return name and datatype of a ``TensorProto``, and whether it is certain that it does not hold -1."""
    name, kind, raw, listed = "", 0, b"", False
    for number, at, length in walk.fields("tensor", start, end):
        if number == 2 and length < 0:
            kind = at
        elif number == 8 and length >= 0:
            name = _text(walk, at, length)
        elif number == 9 and length >= 0:
            raw = walk.data[at : at + length] if length <= MAX_CONSTANT_BYTES else b""
        elif number in (5, 7):
            values = [at] if length < 0 else list(walk.varints(at, at + min(length, MAX_CONSTANT_BYTES + 10)))
            if length > MAX_CONSTANT_BYTES or (1 << 64) - 1 in values:
                return name, kind, False
            listed = True
    dtype = TRAPPING.get(kind)
    if dtype is None:
        return name, kind, False
    sound = raw and len(raw) % dtype.itemsize == 0 and not (np.frombuffer(raw, dtype) == -1).any()
    return name, kind, listed or bool(sound)


def _text(walk: Walk, at: int, length: int) -> str:
    return walk.data[at : at + min(length, 256)].decode(errors="replace")
