"""What a process gives up before it reads a file that may run code: the network, writing, other processes, limits.

Each measure is the kernel's and needs no rights; where a kernel lacks one the others still hold, and `confine` says
which do. Nothing here can be taken back, by the process itself or by a child of it.

Source: Linux, "Landlock: unprivileged access control", ABI 1 to 7; unshare(2); setrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

MAX_MEMORY_BYTES: Final = 16 << 30
"""Of address space, of which the libraries alone reserve some gigabytes."""

MAX_FILE_BYTES: Final = 4 << 30
MAX_FILES: Final = 256
MAX_PROCESSES: Final = 64
"""Processes and threads, of which the libraries start a few."""

_NEW_USER, _NEW_NET, _NEW_PID, _NEW_IPC = 0x10000000, 0x40000000, 0x20000000, 0x08000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVILEGES, _DIE_WITH_PARENT = 38, 1

_WRITES: Final = sum(1 << bit for bit in (1, *range(4, 13)))
"""LANDLOCK_ACCESS_FS_ of writing a file, and of removing and making entries; reading and executing stay allowed."""
_REFER, _TRUNCATE, _DEVICE_IO = 1 << 13, 1 << 14, 1 << 15
_WRITE_FILE: Final = 1 << 1
_TCP: Final = 0b11
_SCOPES: Final = 0b11
"""Abstract unix sockets and signals of processes outside."""

_libc = ctypes.CDLL(None, use_errno=True)


def confine(scratch: Path, *, seconds: int) -> list[str]:
    """Give up all but reading, computing and writing below *scratch*; return what holds, in words.

    Forks: the caller goes on in a process that ends when its parent does, and takes its own children with it.
    *seconds* bounds the processor time, per processor.
    """
    _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    _limit(seconds * (os.cpu_count() or 1))
    held = ["limits"]
    if _limit_processes():
        held.append("few processes")
    if _alone():
        held += ["no network", "no other processes"]
        _become_first()
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if _only_write_below(scratch):
        held.append("no writing elsewhere")
    return held


def _limit(seconds: int) -> None:
    wanted = (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CORE, 0),
    )
    for which, most in wanted:
        hard = resource.getrlimit(which)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (bound, bound))


def _limit_processes() -> bool:
    """Have the kernel refuse more than MAX_PROCESSES beside those this user has; say whether it does.

    It counts the user's threads everywhere, and never those of root.
    """
    if os.geteuid() == 0:
        return False
    most = MAX_PROCESSES + _threads_of(os.getuid())
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (bound, bound))
    return True


def _threads_of(user: int) -> int:
    """Return how many threads the *user* has now; a process that ends meanwhile counts for none."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == user:
                found += sum(1 for _ in (process / "task").iterdir())
    return found


def _alone() -> bool:
    """Leave the network and the table of processes; a namespace of users gives the right to, where we have none."""
    apart = _NEW_NET | _NEW_PID | _NEW_IPC
    return any(_libc.unshare(flags) == 0 for flags in (apart, _NEW_USER | apart))


def _become_first() -> None:
    """Go on as the first process of the new table: when it ends, the kernel ends every process in the table."""
    child = os.fork()
    if child == 0:
        _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        return
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _only_write_below(scratch: Path) -> bool:
    """Have the kernel refuse every write but below *scratch* and to /dev/null, and TCP; say whether it does."""
    abi = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    writes = _WRITES | (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_DEVICE_IO if abi >= 5 else 0)
    given = struct.pack("QQQ", writes, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    given = given[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = _libc.syscall(_CREATE_RULESET, given, ctypes.c_size_t(len(given)), 0)
    if rules < 0:
        return False
    try:
        held = _allow(rules, str(scratch), writes) and _allow(rules, os.devnull, writes & (_WRITE_FILE | _TRUNCATE))
        return held and _libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(rules: int, path: str, access: int) -> bool:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, place)
        return bool(_libc.syscall(_ADD_RULE, rules, 1, rule, 0) == 0)
    finally:
        os.close(place)
