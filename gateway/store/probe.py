"""Whether a server answers on a unix socket: one PING over a plain socket, no client library, no event loop."""

from __future__ import annotations

import socket
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PROBE_SECONDS: Final = 0.5


class Answer(Enum):
    """What a PING brought."""

    READY = auto()
    LOADING = auto()
    """It lives and reads its journal."""
    NONE = auto()


def probe(path: Path) -> Answer:
    """Ask the server at *path* once; takes at most about PROBE_SECONDS."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PROBE_SECONDS)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            reply = connection.recv(64)
    except OSError:
        return Answer.NONE
    if reply.startswith(b"+PONG"):
        return Answer.READY
    return Answer.LOADING if reply.startswith(b"-LOADING") else Answer.NONE
