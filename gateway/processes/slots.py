"""The places of a gateway's processes: each stays, with all that its next process is to know of the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.processes.children import Child
    from gateway.processes.sockets import Entrance
    from gateway.telemetry.runs import Running


class Slot:
    """A child's place: its socket stays, the processes come and go."""

    def __init__(
        self,
        number: int,
        entrance: Entrance,
        rpc: Entrance | None = None,
    ) -> None:
        """*entrance*: where its process is reached; *rpc*: where a worker is over gRPC, None where that is off."""
        self.number = number
        self.entrance = entrance
        self.rpc = rpc
        self.child: Child | None = None
        self.not_before = 0.0
        self.accept_after = 0.0
        """Seconds that the next process here may let connections wait until it is ready: none at the first start."""
        self.has_died = False
        """Whether the last process here died or hung; the next one counts that."""
        self.lost: tuple[Running, ...] = ()
        """What the last process here was running when it crashed; the next one counts it."""
        self.rests = False
        """Whether its process ended because nobody asked it anything; the next one is started for the next question."""

    def entrances(self) -> Sequence[Entrance]:
        """Return where its process is reached, in the same order for all workers."""
        return [self.entrance] if self.rpc is None else [self.entrance, self.rpc]

    def is_up(self) -> bool:
        """Say whether its process has been ready, or need not be."""
        return self.rests or (self.child is not None and self.child.is_ready())
