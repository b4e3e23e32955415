"""Content codings: which one a request body has, and answers compressed where that helps.

A body has one coding: two of them are how bombs within bombs are built.

Source: RFC 9110, sections 8.4 and 12.5.3.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final

from gateway.core.errors import UnsupportedMediaType
from gateway.serving.inflating import WINDOW_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

WORTHWHILE_BYTES: Final = 1024
"""Shorter answers stay plain: they fit a packet, and most clients offer gzip without meaning anything by it."""

LEVEL: Final = 1
"""Tensors are nearly noise: higher levels take several times as long for a few percent."""

QUALITY: Final = re.compile(rb"\s*([!#$%&'*+.^_`|~0-9a-z-]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


def coding_of(declared: Sequence[bytes]) -> bytes | None:
    """Return the coding of a body whose content-encoding headers are *declared*, None where it is plain.

    Raises UnsupportedMediaType for more than one coding, or one that is not read here.
    """
    coding = b",".join(declared).strip().lower()
    if coding in {b"", b"identity"}:
        return None
    if coding not in WINDOW_BITS:
        raise UnsupportedMediaType("content-encoding: must be one of identity, gzip and deflate, once")
    return coding


def accepted(offered: bytes) -> bytes | None:
    """Return the coding for an answer to a caller whose accept-encoding is *offered*, None for plain.

    The one with the highest weight that we write, gzip before deflate; plain where the caller ranks identity
    higher, or names neither. Members that cannot be read are skipped.
    """
    weights: dict[bytes, float] = {}
    for member in offered.lower().split(b","):
        if (match := QUALITY.fullmatch(member)) is not None:
            weights[match[1]] = float(match[2] or 1)
    anything = weights.get(b"*", 0.0)
    best = max((b"gzip", b"deflate"), key=lambda coding: weights.get(coding, anything))
    weight = weights.get(best, anything)
    return best if weight > 0 and weight >= weights.get(b"identity", 0.0) else None


def compressed(body: bytes, offered: bytes) -> tuple[bytes, bytes | None]:
    """Return *body* and its coding, None where it stays plain: not wanted, or not worth it."""
    coding = accepted(offered) if len(body) >= WORTHWHILE_BYTES else None
    if coding is None:
        return body, None
    return zlib.compress(body, LEVEL, WINDOW_BITS[coding]), coding
