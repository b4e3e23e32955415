"""A file of access rights that is read again when it changes; a broken new one keeps what was read before."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.core.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

T = TypeVar("T")


class FollowedFile(Generic[T]):
    """What a file says now, or said when it could last be read."""

    def __init__(self, path: Path, read: Callable[[Path], T], stays: str) -> None:
        """*read* raises InvalidSettings, here too; *stays* says what is in force where a later one is broken."""
        self._path = path
        self._read = read
        self._stays = stays
        self._stamp = self._look()
        self._held = read(path)

    def now(self) -> T:
        """Return what the file says, with a look at its time and size."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._held = self._read(self._path)
            except InvalidSettings as exc:
                log.error("%s; %s", exc, self._stays)
        return self._held

    def _look(self) -> tuple[int, int] | None:
        try:
            seen = self._path.stat()
        except OSError:
            return None
        return seen.st_mtime_ns, seen.st_size
