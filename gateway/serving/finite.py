"""Whether all numbers of a tensor are finite: asked of each answer that may hold no NaN, so small ones are cheap."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from gateway.ports.engine import Tensor

FEW: Final = 32
"""Up to here Python looks at the elements one by one. Between other work, when little of numpy is in the processor's
caches, that takes 2 to 3 µs where numpy's two passes take 8; from about 100 elements on numpy is quicker."""


def is_finite(tensor: Tensor) -> bool:
    """Say whether *tensor*, floats of any shape, holds neither NaN nor infinity; so does one without elements."""
    if tensor.size <= FEW:
        return all(map(isfinite, tensor.ravel().tolist()))
    return bool(np.isfinite(tensor).all())
