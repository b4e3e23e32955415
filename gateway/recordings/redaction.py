"""Hides what a route says is to be hidden, in copies of the tensors, before anything is written.

What cannot be hidden is not recorded: a tensor that is not there, a column beyond its last axis, a constant that its
datatype does not hold. A hash is keyed with a secret of this machine: without it nobody can try out values until one
fits. Equal values of one tensor or column have equal hashes; those of two columns cannot be compared.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.recording import Redaction
    from gateway.ports.engine import Tensor

HASHED_MOST: Final = 10_000
"""Values of one request that are hashed, one by one; more are not recorded."""
DIGEST_BYTES: Final = 16
FLOAT_BITS: Final = {2: 10, 4: 24, 8: 53}
"""Bytes of a float → how many bits of a hash it holds exactly in [0, 1)."""


class Unhidden(Exception):
    """Something that is to be hidden cannot be."""


class Redactor:
    """Hides by one secret."""

    def __init__(self, secret: bytes) -> None:
        """*secret*: up to 64 bytes that nobody outside this machine knows."""
        self._secret = secret

    def name_of(self, answer: str) -> str:
        """Return what a recorded request is called: 16 hexadecimal digits that stand for the id of its answer."""
        return self._digest("id", answer).hex()[:16]

    def hidden(
        self, redact: Sequence[Redaction], inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return both without what *redact* hides; a name stands for the input and the output that have it.

        What was given is not changed. Raises Unhidden.
        """
        kept = dict(inputs), dict(outputs)
        for each in redact:
            roles = [tensors for tensors in kept if each.tensor in tensors]
            if not roles:
                raise Unhidden(each.name)
            for tensors in roles:
                if each.how == "drop":
                    del tensors[each.tensor]
                else:
                    tensors[each.tensor] = self._covered(each, tensors[each.tensor])
        return kept

    def _covered(self, redaction: Redaction, tensor: Tensor) -> Tensor:
        place = _place(redaction, tensor)
        covered = tensor.copy()
        if redaction.how == "constant":
            covered[place] = _constant(redaction, tensor)
        else:
            covered[place] = self._hashed(redaction, tensor[place])
        return covered

    def _hashed(self, redaction: Redaction, values: Tensor) -> Tensor:
        kind = values.dtype
        if values.size > HASHED_MOST or kind.kind == "b":  # two values have two hashes, and one look tells which
            raise Unhidden(redaction.name)
        digests = [self._digest(redaction.name, repr(each)) for each in values.ravel().tolist()]
        if kind.kind == "O":
            hashed = np.empty(len(digests), object)
            hashed[:] = [each.hex() for each in digests]
            return hashed.reshape(values.shape)
        numbers = [int.from_bytes(each, "big") for each in digests]
        if kind.kind == "f":
            bits = FLOAT_BITS[kind.itemsize]
            return np.array([each % (1 << bits) / (1 << bits) for each in numbers], kind).reshape(values.shape)
        most = int(np.iinfo(kind).max)
        return np.array([each % (most + 1) for each in numbers], kind).reshape(values.shape)

    def _digest(self, name: str, text: str) -> bytes:
        content = f"{name}\x00{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, key=self._secret, digest_size=DIGEST_BYTES).digest()


def _place(redaction: Redaction, tensor: Tensor) -> Any:
    """Return the index of what is hidden in *tensor*: all of it, or one place of its last axis."""
    if redaction.column is None:
        return (...,)
    if tensor.ndim < 2 or redaction.column >= tensor.shape[-1]:
        raise Unhidden(redaction.name)
    return (..., redaction.column)


def _constant(redaction: Redaction, tensor: Tensor) -> object:
    """Return the constant as the tensor's datatype has it: nothing is cast in silence."""
    value, kind = redaction.value, tensor.dtype
    taken = {"O": str, "b": bool, "f": int | float}.get(kind.kind, int)
    if not isinstance(value, taken) or (kind.kind != "b" and isinstance(value, bool)):
        raise Unhidden(redaction.name)
    try:
        with np.errstate(over="raise"):
            np.array([value]).astype(kind) if kind.kind == "f" else np.array([value], kind)
    except (OverflowError, ArithmeticError) as exc:
        raise Unhidden(redaction.name) from exc
    return value
