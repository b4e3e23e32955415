"""What a soak must keep. A change here is a change of the promise, and says why."""

from __future__ import annotations

from typing import Final

UNEXPLAINED_FAILURES: Final = 0
"""A failure is explained by a fault that says beforehand, for a stated time, which failures it may cause."""

GROWTH_MIB: Final = 2.0
"""Of the memory that a process holds and no file backs (RssAnon), over the last third of the run; none was replaced
since its middle. Of half an hour that is 12 MiB an hour: allocators settle slowly, and a shorter run can show no less.
"""

DESCRIPTORS: Final = 2
THREADS: Final = 2
"""How many more there may be at the end than when the last third began; each the least of its last samples."""

SERIES: Final = 0
"""How many may begin, and stay, in the last third and once every fault had its turn: their labels are bounded, so all
have been seen by then, and one more in each minute is a leak. A set that comes and goes with a fault is none."""

VANISHED_COUNTERS: Final = 0
"""Counters that were missing at a look after they had begun, whatever broke; an unloaded version's end."""

P99_GROWS_MS: Final = 5.0
"""By how much the p99 of the last third may be over that of the sixth of the run before it, each the median of its
windows of ten seconds: what a broken store may add (R1). Both see the same faults, so more is the gateway's age."""

LAG_MS: Final = 20.0
LAG_P99_MS: Final = 150.0
"""How late the slowest worker's event loop may be: half of the times it is looked at, and at worst, when 64 MiB are
loaded beside (R12). Of a machine that has a processor left for each worker beside the load."""

KILLED_SECONDS: Final = 2.0
"""After a worker was killed, how long its callers' connections may break."""

UNWRITTEN_SECONDS: Final = 1.0
"""Before a worker was killed, from when on its labels may be unknown: answers are written down ten times a second."""

MENDED_SECONDS: Final = 3.0
"""After a store that was killed or wiped is followed again, how long what it held before may be unknown."""
