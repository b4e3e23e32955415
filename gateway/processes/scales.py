"""Which worker holds more memory than it may, so that the launcher replaces it before the kernel kills it.

It decides and replaces nobody. A worker that was over the limit when it became ready is left alone: its successor
would be too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from gateway.models.memory import anonymous_bytes, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

log = logging.getLogger(__name__)

WEIGH_SECONDS: Final = 2.0
"""How often workers are weighed; a look costs 0.1 ms each."""

REST_SECONDS: Final = 60.0
"""After a successor that did not become ready, how long nobody is weighed: the launcher has others to look after."""


class Scales:
    """Weighs workers against one limit."""

    def __init__(self, limit_bytes: int, weigh: Callable[[int], int] = anonymous_bytes) -> None:
        """*limit_bytes*: what one worker may hold in memory that no file backs; 0 weighs nobody.

        *weigh*: process id → bytes, 0 where that is not known.
        """
        self._limit = limit_bytes
        self._weigh = weigh
        self._next_look = 0.0
        self._at_first: dict[int, int] = {}

    def too_heavy(self, ready: Collection[int], now: float) -> int | None:
        """Return the heaviest process of *ready* that grew over the limit, None where none did or it is not yet time.

        *now*: seconds of the monotonic clock.
        """
        if not self._limit or now < self._next_look:
            return None
        self._next_look = now + WEIGH_SECONDS
        held = {pid: self._weigh(pid) for pid in ready}
        for pid in held.keys() - self._at_first.keys():
            self._meet(pid, held[pid])
        self._at_first = {pid: self._at_first[pid] for pid in held}
        grown = [pid for pid in held if held[pid] > self._limit >= self._at_first[pid]]
        heaviest = max(grown, key=held.__getitem__, default=None)
        if heaviest is not None:
            log.warning(
                "worker process %d holds %s, over --worker-memory (%s); it is replaced, its successor first",
                heaviest, shown(held[heaviest]), shown(self._limit),
            )  # fmt: skip
        return heaviest

    def rest(self, now: float) -> None:
        """Weigh nobody for a while."""
        self._next_look = now + REST_SECONDS

    def _meet(self, pid: int, held: int) -> None:
        """Note what a process holds that has just become ready."""
        self._at_first[pid] = held
        if held > self._limit:
            log.error(
                "worker process %d holds %s from its start, over --worker-memory (%s), and is left alone: "
                "raise the limit, or load fewer versions",
                pid, shown(held), shown(self._limit),
            )  # fmt: skip
