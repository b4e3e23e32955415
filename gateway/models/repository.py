"""Which versions lie in the repository: ``ROOT/NAME/VERSION/model.onnx``, beside it optional ``metadata.yaml`` and
``golden.jsonl``, and ``digests.txt`` over these.

Looks, and opens nothing. Directories may be symbolic links, so that a publisher can switch one;
``model.onnx`` itself may not, which is found out when it is fetched. A version whose files still
change is reported and not *settled*, so that nobody loads half a copy.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidSettings
from gateway.core.names import is_model_name, version_number, why_no_model_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MODEL_FILE: Final = "model.onnx"
METADATA_FILE: Final = "metadata.yaml"
GOLDEN_FILE: Final = "golden.jsonl"
DIGESTS_FILE: Final = "digests.txt"

SETTLED_AFTER_SECONDS: Final = 2.0
"""A file this old is complete, by its modification time."""

UNCHANGED_SECONDS: Final = 0.5
"""Two looks at least this far apart that find the same file show that it is complete, however young it is."""

FileStamp = tuple[int, int, int]
"""Size in bytes, modification time in nanoseconds, inode: differs when the file was written or replaced."""

FilesStamp = tuple[FileStamp, FileStamp, FileStamp, FileStamp]
"""Of ``model.onnx``, of ``metadata.yaml``, of ``golden.jsonl`` and of ``digests.txt``."""

_ABSENT: Final[FileStamp] = (-1, 0, 0)


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """The files of one version as one scan saw them. Equal *stamp*, equal files."""

    model: str
    version: int
    place: str
    """The directory: text, for a Path costs more than the look, of which there are thousands."""
    stamp: FilesStamp
    settled: bool

    @property
    def directory(self) -> Path:
        return Path(self.place)

    @property
    def path(self) -> Path:
        return self.directory / MODEL_FILE

    @property
    def metadata_path(self) -> Path | None:
        return self.directory / METADATA_FILE if self.stamp[1] != _ABSENT else None

    @property
    def golden_path(self) -> Path | None:
        return self.directory / GOLDEN_FILE if self.stamp[2] != _ABSENT else None

    @property
    def digests_path(self) -> Path | None:
        return self.directory / DIGESTS_FILE if self.stamp[3] != _ABSENT else None


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look found. *notes* holds what an operator should know and was not told by an earlier scan."""

    versions: Mapping[str, Mapping[int, VersionFiles]]
    notes: tuple[str, ...]


class Repository:
    """The directory that holds the models. Used by one thread at a time."""

    def __init__(
        self, root: Path, *, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.root = root
        self._clock = clock
        self._monotonic = monotonic
        self._first_seen: dict[str, tuple[FilesStamp, float]] = {}
        self._told: set[str] = set()

    def scan(self) -> Scan:
        """Return every version found. Raises InvalidSettings where the root cannot be read."""
        notes: list[str] = []
        versions: dict[str, dict[int, VersionFiles]] = {}
        first_seen: dict[str, tuple[FilesStamp, float]] = {}
        for model, directory in self._models(notes):
            found = {files.version: files for files in self._versions(model, directory, first_seen, notes)}
            if found:
                versions[model] = found
        self._first_seen = first_seen
        fresh = tuple(note for note in notes if note not in self._told)
        self._told = set(notes)  # what was put right and goes wrong again is told again
        return Scan(versions, fresh)

    def _models(self, notes: list[str]) -> Iterator[tuple[str, Path]]:
        """Yield the name and the directory of every model."""
        try:
            names = _directories(self.root)
        except OSError as exc:
            raise InvalidSettings(
                f"the model repository {str(self.root)!r} cannot be read ({exc.strerror}); "
                f"name a directory that holds NAME/VERSION/{MODEL_FILE} with --models"
            ) from exc
        for name in names:
            if is_model_name(name):
                yield name, self.root / name
            else:
                notes.append(f"{name!r} is ignored: it {why_no_model_name(name)}")

    def _versions(
        self,
        model: str,
        directory: Path,
        first_seen: dict[str, tuple[FilesStamp, float]],
        notes: list[str],
    ) -> Iterator[VersionFiles]:
        """Yield the versions under *directory*, and remember in *first_seen* since when they look as they do."""
        try:
            names = _directories(directory)
        except OSError as exc:
            notes.append(f"{model!r} cannot be read: {exc.strerror}")
            return
        root = str(directory)
        for name in names:
            number = version_number(name)
            if number is None:
                notes.append(f"{model}/{name!r} is ignored: a version is a positive integer without leading zeros")
                continue
            place = f"{root}/{name}"
            stamp = (
                _stamp(f"{place}/{MODEL_FILE}"),
                _stamp(f"{place}/{METADATA_FILE}"),
                _stamp(f"{place}/{GOLDEN_FILE}"),
                _stamp(f"{place}/{DIGESTS_FILE}"),
            )
            if stamp[0] == _ABSENT:
                notes.append(f"{model}/{name} holds no {MODEL_FILE}")
                continue
            before = self._first_seen.get(place)
            since = before[1] if before and before[0] == stamp else self._monotonic()
            first_seen[place] = (stamp, since)
            yield VersionFiles(model, number, place, stamp, self._is_settled(stamp, since))

    def _is_settled(self, stamp: FilesStamp, since: float) -> bool:
        """Say whether nobody writes to the files any more, *since* when they have looked as they do."""
        newest = max(written for _, written, _ in stamp) / 1e9
        return self._clock() - newest >= SETTLED_AFTER_SECONDS or self._monotonic() - since >= UNCHANGED_SECONDS


def _directories(path: Path) -> list[str]:
    """Return the names of the directories in *path*, sorted, without hidden ones; links count as what they point to."""
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_directory(entry))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where we may not look
        return False


def _stamp(path: str) -> FileStamp:
    """Return what tells this file from another one. A link is stamped as itself."""
    try:
        found = os.lstat(path)
    except OSError:
        return _ABSENT
    return found.st_size, found.st_mtime_ns, found.st_ino
