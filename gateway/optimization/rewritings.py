"""What can be made of a graph, each with its name, how the child comes from its parent, and what people should know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rewriting:
    """One thing to do. *amount* is the threshold of units, or how many trees stay; *level* is of the graph."""

    kind: str
    level: str = ""
    amount: float = 0.0

    @property
    def name(self) -> str:
        """How it is called in tables and metadata, such as ``prune-trees 60``."""
        detail = self.level or (f"{self.amount:g}" if self.amount else "")
        return f"{self.kind} {detail}".strip()

    @property
    def relation(self) -> str:
        """How the child comes from its parent, one of ``core.lineage.RELATIONS``."""
        return RELATIONS[self.kind]

    @property
    def note(self) -> str:
        """What people should know of the child; may be empty."""
        return "rewritten for the processor of the machine that made it" if self.level == "all" else ""


DYNAMIC_INT8: Final = "dynamic-int8"
STATIC_INT8: Final = "static-int8"
FP16: Final = "fp16"
GRAPH_LEVEL: Final = "graph-level"
PRUNE_WEIGHTS: Final = "prune-weights"
PRUNE_TREES: Final = "prune-trees"

RELATIONS: Final = {
    DYNAMIC_INT8: "quantised-from",
    STATIC_INT8: "quantised-from",
    FP16: "quantised-from",
    GRAPH_LEVEL: "optimised-from",
    PRUNE_WEIGHTS: "pruned-from",
    PRUNE_TREES: "pruned-from",
}
"""Kind → how a child comes from its parent."""
