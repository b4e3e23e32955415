"""What the batches of one version take of the processor: the CPU time of the thread that runs them, and of the
session's own threads.

Reading a thread's CPU clock is a call of the kernel: 0.3 to 0.7 µs, and more when the last one was long ago. A version
that runs on the event loop is therefore measured in some of its batches, and each of those stands for itself and those
before it that were not. The error of the sum shrinks with the root of the number of batches; what is left is that a
reading slows down what follows it.

Measured against all of the thread's time, breast cancer model, on a busy machine: runs of one row (7 µs) were told 10
to 25 % too long, 10,000 runs of 1 to 64 rows 4 to 19 %; of 100 such runs the sum was up to 75 % wrong. One batch in 16
was more exact and cost 0.7 µs per batch; one in 64 costs too little to be told from the noise.

Not thread-safe: one thread at a time runs the batches of a lane.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.models.loaded import LoadedVersion

MEASURED_EVERY: Final = 64
"""On the loop one batch of so many is measured, once the version is well known; the first ones more often."""

READINGS: Final = 5
"""The quickest of so many tells what a reading costs itself, which is no time of a batch."""


class CpuTime:
    """The clock of one version, and which batches are due to be measured by it.

    *untold*: batches that began since the last that was measured; its caller counts them, for a call would cost more
    than the count. *every*: one of so many is due.
    """

    __slots__ = ("_clock", "_reading", "_version", "every", "untold")

    def __init__(self, version: LoadedVersion, clock: Callable[[], float] = time.thread_time) -> None:
        """*clock*: the CPU time of the calling thread, seconds."""
        self.untold = 0
        self.every = 1
        self._version = version
        self._clock = clock
        self._reading = min(-self._now() + self._now() for _ in range(READINGS))

    def begin(self) -> float:
        """Read the clock before a batch. Twice: the first reading after a while is slow, and slow after its moment."""
        self._now()
        return self._now()

    def since(self, before: float) -> float:
        """Return the CPU seconds that the batch took which began at *before*, times the batches that it stands for."""
        batches, self.untold = self.untold, 0
        self.every = min(2 * self.every, MEASURED_EVERY)
        return max(0.0, batches * (self._now() - before - self._reading))

    def _now(self) -> float:
        return self._clock() + self._version.session.pool_seconds()
