"""Who comes from whom in a repository, read from every version's ``metadata.yaml``.

A file is read again only where it changed. What cannot be read names no parents: the version itself says why it is
FAILED, and a picture of the others must not wait for it. Blocks; may be asked from several threads.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from gateway.core.errors import InvalidModel
from gateway.core.lineage import InvalidLineage, Lineage, VersionName, read_parent
from gateway.models.metadata import read_metadata
from gateway.models.repository import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.lineage import Parent
    from gateway.models.repository import FilesStamp, VersionFiles

Said = tuple[tuple["Parent", ...], tuple[str, ...]]
"""The parents that a version's metadata names, and what it names as one and is none."""


class Pedigree:
    """The lineage of one repository, as it is now."""

    def __init__(self, root: Path) -> None:
        self._repository = Repository(root)
        self._lock = Lock()
        self._read: dict[VersionName, tuple[FilesStamp, Said]] = {}

    def __call__(self) -> Lineage:
        """Return the lineage of every version found. Raises InvalidSettings where the root cannot be read."""
        with self._lock:
            read = {}
            for model, versions in self._repository.scan().versions.items():
                for version, files in versions.items():
                    name = VersionName(model, version)
                    known = self._read.get(name)
                    is_known = known is not None and known[0] == files.stamp
                    read[name] = known if known and is_known else (files.stamp, _said(files))
            self._read = read
        return Lineage(
            {name: said[0] for name, (_, said) in read.items()},
            {name: said[1] for name, (_, said) in read.items() if said[1]},
        )


def _said(files: VersionFiles) -> Said:
    path = files.metadata_path
    try:
        texts = () if path is None else read_metadata(path).parents
    except InvalidModel:
        return (), ()
    parents, unread = [], []
    for text in texts:
        try:
            # A number alone was how the first release wrote a version of the same model.
            parents.append(read_parent(f"{files.model}/{text}" if text.isdecimal() else text))
        except InvalidLineage:
            unread.append(text)
    return tuple(parents), tuple(unread)
