"""The temporary directory of one conversion. What a killed command left is deleted by the next one.

Whoever uses such a directory holds a lock on it, which the kernel gives up when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "gateway-convert-"

YOUNG_SECONDS: Final = 60.0
"""A directory this young may be one whose maker is about to take its lock."""


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Yield a fresh directory of this user's alone, deleted at the end of the block. Raises OSError."""
    _clear_away(Path(tempfile.gettempdir()))
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with _held(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the lock of the directory at *path*. Raises OSError for what is none, and where somebody else holds it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _clear_away(place: Path) -> None:
    """Delete the directories of commands of this user that were killed. What cannot be deleted is let be."""
    for path in place.glob(f"{PREFIX}*"):
        try:
            found = path.lstat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > YOUNG_SECONDS:
                with _held(path):
                    shutil.rmtree(path, ignore_errors=True)
        except OSError:  # in use, a link, or gone meanwhile
            continue
