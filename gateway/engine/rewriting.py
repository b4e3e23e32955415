"""A graph made into a smaller or plainer one by the tools that come with the runtime. Reads and writes files.

Runs in the command line's confined process, never in a server: these tools need ``onnx``, which the ``convert`` extra
brings. They raise whatever they like, which leaves here as `CannotRewrite`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import onnxruntime

from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.ports.engine import Tensor

PRODUCTS: Final = ("MatMul", "Gemm", "Conv")
"""Operators whose constant weights can be rounded to eight or sixteen bits."""

_FATAL: Final = 4

_KEPT_WHOLE: Final = ("TfIdfVectorizer", "StringNormalizer", "Tokenizer", "LabelEncoder")
"""Operators of texts, which give 32-bit floats alone; beside those that the tool itself leaves be."""


class CannotRewrite(GatewayError):
    """The graph has nothing that this could act on, or the tool refused it; the message says which."""


def quantise_dynamic(source: Path, target: Path) -> None:
    """Round the weights of products to eight bits; activations are measured and rounded in each run."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _refusals():
        quantize_dynamic(
            _with_products(source),
            target,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(PRODUCTS),
            extra_options={"DefaultTensorType": _float()},
        )


def quantise_static(source: Path, target: Path, batches: Sequence[Mapping[str, Tensor]]) -> None:
    """Round weights and activations of products to eight bits, activations to the ranges that *batches* show."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Rows(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        """Gives the batches one by one, then None."""

        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> Mapping[str, Tensor] | None:
            return next(self._left, None)

    with _refusals():
        quantize_static(
            _with_products(source),
            target,
            Rows(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(PRODUCTS),
            extra_options={"DefaultTensorType": _float()},
        )


def halve(source: Path, target: Path) -> None:
    """Keep weights and inner results as floats of 16 bits; inputs and outputs stay as they are."""
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    with _refusals():
        halved = convert_float_to_float16(
            _with_products(source), keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_KEPT_WHOLE]
        )
        onnx.save(halved, target)


def optimise_graph(source: Path, target: Path, level: str) -> None:
    """Write the graph as the runtime rewrites it when it loads one, at *level*.

    ``basic`` is what holds everywhere, ``extended`` has operators of the runtime's own too, ``all`` this processor's
    layouts too.
    """
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = {
        "basic": levels.ORT_ENABLE_BASIC,
        "extended": levels.ORT_ENABLE_EXTENDED,
        "all": levels.ORT_ENABLE_ALL,
    }[level]
    options.optimized_model_filepath = str(target)
    options.log_severity_level = _FATAL
    with _refusals():
        onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _with_products(source: Path) -> Any:
    """Return the graph in the file. Raises CannotRewrite where it holds no product with constant weights."""
    import onnx

    model = onnx.load(source, load_external_data=False)
    constants = {each.name for each in model.graph.initializer}
    if any(node.op_type in PRODUCTS and constants & set(node.input) for node in model.graph.node):
        return model
    held = sorted({node.op_type for node in model.graph.node})
    why = "a tree ensemble compares values with thresholds" if any("Tree" in each for each in held) else "it holds none"
    raise CannotRewrite(
        f"only {', '.join(PRODUCTS)} with constant weights can be rounded to fewer bits, and {why}: {', '.join(held)}"
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """Have whatever a tool raises leave as CannotRewrite."""
    try:
        yield
    except GatewayError:
        raise
    except Exception as exc:  # the seam: there is no narrower class that holds them all
        first = str(exc).partition("\n")[0][:300]
        raise CannotRewrite(f"the tool refused the graph: {type(exc).__name__}: {first}") from exc


def _float() -> int:
    import onnx

    return int(onnx.TensorProto.FLOAT)
