"""The process that tries model files before a worker loads them.

It runs one thread, makes no session and forks for each probe, so it starts in milliseconds and cannot be hurt by a
file. It ends when nobody asks, and the launcher starts it again for the next question; if it ends otherwise, a worker
that waited for it asks again.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.processes.start import Start


IDLE_SECONDS: Final = 3.0
"""After so long without a question the process ends, and gives back the pages that it no longer shares."""


def preload() -> None:
    """Import what the process runs."""
    import gateway.assemble.verifier  # noqa: F401 - for its effect: the modules are there before the fork


def main(start: Start) -> None:
    """Answer until nobody asks, or SIGTERM; what the launcher forks. The socket of *start* is the one it hears on."""
    from gateway.assemble.verifier import build_verifier
    from gateway.verification.asking import answer_next

    verifier = build_verifier(start)
    os.write(start.ready_fd, b"1")
    os.close(start.ready_fd)
    hears = start.entrance.sock
    while select.select([hears], [], [], IDLE_SECONDS)[0]:
        answer_next(hears, verifier.verify)
