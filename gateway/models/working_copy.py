"""Where a command finds versions and leaves what it makes: a directory, or an object store, in one way for both.

A command works on files below *root*. For a directory that is the directory itself. For a store it is a copy that holds
what was fetched, and what the command changes there is sent back: a new version under a number that the store gives, a
file that is written later only if it is still what was fetched, so that of two commands at once none undoes the other.
Blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.errors import GatewayError
from gateway.models.objects import StoreAway
from gateway.models.publishing import publish
from gateway.models.removal import hide
from gateway.models.repository import METADATA_FILE, MODEL_FILE
from gateway.models.shared import FILES, check_fetched, files_of, publish_shared, versions_in
from gateway.models.shared_removal import hide_shared

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Protocol

    from gateway.models.objects import ObjectStore
    from gateway.models.shared import Stored

    class Hidden(Protocol):
        """Versions that are out of sight and not deleted yet."""

        def put_back(self, version: int) -> None: ...

    class WorkingCopy(Protocol):
        """What a command knows of the repository it works on; *root* is what it reads, *name* what people call it."""

        root: Path
        name: str

        def fetch(self, model: str, version: int, files: Collection[str] = FILES) -> bool:
            """Have *files* of a version below *root*, and say whether there is one. Raises StoreAway."""

        def fetch_lineage(self) -> None:
            """Have every version's metadata below *root*, to tell who comes from whom. Raises StoreAway."""

        def publish(self, root: Path, model: str, files: Mapping[str, bytes]) -> int:
            """Write *files* as the next version, and return its number. Raises OSError, or StoreAway."""

        def send(self, model: str, version: int, files: Collection[str]) -> None:
            """Have what was changed of *files* where it came from. Raises ChangedMeanwhile, or StoreAway."""

        def hide(self, model: str, versions: Collection[int]) -> AbstractContextManager[Hidden]:
            """Remove *versions* at the end of the block, but for those that were put back. Raises OSError, StoreAway"""


class ChangedMeanwhile(GatewayError):
    """Somebody wrote the same file of a version first; run the command again."""

    def __init__(self, name: str, model: str, version: int, file: str) -> None:
        super().__init__(
            f"{file} of version {version} of {model} in {name} was changed by somebody else meanwhile, and is left as "
            f"it is; run the command again"
        )


class Directory:
    """A repository on this disk: nothing is fetched or sent."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    def fetch(self, model: str, version: int, files: Collection[str] = FILES) -> bool:
        """Say whether there is this version; its *files* are here already."""
        del files
        return (self.root / model / str(version) / MODEL_FILE).is_file()

    def fetch_lineage(self) -> None:
        """Return at once: it is here."""

    def publish(self, root: Path, model: str, files: Mapping[str, bytes]) -> int:
        """Write *files* as the next version below *root*, and return its number. Raises OSError."""
        return publish(root, model, files)

    def send(self, model: str, version: int, files: Collection[str]) -> None:
        """Return at once: they are where they belong."""

    def hide(self, model: str, versions: Collection[int]) -> AbstractContextManager[Hidden]:
        """As `removal.hide`."""
        return hide(self.root, model, versions)


class Fetched:
    """What one command fetched of a *store*, below *root*, an empty directory of its own."""

    def __init__(self, store: ObjectStore, root: Path) -> None:
        self.root = root
        self.name = store.url
        self._store = store
        self._tags: dict[str, str] = {}

    def fetch(self, model: str, version: int, files: Collection[str] = FILES) -> bool:
        """Have *files* of a version below *root* as the store has them now, and say whether there is one.

        Where the model itself is not among them, an empty file stands in its place.
        """
        objects = versions_in(self._store.keys()).get(model, {}).get(version)
        return objects is not None and self._fetch(model, version, objects, files)

    def fetch_lineage(self) -> None:
        """Have every version's metadata below *root*."""
        for model, versions in versions_in(self._store.keys()).items():
            for version, objects in versions.items():
                self._fetch(model, version, objects, (METADATA_FILE,))

    def publish(self, root: Path, model: str, files: Mapping[str, bytes]) -> int:
        """Write *files* as the next version in the store, and return its number; *root*, the copy, goes without it.

        Raises StoreAway; then it may be there.
        """
        del root
        try:
            return publish_shared(self._store, model, files)
        except StoreAway as exc:
            raise StoreAway(f"{exc}; look there before you run the command again") from exc

    def send(self, model: str, version: int, files: Collection[str]) -> None:
        """Write *files* to the store, in this order, each if it is still what was fetched.

        Raises ChangedMeanwhile, and StoreAway; then some may have been written.
        """
        for file in files:
            key = f"{model}/{version}/{file}"
            content = (self.root / key).read_bytes()
            if not self._store.replace(key, content, expected=self._tags.get(key, "")):
                raise ChangedMeanwhile(self.name, model, version, file)

    def hide(self, model: str, versions: Collection[int]) -> AbstractContextManager[Hidden]:
        """As `shared_removal.hide_shared`."""
        return hide_shared(self._store, model, versions)

    def _fetch(self, model: str, version: int, objects: Mapping[str, Stored], files: Collection[str]) -> bool:
        """Have *files* of the version that consists of *objects* below *root*, and remember what could be replaced."""
        try:
            found = files_of(self._store, model, objects)
            if MODEL_FILE not in found:
                return False
            place = self.root / model / str(version)
            place.mkdir(parents=True, exist_ok=True)
            (place / MODEL_FILE).touch()
            for name in files:
                (place / name).unlink(missing_ok=True)
                if name in found:
                    self._store.fetch(found[name].key, place / name)
                    check_fetched(place / name, found[name])
        except ValueError as exc:
            raise StoreAway(f"{self.name} holds a version {version} of {model} that cannot be read: {exc}") from exc
        self._tags.update({file.key: file.tag for file in objects.values()})
        return True
