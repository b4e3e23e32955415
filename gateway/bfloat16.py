"""bfloat16 in numpy, which has no such type: the upper half of the bits of a float32.

Between the doors and the runtime a BF16 tensor is held as float32, which has every one of its values: joined rows,
checks for NaN, comparisons, labels and recordings then see numbers, and nobody but the doors and the engine needs to
know. Its 16 bits are what travels and what the runtime computes with.

Source: "BFLOAT16 - Hardware Numerics Definition", Intel, 2018: rounding to the nearest, ties to even.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def widened(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the values of *bits*, exactly, in their shape."""
    found: NDArray[np.float32] = np.left_shift(np.atleast_1d(bits), 16, dtype=np.uint32).view(np.float32)
    return found.reshape(bits.shape)


def narrowed(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the bits of *values*, which are float32, rounded to the nearest, in their shape. NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    is_nan = (bits & 0x7FFF_FFFF) > 0x7F80_0000
    return np.where(is_nan, bits >> 16 | 0x40, rounded).astype(np.uint16).reshape(values.shape)
