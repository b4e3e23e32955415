"""Every figure that a fault may cost. A change here is a change of the contract, docs/faults.md, and says why there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limit:
    """The figures that keep a promise: from *least* to *most*, both included."""

    most: float = math.inf
    least: float = -math.inf
    unit: str = ""

    def holds(self, figure: float) -> bool:
        """Say whether *figure* keeps the promise; what could not be measured, NaN, does not."""
        return self.least <= figure <= self.most

    def __str__(self) -> str:
        if self == RECORDED:
            return "recorded, ms"
        bound = f"≤ {self.most:g}" if self.least == -math.inf else f"≥ {self.least:g}"
        return f"{bound} {self.unit}".strip()


RECORDED: Final = Limit(unit="ms")
"""Shown and not judged: what a busy machine moves more than any fault does."""

NONE: Final = Limit(most=0)
"""Requests lost, answers off the recorded revision, readiness lost, processes gone."""

ALL: Final = Limit(least=1.0, unit="of all")

SLOWER: Final = Limit(most=5.0, unit="ms")
"""By how much the median and the p99 of requests may grow while the store is broken, or another model hangs."""

WRITE: Final = Limit(most=1.0, unit="s")
"""The slowest refusal of a change: twice the socket's time-out, and the way."""

TOLD: Final = Limit(most=2.0, unit="s")
"""Until ``gateway_store_up`` says so: a poll that meets its deadline, and a report of each worker."""

BACK: Final = Limit(most=3.0, unit="s")
"""From the mended store to the first change that is taken."""

AGREED: Final = Limit(most=3.0, unit="s")
"""From a store that was set back to all workers serving what it holds."""

FOLLOWED: Final = Limit(most=50.0, unit="ms")
"""The p99, over changes, of how long after it was accepted the slowest of four workers was sent what it answered by the
revision before."""

FOLLOWED_BY_POLLING: Final = Limit(most=2.0, unit="s")
"""The same at worst, over changes whose publication nobody heard."""

READY_AFTER_STORE: Final = Limit(most=2.0, unit="s")

POISONED: Final = 20
"""Documents that no release ever wrote; each is counted once by each worker."""

DEADLINE: Final = Limit(most=0.5, unit="s")
"""By how much an answer may miss its deadline while the wall clock steps, too soon or too late."""

LATE: Final = Limit(most=50.0, unit="ms")
"""How long after its deadline a request is answered, at worst, whose run does not end."""

FREED: Final = Limit(most=0.2, unit="s")
"""From the last of many callers who left to the answer of somebody else by the same version."""

UNSEEN: Final = Limit(most=1.0, unit="s")
"""The same to nothing in flight in /metrics: a worker says what it has twice a second, and /metrics is read."""

STALL: Final = Limit(most=0.15, unit="s")
"""The longest that one request waits while a version of 640 MB is loaded and unloaded."""

BESIDE: Final = Limit(most=20.0, unit="ms")
"""By how much the p99 of requests may grow meanwhile."""

KEPT: Final = Limit(most=10.0, unit="MiB")
"""What a worker holds more of at least, after each of ten times that a version of 30 MB came and went but
the first three."""

HEAPED: Final = Limit(most=100.0, unit="MiB")
"""The same at most: glibc keeps up to 64 MiB at the end of the heap of a thread, which malloc_trim does not reach, and
uses it for the next load."""

POINT: Final = Limit(most=0.5, unit="points")
"""By how much the part of users that move may differ from what the weights say."""

CHANCE: Final = Limit(least=1e-4)
"""How likely a split as far off as what was seen is, of each worker: χ² of one degree of freedom."""

TAKEN_BACK: Final = Limit(most=1.0, unit="s")
"""From a canary's first failure, at the p95 of rollbacks, to the last request that a worker of the fleet answered by
the split with it; and at worst from the failure that decides."""

IN_FLIGHT: Final = Limit(most=2.0, unit="a kill")
"""Requests of L (100 a second, well under a millisecond each) that a dying worker may take with it, on average."""

POISONED_WORKERS: Final = Limit(most=2.0, unit="workers")
"""So many an input may kill that kills whoever runs it, however often it is sent: two within a minute are no chance."""

UNCOUNTED: Final = Limit(most=100.0, unit="a file")
"""Answers that only a spoiled file of counters had, of its worker since the last scrape: a second of L, if that worker
got all of it."""

SCRAPED: Final = Limit(most=0.5, unit="s")
"""The slowest scrape, once a second, while files of counters are spoiled and workers end."""

STALLED: Final = Limit(most=25.0, unit="a kill")
"""Requests that a worker takes with it which the kernel holds up, looking for memory, before it kills it: half a second
of its share of L."""

REPLACED: Final = Limit(most=2.0, unit="s")
"""From the kill of a process to its replacement, a worker's with every version ready, which are small here."""

ORPHANED: Final = Limit(most=4.0, unit="s")
"""From the kill of the launcher to the end of its children: the kernel tells them, and they finish what they have."""

ANSWERED: Final = Limit(most=3.0, unit="s")
"""The slowest answer on a new connection while a worker hangs: a second until the launcher knows, and a busy machine.
Without its help a caller that the kernel sends there waits for the replacement."""

RECYCLED: Final = Limit(most=15.0, unit="s")
"""From the wedge of a worker, by whatever means, to its replacement."""

LIGHTER: Final = Limit(most=20.0, unit="s")
"""From a worker over ``--worker-memory`` to its replacement, which drains it first."""

HELD: Final = Limit(most=200.0, unit="MiB")
"""By how much a worker may grow while a hundred callers send 32 MiB each and may make it hold 96 MiB: those, and three
times a body for the one that is being made into tensors."""

GOODPUT: Final = Limit(least=0.9, unit="of the peak")

SHED: Final = Limit(most=50.0, unit="ms")
"""The p99 of a refusal at five times what can be served, from when the request was due."""

SERVED: Final = Limit(most=1.5, unit="s")
"""The p95 of what is answered at five times what can be served: a full queue before it, and a busy machine."""

AIMED: Final = Limit(most=0.6, unit="s")
"""The p95 of an answer there, of a version whose latency target is 0.3 s: twice that, for a busy machine."""

SOME: Final = Limit(least=1)
