"""A limit of memory that the kernel holds some processes to: a cgroup of their own, of either version."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAME: Final = f"canary-gateway-test-{os.getpid()}"
ROOT: Final = Path("/sys/fs/cgroup")
FIRST: Final = ROOT / "memory"
"""Where the first version keeps the groups of memory; the second has all in ROOT."""
GONE_SECONDS: Final = 5.0


class MemoryLimit:
    """The group at *directory*, whose processes get no more than *limit_bytes* together."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        """Make it. Raises OSError where this user, or this machine, cannot."""
        self._directory = directory
        directory.mkdir()
        try:
            self._limit_file.write_text(str(limit_bytes))
        except OSError:
            directory.rmdir()
            raise

    @property
    def prefix(self) -> Sequence[str]:
        """What a command line begins with whose process, and children, are to be in the group."""
        return "sh", "-c", f'echo $$ > {self._directory}/cgroup.procs && exec "$@"', "sh"

    @property
    def kills(self) -> int:
        """How many processes of the group the kernel killed."""
        path = self._directory / ("memory.oom_control" if self._is_first else "memory.events")
        return int(dict(line.split() for line in path.read_text().splitlines())["oom_kill"])

    def remove(self) -> None:
        """Remove the group, once its last process is gone."""
        until = time.monotonic() + GONE_SECONDS
        while self._directory.exists() and time.monotonic() < until:
            with contextlib.suppress(OSError):
                self._directory.rmdir()
            time.sleep(0.05)

    @property
    def _is_first(self) -> bool:
        return self._directory.parent == FIRST

    @property
    def _limit_file(self) -> Path:
        return self._directory / ("memory.limit_in_bytes" if self._is_first else "memory.max")


@pytest.fixture
def limited(request: pytest.FixtureRequest) -> Iterator[MemoryLimit]:
    """A group whose limit, in bytes, is the parameter."""
    try:
        found = MemoryLimit((FIRST if FIRST.is_dir() else ROOT) / NAME, request.param)
    except OSError as exc:
        pytest.skip(f"no cgroup with a limit of memory can be made here: {exc}")
    yield found
    found.remove()
