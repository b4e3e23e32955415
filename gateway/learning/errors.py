"""How a learner ends when it does not end well. Each message says what happened, where, and what to do."""

from __future__ import annotations

from gateway.core.errors import GatewayError


class CannotLearn(GatewayError):
    """The learner's document, the serving version and the state do not go together; nothing was learned or written."""


class Diverged(GatewayError):
    """The pipeline met rows that it could not learn, or makes nothing finite any more; it is not to be used again."""


class StateUnreadable(GatewayError):
    """What lies in the state directory is no state of this learner; it is never read half, or as a pickle."""
