"""How many requests may wait for a version so that what is answered is answered within the version's latency target.

Additive increase and multiplicative decrease, once per round of the queue, held within what the last run's speed says.
Judged per run of the engine and not per request, since all requests of a run end together. What a lane can choose is
how many wait; how long a run takes it cannot. So a run that is late by itself, and not because its requests waited,
changes nothing. Pure: the caller brings the times.

Sources: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer
Networks", Computer Networks and ISDN Systems 17(1), 1989. Against a latency objective of joined runs, with cuts of a
tenth: Crankshaw et al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI 2017. What fits a target at a
given speed: Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9(3), 1961.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

CUT: Final = 0.9
"""What is left of the room after a round that was late. Gentle, so that steady overload keeps the engine busy."""

STEP: Final = 0.1
"""By how much of itself the room grows in a round that was in time and needed it; by one request at least."""

WAITING_PART: Final = 0.5
"""A late request was kept by the queue where it waited at least this part of its run's time. Behind an engine that is
never idle it waits for a whole run."""

INSTANT_SECONDS: Final = 1e-9
"""What a run takes at least, on a clock that shows no difference."""


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """The limit as it is now. A value: a run gives the next one.

    *target_seconds*: what a request may take from its arrival in the queue to the end of its run. *most*: requests,
    what the operator allows at all. *room*: requests that may wait, from 1 to *most*; parts of one count when they add
    up. *changed_at*: when the room was changed last, on the caller's clock. Raises ValueError where these cannot be.
    """

    target_seconds: float
    most: int
    room: float
    changed_at: float = -math.inf

    def __post_init__(self) -> None:
        if not 0 < self.target_seconds < math.inf or not 1 <= self.room <= self.most:
            raise ValueError(f"a limit takes a target over 0 s, and room from 1 to its most: not {self}")

    @property
    def requests(self) -> int:
        """How many requests may wait; never 0, so that a version that is asked is tried."""
        return int(self.room)

    def after_run(self, *, arrived: float, began: float, ended: float, answered: int, waiting: int) -> QueueLimit:
        """Return the limit after a run; this one where the run is no reason to change it.

        arrived <= began <= ended: seconds on one monotonic clock, when the oldest request of the run came into the
        queue, when the run took it, and when the run was over. answered: its requests, at least 1. waiting: those
        that are in the queue at its end. A run whose oldest request was let in before the last change is none of
        its effects. Cannot fail.
        """
        if arrived < self.changed_at:
            return self
        seconds = max(ended - began, INSTANT_SECONDS)
        fits = min(answered * (self.target_seconds / seconds - 1), self.most)
        if ended - arrived <= self.target_seconds:
            is_needed = 2 * max(answered, waiting) >= self.room
            return self._grown(fits, ended) if is_needed and fits > self.room else self
        if began - arrived < WAITING_PART * seconds:
            return self
        return self._with(min(CUT * self.room, fits), ended)

    def _grown(self, fits: float, now: float) -> QueueLimit:
        return self._with(min(fits, self.room + max(1.0, STEP * self.room)), now)

    def _with(self, room: float, now: float) -> QueueLimit:
        return QueueLimit(self.target_seconds, self.most, max(1.0, room), now)


def open_limit(target_seconds: float, most: int) -> QueueLimit:
    """Return the limit of a version that has run nothing: all that is allowed, until a run shows that it is too much.

    Raises ValueError as `QueueLimit`.
    """
    return QueueLimit(target_seconds, most, most)
