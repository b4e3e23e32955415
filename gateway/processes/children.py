"""Starting, telling and ending the gateway's own processes.

Children are forked from the launcher, which imported everything and runs one thread: they share the
pages of the interpreter and its libraries, and start in milliseconds. Inference sessions, event loops and
threads are only ever made in the child.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.processes.start import Start


log = logging.getLogger(__name__)

PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
POLL_SECONDS: Final = 0.02


class Child:
    """One process of the tree."""

    def __init__(self, name: str, main: Callable[[Start], None], start: Start) -> None:
        """Fork, and run *main* in the child; *name* is what process lists show. Call it from the only thread."""
        self.started = time.monotonic()
        self._exit_code: int | None = None
        self._is_ready = False
        self._read_end: int | None
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            _become(name, main, replace(start, ready_fd=write_end), parent)
        os.close(write_end)

    @property
    def read_end(self) -> int | None:
        """The pipe that says ready, and ends when the process does; None once the process was buried."""
        return self._read_end

    @property
    def exit_code(self) -> int | None:
        """The exit code, or minus the signal; None while it runs."""
        if self._exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code

    def is_ready(self) -> bool:
        """Say whether it has been ready once."""
        if not self._is_ready and self._read_end is not None:
            try:
                self._is_ready = bool(os.read(self._read_end, 1))
            except BlockingIOError:
                return False
        return self._is_ready

    def tell(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended gets none."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def end(self, *, within_seconds: float) -> None:
        """Wait for the process, and kill it when the time is over. Safe to call twice."""
        until = time.monotonic() + within_seconds
        while self.exit_code is None and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        self.tell(signal.SIGKILL)
        while self.exit_code is None:
            time.sleep(POLL_SECONDS)
        if self._read_end is not None:
            os.close(self._read_end)
            self._read_end = None


def _become(name: str, main: Callable[[Start], None], start: Start, parent: int) -> None:
    """Turn the fork into the child and never return."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the launcher, which drains first
        entrances = [each for each in (start.entrance, start.rpc) if each is not None]
        sockets = [sock for each in entrances for sock in each.sockets()]
        asked = [start.asked] if start.asked is not None else []
        _close_all_but({0, 1, 2, start.ready_fd, *(each.fileno() for each in sockets + asked)})
        _die_with(parent, name)
        main(start)
        code = 0
    except Exception:  # the outermost door of the process
        log.exception("%s failed", name)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # the launcher's frames lie below this one, and their clean-up is not the child's


def _close_all_but(kept: set[int]) -> None:
    """Let go of what belongs to the launcher and to other children. Their Python objects stay alive, and unused."""
    for name in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():  # noqa: PTH208 - names, no paths
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # the descriptor of the listing itself


def _die_with(parent: int, name: str) -> None:
    """Ask the kernel for SIGTERM when the launcher dies, even by SIGKILL, and for a name in process lists. Linux only.

    Source: prctl(2), PR_SET_PDEATHSIG and PR_SET_NAME.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_NAME, name.encode()[:15])
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
