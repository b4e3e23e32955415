"""The names under which a model's state lies in Redis, and the bounds of what lies there.

The braces are part of the key: they make the model its hash tag, so that all keys of one
script live in one slot.
"""

from __future__ import annotations

from typing import Final

CHANGES: Final = "gateway:changes"
"""The one channel on which every change is published. A message only says "look again"; its content is never used."""

AUDIT_ENTRIES: Final = 10_000
"""About how many audit entries a model keeps; the server trims whole blocks."""

HISTORY_LIMIT: Final = 1_000
"""The most audit entries that one call returns, so that an answer stays within the store's deadline."""

PAYLOAD_BYTES: Final = 1 << 20
"""The largest route that is written, and the largest that is read."""


def route_key(model: str) -> str:
    """Return the key of the hash that holds the route of *model* and its orders."""
    return f"gateway:{{{model}}}:route"


def audit_key(model: str) -> str:
    """Return the key of the stream that holds the history of *model*."""
    return f"gateway:{{{model}}}:audit"
