"""Taking versions out of an object store: out of sight at once, deleted afterwards.

Nothing can be renamed there: what lies at ``NAME/VERSION/`` is copied to ``NAME/.old/VERSION/``, where no reader looks,
and deleted; what makes a version, its manifest or the model itself, goes first and comes back last, so that nobody
finds half of one. A command that is killed leaves ``.old`` behind, which the next one deletes. A store knows no lock:
remove from one place at a time. Blocks; raises StoreAway.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gateway.models.repository import MODEL_FILE
from gateway.models.shared import MANIFEST, Stored, read_manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from gateway.models.objects import ObjectStore

_REMOVED: Final = ".old"
_MAKERS: Final = (MANIFEST, MODEL_FILE)
"""One of them makes a version; where both lie there, the manifest does."""


class HiddenShared:
    """Versions of one model that are out of sight and not deleted yet. Used within `hide_shared`."""

    def __init__(self, store: ObjectStore, model: str) -> None:
        self._store = store
        self._model = model
        self._versions: list[int] = []

    def take(self, version: int) -> None:
        """Put *version* out of sight."""
        self._versions.append(version)
        self._move(f"{self._model}/{version}/", f"{self._model}/{_REMOVED}/{version}/", makers_first=True)

    def put_back(self, version: int) -> None:
        """Have *version* where it was."""
        self._move(f"{self._model}/{_REMOVED}/{version}/", f"{self._model}/{version}/", makers_first=False)
        self._versions.remove(version)

    def put_all_back(self) -> None:
        """Have every version where it was."""
        for version in list(self._versions):
            self.put_back(version)

    def _move(self, one: str, other: str, *, makers_first: bool) -> None:
        """Have the objects below *one* below *other* instead."""
        found = self._store.keys()
        keys = sorted(
            (key for key in found if key.startswith(one)),
            key=lambda key: (key.removeprefix(one) not in _MAKERS) is makers_first,
        )
        for key in keys:
            self._store.copy(key, other + key.removeprefix(one))
        for key in keys:
            self._store.remove(key)


@contextmanager
def hide_shared(store: ObjectStore, model: str, versions: Collection[int]) -> Iterator[HiddenShared]:
    """Put *versions* of *model* out of sight for the block, and delete at its end those that were not put back.

    Where the block raises, all of them are put back.
    """
    _delete_hidden(store, model)
    hidden = HiddenShared(store, model)
    try:
        for version in sorted(versions):
            hidden.take(version)
        yield hidden
    except BaseException:
        hidden.put_all_back()
        raise
    _delete_hidden(store, model)


def _delete_hidden(store: ObjectStore, model: str) -> None:
    """Delete what is hidden, with the files that its manifests name: by this command, or by one that was killed."""
    found = store.keys()
    hidden = [key for key in found if key.startswith(f"{model}/{_REMOVED}/")]
    for key in hidden:
        is_back = key.replace(f"/{_REMOVED}/", "/", 1) in found  # killed between two steps: the files are in use
        if key.endswith(f"/{MANIFEST}") and not is_back:
            size, tag = found[key]
            for file in _named(store, model, Stored(key, size, tag)):
                store.remove(file)
    for key in hidden:
        store.remove(key)


def _named(store: ObjectStore, model: str, at: Stored) -> list[str]:
    """Return the keys that the manifest *at* names; none where it is damaged."""
    try:
        return [file.key for file in read_manifest(store, model, at).values()]
    except ValueError:
        return []
