"""From the repository, which others write to, into a private directory named by content.

What is served is exactly what was hashed: the runtime opens a path again, so it is given the path
of our copy. Blocks; called on the loader thread.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from gateway.core.errors import InvalidModel
from gateway.models.files import compare_digests, open_regular

MAX_MODEL_BYTES: Final = 4 * 1024**3

STALE_SECONDS: Final = 86_400.0
"""A copy that no worker has used for a day may go; a worker that wants it again makes it anew."""

_CHUNK_BYTES: Final = 1 << 20

_SUFFIX: Final = ".onnx"


@dataclass(frozen=True, slots=True)
class Blob:
    """A copy of a model file, named by its SHA-256."""

    path: Path
    digest: str
    size: int


def fetch(path: Path, blobs: Path, *, declared: str = "", max_bytes: int = MAX_MODEL_BYTES) -> Blob:
    """Copy the model file at *path* into the directory *blobs* and return the copy.

    declared: the SHA-256 it must have, hexadecimal in any case; empty for any. Raises InvalidModel:
    digest where it has another one; unreadable where it cannot be read, cannot be written or changes
    under the reader, all of which may pass; and what `open_regular` raises.
    """
    with open_regular(path, max_bytes=max_bytes) as (descriptor, found):
        try:
            blob = _find(descriptor, found.st_size, blobs) or _copy(descriptor, found.st_size, blobs, declared)
        except OSError as exc:
            raise InvalidModel("unreadable", f"{path.name} cannot be copied: {exc.strerror}") from exc
    compare_digests(path.name, blob.digest, declared.lower())
    return blob


def prune(blobs: Path, *, older_than_seconds: float = STALE_SECONDS) -> int:
    """Delete the copies, whole or half, that were last used before then; return how many went."""
    gone = 0
    oldest = time.time() - older_than_seconds
    with suppress(FileNotFoundError):
        for each in list(blobs.iterdir()):
            with suppress(FileNotFoundError):  # another worker may be at it too
                if each.lstat().st_mtime < oldest:
                    each.unlink()
                    gone += 1
    return gone


def _find(descriptor: int, size: int, blobs: Path) -> Blob | None:
    """Return the copy of these bytes, if there is one. Hashes only where a copy of this *size* exists."""
    blobs.mkdir(parents=True, exist_ok=True)
    blobs.chmod(0o700)
    if size not in _sizes(blobs):
        return None
    digest = _pour(descriptor, size, None)
    os.lseek(descriptor, 0, os.SEEK_SET)
    blob = Blob(blobs / f"{digest}{_SUFFIX}", digest, size)
    with suppress(FileNotFoundError):
        if blob.path.lstat().st_size == size:
            os.utime(blob.path)  # used: not to be pruned
            return blob
    return None


def _sizes(blobs: Path) -> set[int]:
    """Return the sizes of all copies."""
    sizes: set[int] = set()
    for each in blobs.iterdir():
        with suppress(FileNotFoundError):  # another worker may tidy up
            sizes.add(each.lstat().st_size)
    return sizes


def _copy(descriptor: int, size: int, blobs: Path, declared: str) -> Blob:
    """Hash while copying, then give the copy its name; a copy of the wrong bytes is not kept."""
    with tempfile.NamedTemporaryFile(dir=blobs, prefix=".copy-", delete=False) as copy:
        try:
            digest = _pour(descriptor, size, copy)
            compare_digests("the file", digest, declared.lower())
            copy.flush()
            os.fsync(copy.fileno())
            os.fchmod(copy.fileno(), 0o400)
            blob = Blob(blobs / f"{digest}{_SUFFIX}", digest, size)
            Path(copy.name).replace(blob.path)
        except BaseException:
            Path(copy.name).unlink()
            raise
    return blob


def _pour(descriptor: int, size: int, into: IO[bytes] | None) -> str:
    """Read *size* bytes, write them where *into* says, and return their SHA-256."""
    digest = hashlib.sha256()
    left = size
    while left and (chunk := os.read(descriptor, min(_CHUNK_BYTES, left))):
        digest.update(chunk)
        if into is not None:
            into.write(chunk)
        left -= len(chunk)
    if left or os.read(descriptor, 1):
        raise InvalidModel("unreadable", "the file changed while it was read")
    return digest.hexdigest()
