"""The listening sockets. The launcher opens and keeps them, so that no worker's end closes a port."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.core.errors import InvalidSettings
from gateway.processes.kept_connections import KeptConnections, queue

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a process is reached: a socket, and what brings connections there that somebody else accepted.

    *kept*: None where nobody does, as for the control process and the verifier.
    """

    sock: socket.socket
    kept: KeptConnections | None = None

    def sockets(self) -> tuple[socket.socket, ...]:
        """Return all that a process must hold to be reached here."""
        return (self.sock, *(self.kept.ends() if self.kept is not None else ()))

    def close(self) -> None:
        """Let go of it; what waits there is gone once every process did."""
        for each in self.sockets():
            each.close()


def shared(sockets: Sequence[socket.socket]) -> list[Entrance]:
    """Return an entrance for each of *sockets*, with a queue of its own: workers take over each other's connections."""
    return [Entrance(sock, queue()) for sock in sockets]


def open_sockets(host: str, port: int, count: int, flag: str) -> list[socket.socket]:
    """Return *count* sockets bound to one address; the kernel spreads new connections over those that listen.

    Each belongs to a worker's slot and outlives the worker: connections that arrive between a death
    and its replacement wait in the socket's queue. Raises InvalidSettings naming *flag*.
    """
    if port and _is_taken(host, port):
        raise InvalidSettings(_taken(host, port, flag))
    sockets: list[socket.socket] = []
    for _ in range(count):
        sock = socket.socket(_family(host), socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if count > 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sock.bind((host, sockets[0].getsockname()[1] if sockets else port))
        except (OSError, socket.gaierror) as exc:
            for each in [*sockets, sock]:
                each.close()
            if getattr(exc, "errno", None) == errno.EADDRINUSE:
                raise InvalidSettings(_taken(host, port, flag)) from exc
            raise InvalidSettings(f"cannot listen on {host}:{port} ({flag}): {exc}") from exc
        sockets.append(sock)
    return sockets


def _is_taken(host: str, port: int) -> bool:
    """Say whether somebody else holds the address: with SO_REUSEPORT a second gateway could share it unseen."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            return exc.errno == errno.EADDRINUSE
    return False


def _taken(host: str, port: int, flag: str) -> str:
    return f"{host}:{port} is in use by another program; stop that one, or choose another port with {flag}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
