"""Checks of ``gateway doctor`` on this machine: open files, and memory. Reads the system, changes nothing."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.cli.findings import Finding

if TYPE_CHECKING:
    from gateway.settings import Settings

OTHER_FILES: Final = 256
"""Open files of a worker that are no caller's connection: models, counters, the store, the runtime's own."""

TREE_BYTES: Final = 80 << 20
WORKER_BYTES: Final = 32 << 20
"""Of a gateway with small models, docs/measurements.md: 110 MiB with one worker, 141 MiB with two."""

CGROUP: Final = Path("/sys/fs/cgroup")
MEMINFO: Final = Path("/proc/meminfo")


def descriptors(settings: Settings, limits: tuple[int, int] | None = None) -> Finding:
    """Compare what a process may open with what one worker needs. *limits*: soft and hard, by default this process's.

    A worker that runs out cannot accept a connection that its own limit would still allow.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE) if limits is None else limits
    needed = settings.limits.connections + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return Finding("open files", "ok", f"{_count(soft)} allowed, a worker needs up to {needed}")
    if hard == resource.RLIM_INFINITY or hard >= needed:
        repair = f"`ulimit -n {needed}` before the start (LimitNOFILE= in a systemd unit)"
    else:
        repair = f"have the administrator raise the hard limit ({hard}) to {needed}"
    fewer = f"give --limits connections={max(soft - OTHER_FILES, 1)}"
    return Finding("open files", "warn", f"{soft} allowed, a worker needs up to {needed}; {repair}, or {fewer}")


def memory(settings: Settings, *, running: bool, available: int | None = None) -> Finding:
    """Compare free memory with what the gateway needs about: each worker holds every model once.

    available: bytes, by default this machine's or this container's, whichever is less.
    """
    free = _available() if available is None else available
    needed = TREE_BYTES + settings.workers * (WORKER_BYTES + _model_bytes(settings.models))
    if running:
        return Finding("memory", "ok", f"{_mebibytes(free)} free, and a gateway runs")
    text = f"{_mebibytes(free)} free, {settings.workers} workers with every model need about {_mebibytes(needed)}"
    if free is None or free >= needed:
        return Finding("memory", "ok", text)
    return Finding("memory", "warn", f"{text}; give fewer --workers, or --load routed")


def _model_bytes(repository: Path) -> int:
    """Return the size of all model files; of a repository that cannot be read, another check tells."""
    try:
        return sum(path.stat().st_size for path in repository.glob("*/*/model.onnx"))
    except OSError:
        return 0


def _available() -> int | None:
    """Return the bytes that can be had without swapping, None where the system does not say."""
    found = [each for each in (_of_machine(), _of_container()) if each is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)


def _of_container() -> int | None:
    """Return what the limit of the control group leaves (version 2, as containers see it), None without a limit."""
    try:
        most, used = ((CGROUP / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return None
    return None if most == "max" else max(int(most) - int(used), 0)


def _mebibytes(size: int | None) -> str:
    return "nobody knows how much" if size is None else f"{size / (1 << 20):,.0f} MiB"


def _count(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)
