"""What a SavedModel itself answers to the rows of a sample, by its signature ``serving_default``.

Runs in the confined process alone, where TensorFlow is: tf2onnx needs it too. Its inputs get the sample as the inputs
of the converted graph do, whose names tf2onnx takes from the same signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.convert.errors import CannotConvert
from gateway.convert.trial import feeds
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.models.warmup import NUMPY

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from gateway.convert.samples import Sample

    Array = NDArray[Any]

SIGNATURE: Final = "serving_default"

_DATATYPES: Final = {np.dtype(kind): datatype for datatype, kind in NUMPY.items()}


def original_answers(folder: Path, sample: Sample) -> dict[str, Array]:
    """Return the outputs of the SavedModel in *folder* by name, for all rows at once. Raises CannotConvert."""
    import tensorflow as tf

    try:
        model = tf.saved_model.load(str(folder))  # kept: the signature holds its variables weakly
        answering = model.signatures[SIGNATURE]
        tensors = feeds(_signature(answering), sample.columns)
        outputs = answering(**{name: tf.constant(value) for name, value in tensors.items()})
        return {name: _array(output.numpy()) for name, output in outputs.items()}
    except CannotConvert:
        raise
    except Exception as exc:  # the seam: what a model does, and what TensorFlow says of it, is not known
        raise CannotConvert(
            f"TensorFlow cannot answer the sample by the signature {SIGNATURE}, so nothing could be compared: "
            f"{type(exc).__name__}: {str(exc).partition(chr(10))[0][:500]}; leave --sample out to publish it unproven"
        ) from exc


def _signature(answering: Any) -> Signature:
    """Return the inputs that TensorFlow's signature function takes by name, in our words; its outputs are left out."""
    _, named = answering.structured_input_signature
    return Signature(tuple(_spec(name, spec) for name, spec in named.items()), ())


def _spec(name: str, spec: Any) -> TensorSpec:
    datatype = _DATATYPES[np.dtype(spec.dtype.as_numpy_dtype)]
    return TensorSpec(name, datatype, tuple(FREE if size is None else int(size) for size in spec.shape.as_list()))


def _array(output: Array) -> Array:
    """Return an output with an axis at least; its texts, which TensorFlow has as bytes, as text."""
    found = np.atleast_1d(output)
    if found.dtype.kind != "O":
        return found
    texts = [each.decode(errors="replace") for each in found.ravel()]
    return np.array(texts, dtype=object).reshape(found.shape)
