"""The state directory: whose it is, and what lies in it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidSettings, StateDirectoryInUse

if TYPE_CHECKING:
    from io import TextIOWrapper


MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory below it is ours alone: mode 0700, owner checked
"""A file system in memory: a count written to a page that a disk is just saving would wait for the disk."""


class StateDirectory:
    """Paths below ``--state-dir``. ``run/`` lives as long as the launcher, the rest outlives it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = root / "run"
        self.reports = self.run / "reports"
        self.slabs = _memory_directory(root) or self.run / "slabs"
        self.blobs = root / "blobs"
        self._lock: TextIOWrapper | None = None

    def take(self) -> None:
        """Make the directory this launcher's. Raises StateDirectoryInUse or InvalidSettings."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (self.root / "lock").open("a+")
        except OSError as exc:
            raise self._unusable(exc) from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise StateDirectoryInUse(str(self.root), holder) from None
        try:
            self._lock.truncate(0)
            os.write(self._lock.fileno(), str(os.getpid()).encode())
            self._remove_run()
            for directory in (self.run, self.reports, self.slabs, self.blobs):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            self._lock.close()
            raise self._unusable(exc) from exc

    def leave(self) -> None:
        """Remove what was this run's and let go of the lock."""
        self._remove_run()
        if self._lock is not None:
            self._lock.close()

    def _unusable(self, exc: OSError) -> InvalidSettings:
        return InvalidSettings(
            f"the state directory {self.root} cannot be used ({exc.strerror}); make room there where its disk is"
            " full, or name another with --state-dir"
        )

    def _remove_run(self) -> None:
        for directory in (self.run, self.slabs):
            shutil.rmtree(directory, ignore_errors=True)


def _memory_directory(root: Path) -> Path | None:
    """Return where the counters of the gateway with this state directory live in memory; None where that cannot be."""
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    directory = MEMORY / f"canary-gateway-{os.getuid()}-{name}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        owned = directory.lstat()
        probe = directory / "probe"
        probe.touch()
        probe.unlink()
    except OSError:
        return None
    return directory if owned.st_uid == os.getuid() and not directory.is_symlink() else None
