"""What replicas tell each other, in Redis. It keeps words and forgets those who fell silent; it reads none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.ports.store import REPLICA_SECONDS
from gateway.store.calls import run_script
from gateway.store.fleet_words import ANNOUNCE, check_words
from gateway.store.keys import REPLICAS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.store.calls import Calls


class RedisFleet:
    """Implements ``ports.FleetStore``."""

    _calls: Calls

    async def announce(self, replica: str, words: str, *, seconds: float = REPLICA_SECONDS) -> Mapping[str, str]:
        """Say *words* for *replica*, and return what every replica says now. Raises StoreUnavailable, ValueError."""
        check_words(replica, words)
        async with self._calls.bounded() as ask:
            reply = await run_script(ask, ANNOUNCE, [REPLICAS], [replica, words, round(seconds * 1000)])
        texts = [each.decode("utf-8", "replace") for each in reply]
        return dict(zip(texts[::2], texts[1::2], strict=True))
