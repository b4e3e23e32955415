"""The listening sockets. The launcher opens and keeps them, so that no worker's end closes a port."""

from __future__ import annotations

import errno
import socket

from gateway.core.errors import InvalidSettings


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
