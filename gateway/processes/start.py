"""What the launcher gives a child."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.processes.tls import Contexts

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from gateway.processes.sockets import Entrance
    from gateway.settings import Settings
    from gateway.telemetry.runs import Running

NO_TLS: Final = Contexts()


@dataclass(frozen=True, slots=True)
class Start:
    """What a child is given. It writes a byte to *ready_fd* when it is ready.

    *accept_after*: seconds that connections may wait for it to be ready, where others answer meanwhile.
    *follows_a_death*: the process before it died or hung. *lost*: what that was running when it crashed.
    *mark*: what this start of the gateway drew, and no other one; the same for all its processes.
    *rpc*: where a worker is reached over gRPC, None where that is off. *asked*: where a worker asks for probes of model
    files; None where nobody tries them. *tls*: what the ports speak TLS with.
    """

    settings: Settings
    slot: int
    entrance: Entrance
    reports: Path
    slabs: Path
    store_url: str
    accept_after: float = 0.0
    ready_fd: int = -1
    lost: tuple[Running, ...] = ()
    follows_a_death: bool = False
    rpc: Entrance | None = None
    asked: socket.socket | None = None
    mark: str = ""
    tls: Contexts = NO_TLS
