"""Runs of a session that takes or gives bfloat16, which the runtime does not exchange with numpy.

It takes such a tensor as an ``OrtValue`` over 16-bit integers, and gives one back whose only way out is its address:
the bits are copied from there while the value still lives.
"""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

from gateway.bfloat16 import narrowed, widened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.signature import Signature
    from gateway.ports.engine import Tensor

BFLOAT16: Final = 16
"""The number of the type in ONNX, ``TensorProto.BFLOAT16``."""

ITEM_BYTES: Final = 2


def bfloat16_run(
    native: Any, signature: Signature
) -> Callable[[Sequence[str], Mapping[str, Tensor], Any], list[Tensor]]:
    """Return what runs *native*, the C++ session, with tensors of BF16 as float32 on both sides."""
    narrow = {spec.name for spec in signature.inputs if spec.datatype == "BF16"}
    wide = {spec.name for spec in signature.outputs if spec.datatype == "BF16"}

    def run(names: Sequence[str], feeds: Mapping[str, Tensor], options: Any) -> list[Tensor]:
        values = {name: _value(tensor, is_narrow=name in narrow) for name, tensor in feeds.items()}
        found = native.run_with_ort_values({name: each._ortvalue for name, each in values.items()}, names, options)
        return [_widened(each) if name in wide else each.numpy() for name, each in zip(names, found, strict=True)]

    return run


def _value(tensor: Tensor, *, is_narrow: bool) -> Any:
    """Return the runtime's view of a tensor; it keeps the array that it looks at."""
    if is_narrow:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(narrowed(tensor), BFLOAT16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor).reshape(tensor.shape))


def _widened(value: Any) -> Tensor:
    """Return a copy of an output of bfloat16."""
    shape = value.shape()
    size = math.prod(shape) * ITEM_BYTES
    bits = np.frombuffer(ctypes.string_at(value.data_ptr(), size) if size else b"", np.uint16)
    return widened(bits).reshape(shape)
