"""How an optimisation ends when it does not end well. Each message says what happened, where, and what to do."""

from __future__ import annotations

from gateway.core.errors import GatewayError


class CannotOptimize(GatewayError):
    """The version, the rows or the repository do not allow it; nothing was published."""
