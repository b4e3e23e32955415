"""Answers that were given, by the input they were given to: bounded in bytes, the least recently asked for go first.

The key is the input itself, written in one way whatever door it came through. So a hit is the same input, and not one
with the same digest, and a cache belongs to one loaded version, whose file has one digest.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.engine import Tensor

ENTRY_BYTES: Final = 700
"""What an entry takes beside its input and its outputs: the mapping's link, a list, and an array's head."""

LARGEST_PART: Final = 8
"""An input that takes more than one part in so many of the whole is not kept: it would push out all others."""


def canonical(feeds: Sequence[Tensor]) -> bytes:
    """Return *feeds*, in the signature's order, as bytes that no other feeds have."""
    parts: list[bytes] = []
    for feed in feeds:
        parts.append(f"{feed.dtype.str}{feed.shape}".encode())
        if feed.dtype == np.object_:
            for text in feed.ravel():
                raw = text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")
                parts += (len(raw).to_bytes(8, "little"), raw)
        else:
            parts.append(feed.tobytes())
    return b"".join(parts)


def size_of(tensors: Sequence[Tensor]) -> int:
    """Return the bytes that *tensors* take, texts included."""
    total = 0
    for tensor in tensors:
        total += tensor.nbytes
        if tensor.dtype == np.object_:
            total += sum(49 + len(each) for each in tensor.ravel())
    return total


class AnswerCache:
    """Outputs by canonical input. One thread."""

    __slots__ = ("_answers", "_most", "bytes")

    def __init__(self, most_bytes: int) -> None:
        """*most_bytes*: what keys and outputs may take together."""
        self._most = most_bytes
        self._answers: OrderedDict[bytes, tuple[list[Tensor], int]] = OrderedDict()
        self.bytes = 0

    def takes(self, feeds: Sequence[Tensor]) -> bool:
        """Say whether an input of this size is kept at all."""
        return size_of(feeds) * LARGEST_PART <= self._most

    def find(self, key: bytes) -> list[Tensor] | None:
        """Return the outputs for *key*, None where there are none. They cannot be written to."""
        found = self._answers.get(key)
        if found is None:
            return None
        self._answers.move_to_end(key)
        return found[0]

    def keep(self, key: bytes, outputs: Sequence[Tensor]) -> None:
        """Remember *outputs*, as copies: they may be views of a batch, which is much larger."""
        size = ENTRY_BYTES + len(key) + size_of(outputs)
        if size * LARGEST_PART > self._most:
            return
        known = self._answers.pop(key, None)
        self.bytes += size - (known[1] if known is not None else 0)
        self._answers[key] = [_frozen(each) for each in outputs], size
        while self.bytes > self._most:
            _, (_, gone) = self._answers.popitem(last=False)
            self.bytes -= gone


def _frozen(tensor: Tensor) -> Tensor:
    copy = tensor.copy()
    copy.flags.writeable = False
    return copy
