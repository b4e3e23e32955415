"""The reference of a version: ``reference.json`` beside ``model.onnx``.

Like the evaluation that it is made by it lies outside every digest; a version whose model file is another one than the
reference names has none. Blocks.
"""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.core.errors import InvalidDocument, InvalidModel
from gateway.core.reference import MAX_BYTES, Reference, read_reference
from gateway.models.files import open_regular
from gateway.models.publishing import sync

log = logging.getLogger(__name__)

REFERENCE_FILE: Final = "reference.json"


class InvalidReference(ValueError):
    """The file cannot be read as a reference; evaluate the version again."""


def write_reference(directory: Path, reference: Reference) -> None:
    """Put *reference* beside its version, whole or not at all. Raises OSError, and ValueError if too large."""
    content = reference.encoded()
    if len(content) > MAX_BYTES:
        raise ValueError(f"the reference has {len(content)} bytes and may have {MAX_BYTES}; give shorter names")
    descriptor, name = tempfile.mkstemp(prefix=".reference-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).rename(directory / REFERENCE_FILE)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    sync(directory)


def reference_in(directory: Path, sha256: str) -> Reference | None:
    """Return the reference in a version's *directory*, None where there is none of the model with this *sha256*.

    Raises InvalidReference.
    """
    path = directory / REFERENCE_FILE
    if not os.path.lexists(path):
        return None
    try:
        with open_regular(path, max_bytes=MAX_BYTES) as (descriptor, _):
            found = read_reference(os.read(descriptor, MAX_BYTES + 1))
    except (InvalidModel, InvalidDocument) as exc:
        raise InvalidReference(f"{path} is no reference ({exc.reason}); evaluate the version again") from exc
    except OSError as exc:
        raise InvalidReference(f"{path} cannot be read ({exc.strerror or exc}); evaluate the version again") from exc
    return found if found.sha256 == sha256.lower() else None


class References:
    """The references in a repository, each file read once while it stays the same. For one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Path, tuple[tuple[int, int, int], str, Reference | None]] = {}

    def of(self, model: str, version: int, sha256: str) -> Reference | None:
        """Return the reference of a version whose model file has this *sha256*; None where there is none.

        A file that cannot be read counts as none, and the log says so once.
        """
        directory = self._root / model / str(version)
        try:
            status = (directory / REFERENCE_FILE).stat()
        except OSError:
            self._known.pop(directory, None)
            return None
        mark = status.st_mtime_ns, status.st_size, status.st_ino
        known = self._known.get(directory)
        if known is not None and known[:2] == (mark, sha256):
            return known[2]
        try:
            found = reference_in(directory, sha256)
        except InvalidReference as exc:
            log.warning("%s", exc)
            found = None
        self._known[directory] = mark, sha256, found
        return found
