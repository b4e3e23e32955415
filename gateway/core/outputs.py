"""Into which bins a version's outputs fall, so that two versions' answers can be compared as distributions.

A class has its bin by itself: a number its remainder by BINS, so that the first BINS classes share none. For outputs
that are numbers the bins are the baseline's deciles, frozen once per rollout like the limits of run times: later they
would follow what they judge. Until then the baseline's numbers are counted in a fixed fine histogram, whose edges are
the same on every worker and machine. Whether distributions differ too much says ``analysis.py``.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS: Final = 20
"""Bins of the distribution of outputs: ``out_0`` to ``out_19``."""

OUT_KINDS: Final = tuple(f"out_{number}" for number in range(BINS))

PARTS: Final = 16
"""Parts of the fine histogram between a power of two and the next: neighbouring edges are 3 to 6 % apart."""

_POWERS: Final = range(-20, 40)
_POSITIVE: Final = tuple(2.0**power * (1 + part / PARTS) for power in _POWERS for part in range(PARTS))

VALUE_EDGES: Final = (*(-edge for edge in reversed(_POSITIVE)), 0.0, *_POSITIVE)
"""Upper edges of the fine histogram, ascending, from −10¹² to 10¹²; its last bucket has no end."""

VALUE_KINDS: Final = tuple(f"value_{number}" for number in range(len(VALUE_EDGES) + 1))
"""The kinds that count the baseline's numbers, until its deciles are frozen."""

DECILES: Final = tuple(number / 10 for number in range(1, 10))

FROZEN_FROM: Final = 1000
"""So many numbers of the baseline freeze its deciles."""


def bin_of_text(name: str) -> int:
    """Return the bin of a class that is named by a text, the same in every process."""
    return crc32(name.encode()) % BINS


def frozen_deciles(counts: Sequence[int]) -> tuple[float, ...]:
    """Return the upper edges of the bins, one less than there are bins: the baseline's deciles, each once.

    counts: how many of its numbers fell into each bucket of VALUE_EDGES. Empty where there are too few. Of a constant
    there is one edge, and so still a bin for whatever is larger.
    """
    reached = [*accumulate(counts)]
    if not reached or reached[-1] < FROZEN_FROM:
        return ()
    buckets = (bisect_left(reached, decile * reached[-1]) for decile in DECILES)
    return tuple(sorted({VALUE_EDGES[min(bucket, len(VALUE_EDGES) - 1)] for bucket in buckets}))


def told_deciles(edges: Sequence[float]) -> str:
    """Return *edges* in words, for history."""
    return ", ".join(f"{edge:.3g}" for edge in edges)


def read_deciles(data: object) -> tuple[float, ...]:
    """Return the edges that *data*, read from JSON, holds. Raises InvalidDocument."""
    if not isinstance(data, list | tuple) or len(data) >= BINS:
        raise InvalidDocument("", f"{shown(data)} are no edges of bins; write a list of at most {BINS - 1}")
    with at("deciles"):
        edges = tuple(map(_edge, data))
    if any(high <= low for low, high in pairwise(edges)):
        raise InvalidDocument("", f"{shown(data)} do not ascend; write each edge once, the least first")
    return edges


def _edge(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InvalidDocument("", f"{shown(value)} is no finite number")
    return float(value)
