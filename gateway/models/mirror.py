"""The versions of an object store, kept as a repository on the local disk that everything else reads.

A version appears whole, each file checked against its digest where a manifest names one. What the store holds no more
is taken away; a store that does not answer, or shows nothing at all, changes nothing. Used by one process; blocks.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.core.errors import InvalidSettings
from gateway.core.names import is_model_name, version_number
from gateway.models.objects import ObjectStore, StoreAway
from gateway.models.publishing import locked, sync
from gateway.models.removal import hide
from gateway.models.repository import MODEL_FILE
from gateway.models.shared import MANIFEST, beside, check_fetched, read_manifest, versions_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.models.shared import Stored

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 64 << 30
"""Of all versions together; what would be more is not fetched, and the log says so."""

TAGS: Final = ".tags"
"""The file in a version's directory that says which content of the store each of its files has."""

_FRESH: Final = ".new-"

Files = dict[str, "Stored"]


class Mirror:
    """One store, and the directory that follows it."""

    def __init__(self, store: ObjectStore, root: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._store = store
        self._root = root
        self._max_bytes = max_bytes
        self._before: Mapping[str, Mapping[int, Files]] = {}
        self._manifests: dict[str, tuple[str, Files]] = {}
        self._told: set[str] = set()

    def refresh(self) -> None:
        """Look at the store and follow it; tell what is skipped. Raises StoreAway, and OSError where the disk refuses.

        The directory is there once everything was fetched for the first time, so that nobody takes a part for all.
        """
        found = versions_in(self._store.keys())
        first = self._root.with_name(f"{self._root.name}.first")
        root = self._root if self._root.exists() else first
        there = {model: _numbers(root / model) for model in _models(root)}
        if not found and any(there.values()):
            raise StoreAway(f"{self._store.url} shows no version any more, which is not believed; delete {root} if so")
        notes: list[str] = []
        root.mkdir(parents=True, exist_ok=True)
        left = self._max_bytes - sum(each.stat().st_size for each in root.rglob("*") if each.is_file())
        for model, versions in sorted(found.items()):
            for version, objects in sorted(versions.items(), reverse=True):
                left -= self._follow(root / model / str(version), objects, left, notes)
        for model, numbers in there.items():
            if gone := numbers - found.get(model, {}).keys():
                with hide(root, model, gone):
                    logger.info("versions %s of model %r are in the store no more", sorted(gone), model)
        if root is first:
            first.rename(self._root)
        self._before = found
        for note in notes:
            if note not in self._told:
                logger.warning("%s: %s", self._store.url, note)
        self._told = set(notes)

    def _follow(self, place: Path, objects: Files, left: int, notes: list[str]) -> int:
        """Bring the version at *place* to what the store holds; return how many bytes were fetched."""
        try:
            files = self._files(place.parent.name, int(place.name), objects)
        except ValueError as exc:
            notes.append(str(exc))
            return 0
        missing = {name: file for name, file in files.items() if _tags(place).get(name) != file.tag}
        size = sum(file.bytes for file in missing.values())
        if MODEL_FILE not in files or not missing:
            return 0
        if size > left:
            notes.append(f"version {place.name} of {place.parent.name} is not fetched: it has {size} bytes, and "
                         f"{max(left, 0)} of {self._max_bytes} are left; remove old versions")  # fmt: skip
            return 0
        try:
            self._fetch(place, files, missing)
        except ValueError as exc:
            notes.append(str(exc))
            return 0
        return size

    def _files(self, model: str, version: int, objects: Files) -> Files:
        """Return the files of a version; none yet for one without a manifest that was not seen twice as it is."""
        at = objects.get(MANIFEST)
        if at is None:
            return objects if self._before.get(model, {}).get(version) == objects else {}
        known = self._manifests.get(at.key)
        if known is None or known[0] != at.tag:
            known = self._manifests[at.key] = (at.tag, read_manifest(self._store, model, at))
        return beside(known[1], objects)

    def _fetch(self, place: Path, files: Files, missing: Files) -> None:
        """Put what is *missing* at *place*: a new version by one rename, into one that is there file by file."""
        place.parent.mkdir(exist_ok=True)
        with locked(place.parent):
            for left in place.parent.glob(f"{_FRESH}*"):  # its process is dead: it would hold the lock
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(prefix=_FRESH, dir=place.parent, ignore_cleanup_errors=True) as name:
                fresh = Path(name)
                for each, file in missing.items():
                    self._store.fetch(file.key, fresh / each)
                    check_fetched(fresh / each, file)
                tags = {each: file.tag for each, file in files.items()}
                (fresh / TAGS).write_bytes(msgspec.json.encode(tags))
                fresh.chmod(0o755)
                if place.exists():
                    for each in (*missing, TAGS):
                        (fresh / each).replace(place / each)
                else:
                    fresh.rename(place)
            sync(place.parent)


class Follower:
    """Keeps a mirror up to date, tick by tick, and says once why it cannot."""

    def __init__(self, url: str, root: Path) -> None:
        self._url = url
        self._root = root
        self._mirror: Mirror | None = None
        self._why = ""

    def tick(self) -> None:
        """Follow the store. What is here serves on where it is away."""
        try:
            self._mirror = self._mirror or Mirror(ObjectStore(self._url), self._root)
            self._mirror.refresh()
        except (StoreAway, InvalidSettings, OSError) as exc:
            if not self._why:
                logger.warning("what was fetched serves on: %s", exc)
            self._why = str(exc)
        else:
            if self._why:
                logger.info("%s answers again", self._url)
            self._why = ""


def _tags(place: Path) -> dict[str, str]:
    """Return which content each file at *place* has; nothing where nobody wrote it down."""
    try:
        return msgspec.json.decode((place / TAGS).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}


def _models(root: Path) -> list[str]:
    return [each.name for each in root.iterdir() if is_model_name(each.name)] if root.is_dir() else []


def _numbers(directory: Path) -> set[int]:
    """Return the versions in a model's *directory*."""
    return {number for each in directory.iterdir() if (number := version_number(each.name)) is not None}
