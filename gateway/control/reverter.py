"""A worker's way back: a canary to 0 by compare-and-set, without asking anybody.

Safety needs no election: a rollback only ever lowers, so every worker may do it, and the one that is first wins.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gateway.control.rollout_writes import WHO, taken_back
from gateway.core import stored
from gateway.core.errors import RevisionConflict
from gateway.core.notification import alert

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports.store import Store


class StoreReverter:
    """Implements ``ports.Reverter`` over the store. *digest_of* returns a version's digest, or nothing."""

    def __init__(self, store: Store, digest_of: Callable[[str, int], str]) -> None:
        self._store = store
        self._digest_of = digest_of

    async def roll_back(self, model: str, rollout_id: str, version: int, reason: str, guard: str) -> bool:
        digest_of = partial(self._digest_of, model)
        while True:
            found = await self._store.read(model)
            if found is None:
                return False
            held = stored.decode(model, found.payload, found.digest)
            write = taken_back(
                held, rollout_id, version, found.revision, reason=reason, guard=guard, digest_of=digest_of
            )
            if write is None:
                return False
            try:
                await self._store.write(
                    model,
                    stored.encode(write.held),
                    write.entry,
                    expected=found.revision,
                    fence=write.fence,
                    told=write.told,
                )
            except RevisionConflict:
                continue
            return True

    async def alarm(self, model: str, version: int, revision: int, worker: str) -> None:
        reason = f"worker {worker} alone finds it bad and asks it no more, the fleet does not: look at that host"
        await self._store.tell(alert(model, revision, actor=WHO, reason=reason, version=version))
