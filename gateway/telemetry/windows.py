"""What the workers of this replica counted of each version since somebody asked last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.core.outcomes import OUTCOMES
from gateway.ports.metrics import Window
from gateway.telemetry.series import Ledger
from gateway.telemetry.traffic import quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.telemetry.slab import SlabDirectory

FAILED: Final = ("model_error", "timeout")
"""Outcomes that are the version's."""
P95: Final = 0.95


class SlabWindows:
    """Implements ``ports.Windows``; the first look, and the first at a version, gives nothing of it."""

    def __init__(self, slabs: SlabDirectory, clock: Callable[[], float] = time.monotonic) -> None:
        self._slabs = slabs
        self._clock = clock
        self._ledger = Ledger(clock())
        self._before: Mapping[tuple[str, str], Sequence[float]] = {}

    def take(self) -> Mapping[tuple[str, str], Window]:
        """Return model and version → window. A version that was loaded anew meanwhile is left out once."""
        counts = self._ledger.take(self._slabs.read(), self._clock()).counts
        before, self._before = self._before, counts
        found = {}
        for key, cells in counts.items():
            grown = [now - was for now, was in zip(cells, before.get(key, ()), strict=False)]
            if grown and min(grown) >= 0:
                found[key] = self._window(grown)
        return found

    def _window(self, cells: Sequence[float]) -> Window:
        layout = self._slabs.layout
        outcomes = dict(zip(OUTCOMES, cells[layout.outcomes], strict=True))
        *buckets, _ = cells[layout.request]
        failures = sum(int(outcomes[name]) for name in FAILED)
        return Window(int(sum(outcomes.values())), failures, quantile(layout.duration_edges, buckets, P95))
