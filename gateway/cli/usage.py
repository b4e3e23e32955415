"""What a version takes of the machine, in the words of the tables. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLES: Final = ("MEMORY", "ROWS", "CPU", "CPU/ROW", "OF ALL CPU")


def cells(version: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what goes with TITLES for a *version* of the admin API: memory in one worker, and since it was loaded its
    rows, its CPU time, and its share of the CPU time of all versions."""
    usage = version["usage"]
    if usage is None:
        return (memory(version["memory_bytes"]), "-", "-", "-", "-")
    per_row = usage["cpu_seconds_per_row"]
    return (
        memory(version["memory_bytes"]),
        str(usage["rows"]),
        f"{usage['cpu_seconds']:.3g} s",
        "-" if per_row is None else f"{per_row * 1e6:.3g} µs",
        f"{100 * usage['cpu_share']:.3g} %",
    )


def live(version: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return rows per second, processors in use, and memory of a *version* of ``gateway top``."""
    rows, busy = version["rows_per_second"], version["cpu_seconds_per_second"]
    return (
        "-" if rows is None else f"{rows:.1f}",
        "-" if busy is None else f"{100 * busy:.3g} %",
        memory(version["memory_bytes"]),
    )


def memory(taken: int | None) -> str:
    """Return bytes as MiB with three digits."""
    return "-" if taken is None else f"{taken / 2**20:.3g} MiB"
