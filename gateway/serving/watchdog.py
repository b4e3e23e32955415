"""Ends runs on the event loop that take too long. A thread of its own, since the loop is what is stuck.

Too long is what keeps a processor busy for more than a few hundredths of a second, and whatever the clock says is over
its time. A run that only waited for a processor, as on a machine that is overloaded, is not taken for a slow one.

While versions run it looks every few milliseconds instead of being told of each run: a run writes three attributes,
and wakes nobody. Where nothing ran for a while it sleeps, and the first run after that wakes it.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.ports.engine import Session

LOOK_SECONDS: Final = 0.02
"""How late a run is seen to be over its limit."""

BUSY_SECONDS: Final = 0.03
"""A run that took so much of a processor from one look on is stopped: everybody who calls this worker waits for it."""

LOOKS_BEFORE_SLEEP: Final = 10
"""After so many looks that found no run since the last, it sleeps; a run that wakes it pays 10 µs for that."""


class Watchdog:
    """Watches the one run that the event loop may be in, on whose thread it is made."""

    def __init__(self) -> None:
        self._clock = _clock_of_this_thread()
        self._seen = math.inf
        """The limit of the run that the last look found, as its name, and what the loop had spent until then."""
        self._spent = 0.0
        self._has_stopped = False
        self._session: Session | None = None
        self._until = math.inf
        self._has_run = False
        self.is_asleep = False
        self._is_closed = False
        self._woken = threading.Event()
        self._stopping = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="run-watchdog", daemon=True)
        self._thread.start()

    def begin(self, session: Session, until: float) -> None:
        """Stop *session* if the run is not over at *until*, on ``time.perf_counter``."""
        self._session = session
        self._until = until
        self._has_run = True
        if self.is_asleep:  # read behind the line above, as the thread writes and reads them the other way round
            self._woken.set()

    def end(self) -> None:
        """The run is over."""
        self._until = math.inf
        self._session = None

    def settle(self) -> bool:
        """Say, when no stop is under way, whether there was one.

        Called after each run that took longer than LOOK_SECONDS or its limit, or a stop might hit the next.
        """
        with self._stopping:
            had, self._has_stopped = self._has_stopped, False
            return had

    @property
    def is_alive(self) -> bool:
        """Say whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._woken.set()
        self._thread.join()

    def _watch(self) -> None:
        quiet = 0
        while not self._is_closed:
            if self._has_run or self._session is not None:
                self._has_run, quiet = False, 0
            elif quiet < LOOKS_BEFORE_SLEEP:
                quiet += 1
            else:
                self._sleep()
                quiet = 0
            self._woken.wait(LOOK_SECONDS)
            self._woken.clear()
            with self._stopping:
                session, until = self._session, self._until
                if session is not None and (time.perf_counter() > until or self._is_busy(until)):
                    self._has_stopped = True
                    session.stop()

    def _is_busy(self, until: float) -> bool:
        """Say whether the run with this limit, which no other has, took too much of a processor since it was seen."""
        if self._clock is None or until == math.inf:
            return False
        spent = time.clock_gettime(self._clock)
        if until != self._seen:
            self._seen, self._spent = until, spent
        return spent - self._spent > BUSY_SECONDS

    def _sleep(self) -> None:
        """Return when something runs."""
        self.is_asleep = True
        if not self._has_run:  # else it ran between the last look and the line above, and woke nobody
            self._woken.wait()
        self.is_asleep = False


def _clock_of_this_thread() -> int | None:
    """Return the clock of the processor time of the calling thread, None where a thread has none, as on macOS.

    Source: pthread_getcpuclockid(3).
    """
    if not hasattr(time, "pthread_getcpuclockid"):
        return None
    return time.pthread_getcpuclockid(threading.get_ident())
