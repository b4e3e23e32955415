"""Asking for a probe from another process, over a socket that all who ask share.

Each question carries one end of a pair of sockets of its own, on which the answer comes back: so answers cannot be
mixed up, and the end of either side is seen at once.
"""

from __future__ import annotations

import json
import logging
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from gateway.ports.engine import Candidate, Finding

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

QUESTION_BYTES: Final = 1 << 20
ANSWER_BYTES: Final = 1 << 16

ANSWER_SECONDS: Final = 900.0
"""How long a question may wait: other probes come first, and each may take minutes."""

UNANSWERED: Final = Finding("unverified", "the process that tries model files gave no finding; it is asked again")


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the end that is asked on, and the end that hears."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


class RemoteVerifier:
    """Implements Verifier over the end that is asked on."""

    def __init__(self, asked: socket.socket, *, seconds: float = ANSWER_SECONDS) -> None:
        """*seconds*: how long an answer is waited for."""
        self._asked = asked
        self._seconds = seconds

    def verify(self, candidate: Candidate) -> Finding:
        """Return the finding; UNANSWERED where the other side is gone or takes too long."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(self._seconds)
            try:
                with theirs:
                    socket.send_fds(self._asked, [json.dumps(asdict(candidate)).encode()], [theirs.fileno()])
                said = b""
                while piece := ours.recv(ANSWER_BYTES):
                    said += piece
                return Finding(**json.loads(said)) if said else UNANSWERED
            except OSError as exc:
                logger.warning("version %d of model %r is not verified: %s", candidate.version, candidate.model, exc)
                return UNANSWERED


def answer_next(hears: socket.socket, verify: Callable[[Candidate], Finding]) -> None:
    """Wait for the next question, and answer it by *verify*."""
    question, descriptors, _, _ = socket.recv_fds(hears, QUESTION_BYTES, 1)
    if not descriptors:
        return
    with socket.socket(fileno=descriptors[0]) as back:
        finding = verify(Candidate(**json.loads(question)))
        try:
            back.sendall(json.dumps(asdict(finding)).encode())
        except OSError:
            logger.info("who asked for version %d has gone; the finding is kept", json.loads(question)["version"])
