"""What a result must say of where it was measured, so that two of them can be compared."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from gateway import __version__

LIBRARIES: Final = ("onnxruntime", "uvicorn", "uvloop", "redis", "numpy")


def load_average() -> float:
    """Return how many processes ran or waited to, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def starved_seconds(thread: str = "thread-self") -> float:
    """Return how long a thread was ready to run and had no processor, since it began; *thread*: its name in ``/proc``.

    Source: Linux, Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat.
    """
    return int(Path(f"/proc/{thread}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def machine(load_before: float) -> dict[str, Any]:
    """Return the machine's processors and load, *load_before* and now, and the versions of what ran on it."""
    return {
        "processors": os.cpu_count(),
        "load average before": load_before,
        "load average after": load_average(),
        "gateway": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }
