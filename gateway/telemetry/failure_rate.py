"""How often a version has failed so far, from what the workers counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.outcomes import OUTCOMES
from gateway.telemetry.layout import FALLBACKS

if TYPE_CHECKING:
    from gateway.telemetry.slab import SlabDirectory

FAILED: Final = ("model_error", "timeout")
FELL_BACK: Final = ("error", "timeout", "invalid")
"""Reasons of fallbacks that are failures of the version itself."""


def failure_rate(slabs: SlabDirectory, model: str, version: int) -> float:
    """Return the fraction of the requests of *version* that it failed since it was loaded; 0 where it had none.

    Those that another version answered in its place count as its own.
    """
    failed = good = 0.0
    for slab in slabs.read().slabs:
        for block in slab.blocks:
            if block.key == (model, str(version)):
                counts = dict(zip(OUTCOMES, block.counts[slabs.layout.outcomes], strict=True))
                fallbacks = dict(zip(FALLBACKS, block.counts[slabs.layout.fallbacks], strict=True))
                good += counts["ok"]
                failed += sum(counts[name] for name in FAILED) + sum(fallbacks[name] for name in FELL_BACK)
    return failed / (good + failed) if failed else 0.0
