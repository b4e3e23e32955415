"""Ends runs on the event loop that take too long. A thread of its own, since the loop is what is stuck.

It looks every few milliseconds instead of being told of each run: a run writes two attributes and wakes nobody.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.ports import Session

LOOK_SECONDS: Final = 0.02
"""How late a run is seen to be over its limit."""


class Watchdog:
    """Watches the one run that the event loop may be in."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._until = math.inf
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="run-watchdog", daemon=True)
        self._thread.start()

    def begin(self, session: Session, until: float) -> None:
        """Stop *session* if the run is not over at *until*, on ``time.perf_counter``."""
        self._session = session
        self._until = until

    def end(self) -> None:
        """The run is over."""
        self._until = math.inf
        self._session = None

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            session = self._session
            if session is not None and time.perf_counter() > self._until:
                session.stop()
