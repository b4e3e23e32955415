"""What the launcher gives a child."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.processes.tls import Contexts

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from gateway.processes.kept_connections import KeptConnections
    from gateway.settings import Settings
    from gateway.telemetry.runs import Running

NO_TLS: Final = Contexts()


@dataclass(frozen=True, slots=True)
class Start:
    """What a child is given. It writes a byte to *ready_fd* when it is ready.

    *accept_after*: seconds that connections may wait for it to be ready, where others answer meanwhile.
    *follows_a_death*: the process before it died or hung. *lost*: what that was running when it crashed.
    *mark*: what this start of the gateway drew, and no other one; the same for all its processes.
    *rpc_sock*: where a worker's gRPC door listens, None where it is off. *asked*: where a worker asks for probes of
    model
    files; None where nobody tries them. *tls*: what the ports speak TLS with. *kept*: what passes a worker's open
    connections on to the next one in its slot.
    """

    settings: Settings
    slot: int
    sock: socket.socket
    reports: Path
    slabs: Path
    store_url: str
    accept_after: float = 0.0
    ready_fd: int = -1
    lost: tuple[Running, ...] = ()
    follows_a_death: bool = False
    rpc_sock: socket.socket | None = None
    asked: socket.socket | None = None
    mark: str = ""
    tls: Contexts = NO_TLS
    kept: KeptConnections | None = None
