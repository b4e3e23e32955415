"""Hidden units of dense layers that hardly count, taken out whole.

Single weights set to zero would save nothing: the runtime stores and multiplies zeros like any other number. A unit
counts as much as the length of its incoming weights, bias included, times that of its outgoing ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.engine.rewriting import CannotRewrite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

ACTIVATIONS: Final = ("Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Gelu", "Softplus", "HardSigmoid")
"""Functions of each unit by itself."""


@dataclass(frozen=True, slots=True)
class _Dense:
    """A product with a constant matrix: *weights* names it, *units_last* says which axis holds what comes out."""

    weights: str
    bias: str | None
    units_last: bool
    output: str


def prune_units(model: Any, threshold: float) -> int:
    """Take units out of *model*, an ONNX graph, that count under *threshold* of the most in their layer.

    Returns how many. Raises CannotRewrite where there is no hidden layer, or none of its units counts so little.
    """
    graph = _Graph(model.graph)
    pairs = list(graph.hidden_layers())
    if not pairs:
        raise CannotRewrite("it has no hidden layer: two products with constant weights and an activation between them")
    gone, least = 0, 1.0
    for first, second in pairs:
        counts = _counts(graph, first, second)
        least = min(least, float((counts / counts.max()).min()))
        kept = np.flatnonzero(counts >= threshold * counts.max())
        if len(kept) < len(counts):
            graph.keep(first, second, kept)
            gone += len(counts) - len(kept)
    if not gone:
        raise CannotRewrite(
            f"every hidden unit counts at least {least:.3g} of the most in its layer; give a higher threshold"
        )
    return gone


def _counts(graph: _Graph, first: _Dense, second: _Dense) -> Array:
    """Return how much each unit between the two counts, [units]."""
    incoming = graph.matrix(first)
    if first.bias is not None:
        incoming = np.vstack([incoming, graph.tensor(first.bias).reshape(1, -1)])
    found: Array = np.linalg.norm(incoming, axis=0) * np.linalg.norm(graph.matrix(second), axis=1)
    return found


class _Graph:
    """A graph whose tensors are looked up by name and written back."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._constants = {each.name: each for each in graph.initializer}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        for output in graph.output:
            self._readers.setdefault(output.name, []).append(None)

    def hidden_layers(self) -> Any:
        """Yield pairs of products: the first one's units reach the second, and nothing else, through an activation."""
        for node in self._graph.node:
            first = self._dense(node)
            if first is None:
                continue
            between = self._only_reader(first.output)
            if between is not None and between.op_type in ACTIVATIONS:
                after = self._only_reader(between.output[0])
                second = None if after is None or after.input[0] != between.output[0] else self._dense(after)
                if second is not None and self.matrix(second).shape[0] == self.matrix(first).shape[1]:
                    yield first, second

    def tensor(self, name: str) -> Array:
        from onnx import numpy_helper

        found: Array = numpy_helper.to_array(self._constants[name])
        return found

    def matrix(self, dense: _Dense) -> Array:
        """Return the weights as [inputs, units]."""
        found = self.tensor(dense.weights)
        return found if dense.units_last else found.T

    def keep(self, first: _Dense, second: _Dense, kept: Array) -> None:
        """Leave the units *kept* between the two."""
        self._write(first.weights, self.tensor(first.weights).take(kept, axis=1 if first.units_last else 0))
        if first.bias is not None:
            self._write(first.bias, self.tensor(first.bias).take(kept, axis=-1))
        self._write(second.weights, self.tensor(second.weights).take(kept, axis=0 if second.units_last else 1))

    def _write(self, name: str, values: Array) -> None:
        from onnx import numpy_helper

        self._constants[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))

    def _only_reader(self, name: str) -> Any:
        readers = self._readers.get(name, [])
        return readers[0] if len(readers) == 1 else None

    def _is_own(self, name: str, dimensions: int) -> bool:
        """Say whether *name* is a constant of so many axes that nobody else reads."""
        found = self._constants.get(name)
        return found is not None and len(found.dims) == dimensions and self._only_reader(name) is not None

    def _dense(self, node: Any) -> _Dense | None:
        """Return the product that *node* begins, a bias that is added to it included; None for anything else."""
        if node.op_type == "Gemm" and self._is_own(node.input[1], 2):
            wanted = {each.name: each for each in node.attribute}
            turned = "transB" in wanted and wanted["transB"].i == 1
            if "transA" in wanted and wanted["transA"].i == 1:
                return None
            bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
            if bias is not None and not self._is_own(bias, 1):
                return None
            return _Dense(node.input[1], bias, not turned, node.output[0])
        if node.op_type != "MatMul" or not self._is_own(node.input[1], 2):
            return None
        after = self._only_reader(node.output[0])
        if after is not None and after.op_type == "Add":
            bias = next((each for each in after.input if each != node.output[0]), "")
            units = self._constants[node.input[1]].dims[1]
            if bias in self._constants and self._only_reader(bias) is not None and self._is_row(bias, units):
                return _Dense(node.input[1], bias, units_last=True, output=after.output[0])
        return _Dense(node.input[1], None, units_last=True, output=node.output[0])

    def _is_row(self, name: str, units: int) -> bool:
        return list(self._constants[name].dims) in ([units], [1, units])
