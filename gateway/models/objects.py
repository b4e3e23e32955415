"""The objects below a prefix of a store that fsspec knows: S3 and what speaks like it, Google's, Azure's, memory.

Imported late, since fsspec and its stores take seconds. An adapter: it names, reads and writes objects, and no
foreign exception leaves it. Blocks.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import GatewayError, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TIMEOUT_SECONDS: Final = 10
"""Of a connection, and of each read."""

MAX_REASON: Final = 300

CREATES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
"""Stores that create an object only where there is none: what two writers at once need."""

_S3: Final = frozenset({"s3", "s3a"})
_CONDITION_FAILED: Final = ("PreconditionFailed", "ConditionalRequestConflict")
"""In the words of S3: the object is not, or is no more, what the writer took it for."""


class StoreAway(GatewayError):
    """The object store does not answer, or says no; what was read before stays as it is."""


class ObjectStore:
    """The objects below one address. Their keys are relative to it."""

    def __init__(self, url: str) -> None:
        """Raises InvalidSettings where no library is installed that reads *url*."""
        self.url = url
        self._scheme = url.partition("://")[0]
        try:
            import fsspec

            own = {"use_listings_cache": False, "skip_instance_cache": True, **_options(self._scheme)}
            self._files, root = fsspec.core.url_to_fs(url, **own)
        except ImportError as exc:
            raise InvalidSettings(
                f"{url} needs a library that is not installed ({exc}); S3: pip install 'canary-gateway[s3]'"
            ) from exc
        except ValueError as exc:
            raise InvalidSettings(f"{url} is no address of an object store: {exc}") from exc
        self._root = root.rstrip("/")

    def keys(self) -> Mapping[str, tuple[int, str]]:
        """Return key → size in bytes and what tells this content from another one. Raises StoreAway."""
        found = self._ask(lambda: self._files.find(self._root, detail=True))
        return {
            path[len(self._root) + 1 :]: (int(each.get("size") or 0), _tag(each))
            for path, each in found.items()
            if path.startswith(f"{self._root}/")
        }

    def read(self, key: str) -> bytes:
        """Return an object that is small. Raises StoreAway."""
        content: bytes = self._ask(lambda: self._files.cat_file(f"{self._root}/{key}"))
        return content

    def fetch(self, key: str, to: Path) -> None:
        """Write an object to the file *to*. Raises StoreAway."""
        self._ask(lambda: self._files.get_file(f"{self._root}/{key}", str(to)))

    def create(self, key: str, content: bytes) -> bool:
        """Write an object where there is none, and say whether there was none: of two at once one is told True.

        Raises StoreAway; then it may have been written. Raises InvalidSettings for a store that cannot do this.
        """
        if self._scheme not in CREATES:
            raise InvalidSettings(
                f"{self.url} cannot tell two writers apart; write to one of {', '.join(sorted(CREATES))}"
            )
        return self._put(key, content, mode="create")

    def replace(self, key: str, content: bytes, *, expected: str) -> bool:
        """Write an object if it is still what it was, and say whether it was.

        *expected*: what `keys` said of its content, empty for none there. S3 compares and writes in one step; elsewhere
        it is looked at once more, so that a writer at the same moment may be lost. Raises as `create`.
        """
        if not expected:
            return self.create(key, content)
        if self._scheme in _S3:
            return self._put(key, content, IfMatch=expected)
        if self.keys().get(key, (0, ""))[1] != expected:
            return False
        return self._put(key, content)

    def copy(self, key: str, to: str) -> None:
        """Have the object at *key* at *to* too. Raises StoreAway."""
        self._ask(lambda: self._files.cp_file(f"{self._root}/{key}", f"{self._root}/{to}"))

    def remove(self, key: str) -> None:
        """Remove an object; one that is gone already is none. Raises StoreAway."""

        def removed() -> None:
            with suppress(FileNotFoundError):
                self._files.rm_file(f"{self._root}/{key}")

        self._ask(removed)

    def _put(self, key: str, content: bytes, **conditions: str) -> bool:
        """Write an object, and say whether the *conditions* held. Raises StoreAway; then it may have been written."""
        try:
            self._files.pipe_file(f"{self._root}/{key}", content, **conditions)
        except FileExistsError:
            return False
        except Exception as exc:  # the seam: each store has exceptions of its own
            if any(word in repr(each) for each in (exc, exc.__cause__) for word in _CONDITION_FAILED):
                return False
            if isinstance(exc, FileNotFoundError) and "IfMatch" in conditions:  # what was to be replaced is gone
                return False
            raise self._away(exc) from exc
        return True

    def _ask(self, question: Any) -> Any:
        try:
            return question()
        except Exception as exc:  # the seam: each store has exceptions of its own
            raise self._away(exc) from exc

    def _away(self, exc: Exception) -> StoreAway:
        reason = " ".join(str(exc).split())[:MAX_REASON]
        return StoreAway(f"{self.url} does not answer as it should: {type(exc).__name__}: {reason}")


def _options(scheme: str) -> dict[str, Any]:
    """Return what a store is told beside its address. Keys and endpoint of S3 come from its own environment."""
    if scheme not in _S3:
        return {}
    times = {"connect_timeout": TIMEOUT_SECONDS, "read_timeout": TIMEOUT_SECONDS, "retries": {"max_attempts": 1}}
    return {"config_kwargs": times}


def _tag(entry: Mapping[str, Any]) -> str:
    """Return what changes with the content of an object."""
    names = ("ETag", "etag", "md5Hash", "generation", "created", "mtime", "LastModified")
    return next((str(entry[name]) for name in names if entry.get(name)), "")
