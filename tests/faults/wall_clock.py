"""A wall clock of one tree of processes that is stepped while they run, by a library that is loaded before libc.

Of libfaketime's own (0.9.10) no use is made: with the monotonic clock left alone, Python's ``time.sleep`` fails there.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE: Final = Path(__file__).with_name("wall_clock.c")
COMPILER: Final = shutil.which("cc")
ROOM: Final = 16
"""Bytes of the file; the library reads one less."""
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="cc, of Debian's package gcc, is not on PATH")


class WallClock:
    """What the processes that are started with ``environment`` take for the time of day."""

    def __init__(self, directory: Path) -> None:
        """Build the library in *directory*; its clock shows the right time."""
        assert COMPILER is not None
        self._file = directory / "step"
        self._library = directory / "wall_clock.so"
        self.step(0)
        subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE)], check=True)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which a process begins that is to have this clock, and its children."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_FILE": str(self._file)}

    def step(self, seconds: int) -> None:
        """Let the clock be *seconds* ahead of the right time from now on, or behind it."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:  # the same file: it is mapped
            file.write(f"{seconds:+d}".encode().ljust(ROOM, b"\0"))
