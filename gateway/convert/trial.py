"""Asking an imported ONNX graph a sample: whether it answers, and what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.convert.errors import CannotConvert
from gateway.convert.samples import is_text
from gateway.core.errors import ModelFailed
from gateway.models.warmup import NUMPY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gateway.convert.samples import Sample
    from gateway.core.signature import Signature, TensorSpec
    from gateway.ports.engine import Session

    Array = NDArray[Any]


def ask_sample(session: Session, sample: Sample) -> tuple[dict[str, Array], dict[str, Array]]:
    """Run the rows of *sample* once, and return them by input, and the answers by output.

    Raises CannotConvert where they do not fit the inputs, or the run fails.
    """
    tensors = feeds(session.signature, sample.columns)
    try:
        answers = session.run(tensors)
    except ModelFailed as exc:
        raise CannotConvert(f"the model cannot answer the sample: {exc.reason}; the log says why") from exc
    return tensors, dict(zip((spec.name for spec in session.signature.outputs), answers, strict=True))


def feeds(signature: Signature, named: Mapping[str, Array]) -> dict[str, Array]:
    """Return the tensors by input: columns of its name, or for a graph with one input all columns as one matrix.

    *named* holds the columns of a `Sample`, or some rows of them. Raises CannotConvert where they do not fit.
    """
    missing = [spec.name for spec in signature.inputs if spec.name not in named]
    if not missing:
        return {spec.name: _tensor(spec, named[spec.name]) for spec in signature.inputs}
    columns = list(named.values())
    if len(signature.inputs) > 1 or len({is_text(column) for column in columns}) > 1:
        raise CannotConvert(
            f"the sample has no columns {', '.join(missing[:10])}, which the graph has as inputs; name its columns so"
        )
    matrix = columns[0] if columns[0].ndim == 2 else np.column_stack(columns)
    return {signature.inputs[0].name: _tensor(signature.inputs[0], matrix)}


def _tensor(spec: TensorSpec, values: Array) -> Array:
    """Return *values*, [rows] or [rows, columns], in the type and the rank of *spec*."""
    shaped = values.reshape(len(values), -1) if len(spec.shape) == 2 and values.ndim == 1 else values
    is_typed = (spec.datatype == "BYTES") == is_text(values)
    if not is_typed or not spec.fits(shaped.shape):
        raise CannotConvert(
            f"the sample does not fit the input {spec.name} {spec.datatype} {list(spec.shape)}: "
            f"it gives {'text' if is_text(values) else 'numbers'} {list(shaped.shape)}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(shaped.astype(NUMPY[spec.datatype]))
