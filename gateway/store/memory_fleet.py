"""What replicas tell each other, in this process: for tests, and the plainest statement of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.ports.store import REPLICA_SECONDS
from gateway.store.fleet_words import check_words
from gateway.store.memory_evidence import MemoryEvidence

if TYPE_CHECKING:
    from collections.abc import Mapping


class MemoryFleet(MemoryEvidence):
    """Implements ``ports.FleetStore`` for one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._replicas: dict[str, tuple[float, str]] = {}
        """Replica → when its words end, and the words."""

    async def announce(self, replica: str, words: str, *, seconds: float = REPLICA_SECONDS) -> Mapping[str, str]:
        """Say *words* for *replica*, and return what every replica says now. Raises StoreUnavailable, ValueError."""
        self._answer()
        check_words(replica, words)
        now = time.time()
        self._replicas[replica] = (now + seconds, words)
        self._replicas = {name: said for name, said in self._replicas.items() if said[0] > now}
        return {name: said for name, (_, said) in self._replicas.items()}
