"""The signals that the launcher heeds, as something that it can wait for."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Signals:
    """What came and was not taken yet. It is readable when anything came, the end of a child too."""

    def __init__(self, wakeup: int) -> None:
        """*wakeup*: a descriptor that is readable when any signal came, and never blocks."""
        self._wakeup = wakeup
        self._came: list[signal.Signals] = []

    def fileno(self) -> int:
        """Return what is readable when anything came."""
        return self._wakeup

    def note(self, number: signal.Signals) -> None:
        """Remember a signal until it is taken."""
        self._came.append(number)

    def must_stop(self) -> bool:
        """Say whether a signal that waits to be taken ends the gateway."""
        return any(number is not signal.SIGHUP for number in self._came)

    def taken(self) -> list[signal.Signals]:
        """Return what came since the last time, in that order."""
        taken, self._came = self._came, []
        return taken

    def calm(self) -> None:
        """Be readable only when something more comes."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)


@contextlib.contextmanager
def heeded() -> Iterator[Signals]:
    """Note SIGTERM, SIGINT and SIGHUP, and make every signal (a child's end too) readable on a descriptor."""
    read_end, write_end = os.pipe()
    for end in (read_end, write_end):
        os.set_blocking(end, False)
    signals = Signals(read_end)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: signals.note(signal.Signals(got)))
    signal.signal(signal.SIGCHLD, lambda _got, _frame: None)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(-1)
        sys.stdout.flush()
