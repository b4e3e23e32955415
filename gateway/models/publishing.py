"""Putting a version into the repository whole: its files appear under the next number at once, or not at all.

A writer holds a lock on the model's directory, fills a hidden one that no scan looks into, and renames it. A
writer that is killed leaves that hidden directory behind, which the next one clears away, and no number is lost.
Blocks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.core.names import version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Publish = Callable[[Path, str, Mapping[str, bytes]], int]
    """Writes files as the next version of a model, and returns its number, as `publish` does."""

LOCK_FILE: Final = ".lock"
_UNFINISHED: Final = ".new-"

MOST_TRIES: Final = 100
"""Against a writer that takes no lock, such as a copy by hand, and is faster each time."""

_ADVICE: Final = (
    ((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "is there room? make some, such as with `gateway models prune`"),
    ((errno.EACCES, errno.EPERM), "may this user write there? run it as who owns the directory"),
    ((errno.EROFS,), "is it mounted to be read only? name another directory with --models"),
)
"""What an operator does about the errors of a disk."""


def publish(root: Path, model: str, files: Mapping[str, bytes]) -> int:
    """Write *files* as the next version of *model* below *root*, and return its number.

    The number is one more than the highest there is. What was published is on the disk when this returns.
    Raises OSError where the directory cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    directory = root / model
    directory.mkdir(exist_ok=True)
    sync(root)
    with locked(directory):
        for left in directory.glob(f"{_UNFINISHED}*"):  # its writer is dead: it would hold the lock
            shutil.rmtree(left)
        fresh = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=directory))
        try:
            for name, content in files.items():
                _write(fresh / name, content)
            fresh.chmod(0o755)
            sync(fresh)
            number = _take_number(fresh, directory)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        sync(directory)
        return number


def refusal(root: Path, exc: OSError) -> str:
    """Return why no version could be written below *root*, and what to do. Nothing of it shows then."""
    advice = next((advice for numbers, advice in _ADVICE if exc.errno in numbers), "look at the disk, and run it again")
    return f"the version cannot be written below {root}: {exc.strerror or exc}; {advice}; no number is lost"


def amend(root: Path, model: str, version: int, files: Mapping[str, bytes]) -> None:
    """Write *files* into a version that is published, each whole and in the order given, over those of their names.

    For what is said of a version; its model is never touched. Raises OSError where the directory cannot be written.
    """
    directory = root / model
    with locked(directory):
        overwrite(directory / str(version), files)


def overwrite(place: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* over those in *place*, a version's directory, for a caller who holds the lock of the model's."""
    for name, content in files.items():
        fresh = place / f".{name}.new"
        fresh.unlink(missing_ok=True)  # its writer is dead: it would hold the lock
        try:
            _write(fresh, content)
            fresh.replace(place / name)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    sync(place)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of *directory*; the kernel gives it up when its holder dies."""
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _take_number(fresh: Path, directory: Path) -> int:
    """Rename *fresh* to the next number; a directory with something in it is never replaced."""
    for _ in range(MOST_TRIES):
        number = 1 + max((version_number(each.name) or 0 for each in directory.iterdir()), default=0)
        try:
            fresh.rename(directory / str(number))
        except OSError:
            if not (directory / str(number)).exists():
                raise
        else:
            return number
    raise FileExistsError(f"{directory} gets versions faster than one can be added; try again when it is quiet")


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)


def sync(directory: Path) -> None:
    """Have the entries of *directory* on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
