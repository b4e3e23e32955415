"""The threads that the runtime keeps for one session, by the clocks that count their CPU time.

The runtime does not tell who they are. They are found as the threads of this process that appear while the session is
built and that Python did not start. Linux only, as the gateway is.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Built = TypeVar("Built")
Pool = tuple[int, ...]
"""Identifiers of clocks, for ``time.clock_gettime``; each lives as long as its thread, which the session keeps."""

TASKS: Final = Path("/proc/self/task")
PER_THREAD_SCHED: Final = 0b110
"""CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED, of Linux' include/linux/posix-timers_types.h."""


def with_pool(build: Callable[[], Built], threads: int) -> tuple[Built, Pool]:
    """Return what *build* builds, and the clocks of the *threads* threads that it started.

    No clocks where another number of threads appeared meanwhile: then nobody knows which they are. Raises as *build*.
    """
    if threads < 1:
        return build(), ()
    before = _tasks()
    built = build()
    found = _tasks() - before - {thread.native_id for thread in threading.enumerate()}
    return built, tuple(clock_of(task) for task in sorted(found)) if len(found) == threads else ()


def clock_of(task: int) -> int:
    """Return the clock of the CPU time of the thread *task* of this process.

    Source: MAKE_THREAD_CPUCLOCK of Linux and glibc, which clock_getcpuclockid and pthread_getcpuclockid use.
    """
    return ~task << 3 | PER_THREAD_SCHED


def _tasks() -> set[int]:
    """Return the threads of this process; none where the kernel does not show them."""
    try:
        return {int(each.name) for each in TASKS.iterdir()}
    except OSError:
        return set()
