"""What one connection may take of a worker, where an operator may want it otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds and connections; each deadline is total, so that a caller who drips bytes gains nothing by it."""

    head_seconds: float = 10.0
    """From the connection, or a request's first byte on a kept one, to the end of its headers."""
    body_seconds: float = 60.0
    """From the end of the headers to the end of the body."""
    write_seconds: float = 30.0
    """How long an answer may wait for a caller that does not read it."""
    connections: int = 4096
    """Open at once, per worker; each costs about 20 KiB and a file descriptor."""
