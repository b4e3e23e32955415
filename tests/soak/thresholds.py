"""What a soak must keep. A change here is a change of the promise, and says why."""

from __future__ import annotations

from typing import Final

UNEXPLAINED_FAILURES: Final = 0
"""A failure is explained by a fault that says beforehand, for a stated time, which failures it may cause."""

GROWTH_MIB: Final = 2.0
"""Of the memory (RSS) that a process holds, over the last third of the run; none was replaced since its middle. Of half
an hour that is 12 MiB an hour: allocators settle slowly, and a shorter run can show no less."""

DESCRIPTORS: Final = 2
THREADS: Final = 2
SERIES: Final = 0
"""How many more there may be at the end than when the last third began; each the least of its last samples."""

KILLED_SECONDS: Final = 2.0
"""After a worker was killed, how long its callers' connections may break."""

STORE_SECONDS: Final = 15.0
"""After the store was frozen, killed or wiped, how long feedback may be refused or forgotten."""
