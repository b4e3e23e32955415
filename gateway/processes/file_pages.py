"""Letting go of the pages of files that only a start has touched: most of a library's code runs once.

A process that is ready keeps what it read of its libraries in its memory for good, though it will not look there
again: 20 MiB in a launcher that has imported everything. Unmapped, those pages are the kernel's to keep or to drop;
one that is needed after all comes back from its cache without a read. Linux only; elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

SMAPS: Final = Path("/proc/self/smaps")
MADV_DONTNEED: Final = 4
MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r-[x-]p) [0-9a-f]+ \S+ (?!0 )\d+ ")
"""A private mapping of a file that nobody may write to. Source: proc(5), ``/proc/pid/smaps``."""

COPIED: Final = "Anonymous:"
"""The line with the pages that are no longer the file's, but a copy that was written to: a library's relocations."""


def let_go() -> None:
    """Unmap the clean pages of this process's files; each comes back when it is next touched.

    Does nothing where the system does not tell which those are.
    """
    if sys.platform != "linux":
        return
    try:
        with SMAPS.open(encoding="utf-8", errors="replace") as smaps:
            clean = list(untouched(smaps))
    except OSError as exc:
        log.debug("the pages of libraries stay, for %s cannot be read: %s", SMAPS, exc)
        return
    advise = ctypes.CDLL(None).madvise
    for begin, end in clean:
        advise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_DONTNEED)


def untouched(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield begin and end, in bytes, of each mapping in *smaps* of whose pages none was written to or can be.

    To drop a page with a copy would bring back what the file says, and lose what was written.
    """
    found = None
    for line in smaps:
        if mapping := MAPPING.match(line):
            found = int(mapping[1], 16), int(mapping[2], 16)
        elif found is not None and line.startswith(COPIED):
            if line.split()[1] == "0":
                yield found
            found = None
