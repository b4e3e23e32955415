"""How an evaluation ends when it does not end well. Each message says what happened, where, and what to do."""

from __future__ import annotations

from gateway.core.errors import GatewayError


class CannotEvaluate(GatewayError):
    """The rows, the version or what one asks of the other do not make an evaluation; nothing was recorded."""


class InvalidGates(GatewayError):
    """The file of gates cannot be read as one; the message says at which place."""
