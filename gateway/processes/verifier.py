"""The process that tries model files before a worker loads them.

It runs one thread, makes no session and forks for each probe, so it starts in milliseconds and cannot be hurt by a
file. The launcher starts it again if it ends; a worker that waited for it then asks again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.processes.start import Start


def preload() -> None:
    """Import what the process runs."""
    import gateway.assemble.verifier  # noqa: F401 - for its effect: the modules are there before the fork


def main(start: Start) -> None:
    """Answer for ever, until SIGTERM; what the launcher forks. The socket of *start* is the one it hears on."""
    from gateway.assemble.verifier import build_verifier
    from gateway.verification.asking import answer_next

    verifier = build_verifier(start)
    os.write(start.ready_fd, b"1")
    os.close(start.ready_fd)
    while True:
        answer_next(start.sock, verifier.verify)
