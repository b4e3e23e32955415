"""Where a body of a known length is put together, so that the tensors behind its JSON need no further copy.

The runtime and numpy read a tensor in place only where it begins at a multiple of its elements' size. The JSON in
front of it has any length, so the body is not put at the beginning of its memory but a few bytes behind it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

ALIGNMENT: Final = 16
"""Bytes: no element is wider than 8, and malloc aligns to 16."""


class Room:
    """The memory for one body. Not cleared: pages that nothing was written to cost nothing."""

    __slots__ = ("_at", "_memory")

    def __init__(self, body_bytes: int, json_bytes: int) -> None:
        """*json_bytes*: where in the body the first tensor begins."""
        start = -json_bytes % ALIGNMENT
        self._memory = np.empty(start + body_bytes, np.uint8).data[start:]
        self._at = 0

    def take(self, piece: bytes) -> None:
        """Put *piece* behind what came before. Raises ValueError for more than the body was to have."""
        at = self._at
        self._at = end = at + len(piece)
        self._memory[at:end] = piece

    def rest(self) -> memoryview:
        """Return the memory that waits for bytes; what writes there says so to ``came``."""
        return self._memory[self._at :]

    def came(self, size: int) -> int:
        """Take the first *size* bytes of ``rest`` for the body's, and return how many bytes are still to come."""
        self._at += size
        return len(self._memory) - self._at

    def whole(self) -> memoryview:
        """Return what came."""
        return self._memory[: self._at]
