"""Which versions ought to be in memory: what routes name, what operators ordered, and how the gateway was started.

A route beats an order, an order beats the default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from gateway.models.entry import Entry


@dataclass(frozen=True, slots=True)
class Wishes:
    """*orders* maps a version to ``load`` or ``unload``, what an operator last asked for."""

    loads_all: bool
    routed: Mapping[str, AbstractSet[int]] = field(default_factory=dict)
    orders: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def is_routed(self, entry: Entry) -> bool:
        """Say whether a route names the version."""
        return entry.version in self.routed.get(entry.model, ())

    def order(self, entry: Entry) -> str:
        """Return ``load``, ``unload`` or, without an order, the empty text."""
        return self.orders.get(entry.model, {}).get(entry.version, "")

    def is_wanted(self, entry: Entry) -> bool:
        """Say whether the version ought to be loaded."""
        if self.is_routed(entry):
            return True
        order = self.order(entry)
        return order == "load" or (self.loads_all and order != "unload")

    def why_unwanted(self, entry: Entry) -> str:
        """Return the reason that is shown for a version that is not wanted."""
        return "unloaded by operator" if self.order(entry) == "unload" else "not routed"
