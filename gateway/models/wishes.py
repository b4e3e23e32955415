"""Which versions ought to be in memory: what routes name, what operators ordered, and how the gateway was started.

A model that was taken out of service has nothing in memory. Otherwise a route beats an order, an order
beats the default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.core.versions import WHOLE_MODEL

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

    def differing(self, other: Wishes) -> set[str]:
        """Return the models of which *other* wishes something else."""
        models = self.routed.keys() | other.routed.keys() | self.orders.keys() | other.orders.keys()
        return {
            model
            for model in models
            if self.routed.get(model) != other.routed.get(model) or self.orders.get(model) != other.orders.get(model)
        }

    def is_routed(self, entry: Entry) -> bool:
        """Say whether a route names the version, of a model that is in service."""
        return self._is_in_service(entry) and entry.version in self.routed.get(entry.model, ())

    def order(self, entry: Entry) -> str:
        """Return ``load``, ``unload`` or, without an order, the empty text; of the model if that is out of service."""
        if not self._is_in_service(entry):
            return "unload"
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

    def _is_in_service(self, entry: Entry) -> bool:
        return self.orders.get(entry.model, {}).get(WHOLE_MODEL) != "unload"
