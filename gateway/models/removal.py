"""Taking versions out of the repository: out of sight at once, deleted afterwards.

A version is first renamed to a hidden directory, which no scan looks into, so that nobody finds half of it; until it
is deleted it can be put back. A command that is killed leaves hidden directories behind, which the next one deletes.
Blocks; raises OSError where the directory cannot be written.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gateway.models.publishing import locked, sync

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_REMOVED: Final = ".old-"


class Hidden:
    """Versions of one model that are out of sight and not deleted yet. Used within `hide`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._versions: list[int] = []

    def take(self, version: int) -> None:
        """Put *version* out of sight."""
        (self._directory / str(version)).rename(self._place(version))
        self._versions.append(version)

    def put_back(self, version: int) -> None:
        """Have *version* where it was."""
        self._place(version).rename(self._directory / str(version))
        self._versions.remove(version)

    def put_all_back(self) -> None:
        """Have every version where it was."""
        for version in list(self._versions):
            self.put_back(version)

    def _place(self, version: int) -> Path:
        return self._directory / f"{_REMOVED}{version}"


@contextmanager
def hide(root: Path, model: str, versions: Collection[int]) -> Iterator[Hidden]:
    """Put *versions* of *model* out of sight for the block, and delete at its end those that were not put back.

    Where the block raises, all of them are put back. Holds the lock of the model's directory, so that nobody publishes
    meanwhile. A version whose directory is a link loses the link; what that points to stays.
    """
    directory = root / model
    with locked(directory):
        _delete_hidden(directory)
        hidden = Hidden(directory)
        try:
            for version in sorted(versions):
                hidden.take(version)
            sync(directory)
            yield hidden
        except BaseException:
            hidden.put_all_back()
            raise
        sync(directory)
        _delete_hidden(directory)


def _delete_hidden(directory: Path) -> None:
    """Delete what is hidden: by this command, or by one that was killed."""
    for left in directory.glob(f"{_REMOVED}*"):
        if left.is_symlink():
            left.unlink()
        else:
            shutil.rmtree(left)
