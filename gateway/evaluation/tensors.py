"""Columns and tensors as bytes between the command and the process that asks a version: no pickle, no file of numpy's.

Texts travel one by one: numpy's own form would give each the width of the longest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]


class _Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One array: *data* for numbers of the type *dtype*, *texts* where that is empty."""

    shape: list[int]
    dtype: str = ""
    data: bytes = b""
    texts: list[str] = []


def pack(arrays: Mapping[str, Array]) -> bytes:
    """Return *arrays* of numbers, or of texts as objects, as bytes."""
    return msgspec.msgpack.encode({name: _pack(each) for name, each in arrays.items()})


def unpack(content: bytes) -> dict[str, Array]:
    """Return what `pack` wrote, in its order. Raises ValueError for anything else."""
    try:
        found = msgspec.msgpack.decode(content, type=dict[str, _Tensor])
    except msgspec.DecodeError as exc:
        raise ValueError(str(exc)) from exc
    return {name: _unpack(each) for name, each in found.items()}


def _pack(array: Array) -> _Tensor:
    if array.dtype.kind in "OUS":
        return _Tensor(list(array.shape), texts=[_text(each) for each in array.ravel().tolist()])
    return _Tensor(list(array.shape), array.dtype.str, np.ascontiguousarray(array).tobytes())


def _unpack(tensor: _Tensor) -> Array:
    if not tensor.dtype:
        return np.array(tensor.texts, object).reshape(tensor.shape)
    dtype = np.dtype(tensor.dtype) if len(tensor.dtype) <= 4 else None
    if dtype is None or dtype.kind not in "biuf":
        raise ValueError("a tensor is of a type that holds no numbers")
    return np.frombuffer(tensor.data, dtype).reshape(tensor.shape)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
