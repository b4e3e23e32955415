"""What a tree of processes costs, read from ``/proc``. Linux only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")

# Fields of /proc/PID/stat after the command's closing parenthesis, counted from 0. Source: proc_pid_stat(5).
PARENT: Final = 1
SESSION: Final = 3
USER_TICKS: Final = 11
SYSTEM_TICKS: Final = 12


def tree(root: int) -> set[int]:
    """Return the live processes that belong to *root*, a session leader: its session, and all descendants of that."""
    stats = {pid: fields for pid in _pids() if (fields := _stat(pid))}
    members = {pid for pid, fields in stats.items() if pid == root or int(fields[SESSION]) == root}
    grew = True
    while grew:
        children = {pid for pid, fields in stats.items() if int(fields[PARENT]) in members}
        grew = not children <= members
        members |= children
    return members


def cpu_seconds(pids: set[int]) -> tuple[float, float]:
    """Return the user and the system time that *pids* have used so far; a process that has ended counts as 0."""
    stats = [fields for pid in pids if (fields := _stat(pid))]
    user, system = (sum(int(fields[ticks]) for fields in stats) for ticks in (USER_TICKS, SYSTEM_TICKS))
    return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND


def pss_bytes(pids: set[int]) -> int:
    """Return the proportional set size of *pids* together: private memory, and each shared page once in all."""
    return sum(_pss_kibibytes(pid) for pid in pids) * 1024


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss_kibibytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
