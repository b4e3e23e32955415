"""Opening a file of the model repository, which somebody else writes to.

A name can turn into a link, a pipe or a device between two looks, so the checks are made on the
opened descriptor. Reads nothing.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""A link is not followed, and a pipe does not block."""


@contextmanager
def open_regular(path: Path, *, max_bytes: int) -> Iterator[tuple[int, os.stat_result]]:
    """Yield a descriptor of the regular file at *path*, and what the file was when it was opened.

    Raises InvalidModel: bad_model for what is no regular file of its own (a link, a hard link, a
    directory, a pipe, a device), too_large above *max_bytes*, unreadable where the system refuses.
    """
    if path.is_symlink():
        raise InvalidModel(
            "bad_model", f"{path.name} is a symbolic link; put the file itself there, or link its directory"
        )
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as exc:
        raise InvalidModel("unreadable", f"{path.name} cannot be opened: {exc.strerror}") from exc
    try:
        found = os.fstat(descriptor)
        _check(path.name, found, max_bytes)
        yield descriptor, found
    finally:
        os.close(descriptor)


def compare_digests(name: str, digest: str, declared: str) -> None:
    """Raise InvalidModel, code digest, unless the file *name* has the SHA-256 that was *declared*; empty is any."""
    if declared and digest != declared:
        raise InvalidModel(
            "digest",
            f"the SHA-256 of {name} is {digest[:12]}…, and {declared[:12]}… was expected; "
            f"publish the file it was declared for, or another version number",
        )


def _check(name: str, found: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidModel("bad_model", f"{name} is not a regular file")
    if found.st_nlink != 1:
        raise InvalidModel("bad_model", f"{name} has {found.st_nlink} hard links; copy the file instead of linking it")
    if found.st_size > max_bytes:
        raise InvalidModel("too_large", f"{name} has {found.st_size} bytes and may have {max_bytes}")
