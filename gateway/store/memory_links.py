"""Links of notifications, in this process: for tests, and the plainest statement of what is kept of them."""

from __future__ import annotations

import time

from gateway.ports.notifications import LINK_SECONDS, KeptLink
from gateway.store.keys import link_key
from gateway.store.memory_evidence import MemoryEvidence


class MemoryLinks(MemoryEvidence):
    """Implements ``ports.LinkStore`` for one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._links: dict[str, tuple[bytes, float]] = {}
        self._used_links: set[str] = set()

    async def keep_link(self, model: str, digest: str, payload: bytes) -> None:
        """Keep *payload* for LINK_SECONDS, and as long again to tell late from unknown."""
        self._answer()
        self._links[link_key(model, digest)] = payload, time.time()

    async def link(self, model: str, digest: str) -> KeptLink | None:
        """Return what is kept."""
        self._answer()
        key = link_key(model, digest)
        payload, since = self._links.get(key, (b"", float("-inf")))
        age = time.time() - since
        if age >= 2 * LINK_SECONDS:
            return None
        return KeptLink(payload, is_late=age >= LINK_SECONDS, is_used=key in self._used_links)

    async def take_link(self, model: str, digest: str) -> bool:
        """Mark it as used; False where it was."""
        self._answer()
        key = link_key(model, digest)
        is_first = key not in self._used_links
        self._used_links.add(key)
        return is_first

    async def give_link_back(self, model: str, digest: str) -> None:
        """Take the mark away."""
        self._answer()
        self._used_links.discard(link_key(model, digest))
