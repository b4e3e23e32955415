"""The Redis client library, imported without what it would bring along and nobody here uses.

Where OpenTelemetry is installed the library imports its SDK, for metrics of its own that are off and stay off. That
took 75 ms of every start and 2.5 MiB, whether or not anything was sent to a collector.
"""

from __future__ import annotations

import sys
from typing import Final

BESIDE: Final = "opentelemetry"
"""What the library imports where it can, and does without where it cannot."""


def import_bare() -> None:
    """Import the client library as if OpenTelemetry were not installed; later imports of that find it again.

    Changes nothing where either is imported already. Call it while no other thread imports.

    Source: The Python Language Reference, 5.3.1, "The module cache": None in it makes an import raise
    ModuleNotFoundError.
    """
    if BESIDE in sys.modules:
        return
    sys.modules[BESIDE] = None  # type: ignore[assignment]  # what the reference says, and typeshed does not
    try:
        import redis.asyncio  # noqa: F401 - for its effect
    finally:
        del sys.modules[BESIDE]
