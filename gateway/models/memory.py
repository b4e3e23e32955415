"""How much memory there is, what this process holds of it, and how it is given back. Linux's files; 0 elsewhere."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path
from typing import Final

SHARE_FOR_MODELS: Final = 0.75
"""Of the machine, or of the cgroup: what models may take unless an operator says otherwise."""

_CGROUPS: Final = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Of the container this runs in: version 2, then version 1."""


def for_models(root: Path = Path("/")) -> int:
    """Return the bytes that models may take by default, 0 where the size of the memory is not known."""
    return int(_all_bytes(root) * SHARE_FOR_MODELS)


def anonymous_bytes(pid: int | None = None) -> int:
    """Return what a process, this one by default, holds in memory that no file backs: there lie weights and arenas."""
    return _field(Path(f"/proc/{pid or 'self'}/status"), "RssAnon:")


def give_memory_back() -> None:
    """Return freed memory to the system; glibc keeps it otherwise, 200 MB after a dozen unloads of 64 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


def shown(count: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{count / 2**20:,.1f} MiB"


def _all_bytes(root: Path) -> int:
    """Return the memory of the machine, or of the cgroup where that is less."""
    sizes = [_field(root / "proc/meminfo", "MemTotal:")]
    for name in _CGROUPS:
        with suppress(OSError, ValueError):  # not there, or "max"
            sizes.append(int((root / name).read_text()))
    return min(size for size in sizes if size) if any(sizes) else 0


def _field(path: Path, name: str) -> int:
    """Return a line of kilobytes in a file of /proc, as bytes; 0 where there is none."""
    with suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
    return 0
