"""What a learner asks of a gateway, and how it is told that the gateway is away or refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.phases import Phase


class GatewayAway(GatewayError):
    """The gateway does not answer; what is learned meanwhile waits."""


class RolloutRefused(GatewayError):
    """The gateway answered and started no rollout; the message is its own."""


@dataclass(frozen=True, slots=True)
class LastRollout:
    """The model's last rollout, or the one under way. *reason*: why it stands where it does, in the gateway's words."""

    phase: Phase
    candidates: tuple[int, ...]
    is_over: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the gateway says now. *serving*: the baseline of a rollout under way, else the version with most weight."""

    serving: int
    rollout: LastRollout | None


class Admin(Protocol):
    """A gateway's admin API, for one model. Every call blocks, and raises GatewayAway."""

    def look(self) -> Seen:
        """Return what serves, and the last rollout."""
        ...

    def drifted(self, version: int) -> tuple[str, ...]:
        """Return what has drifted of *version*, inputs and predictions, in the gateway's words; none if nothing."""
        ...

    def start(self, version: int, plan: Mapping[str, Any], reason: str) -> None:
        """Start a rollout of *version*. Raises RolloutRefused."""
        ...
