"""The directory of one learner: its lock, its state, what operators ask of it, and what it says of itself.

Orders are files that are there or not: a learner that is not running finds them when it starts. Whatever is written is
whole or not there, and but for the status on the disk before the call returns. Blocks.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gateway.learning import estimators, state
from gateway.learning.errors import CannotLearn, StateUnreadable
from gateway.models.publishing import sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STATE: Final = "state.zip"
STATUS: Final = "status.json"
PAUSED: Final = "paused"
RESET: Final = "reset"
LOCK: Final = "lock"
KEPT: Final = 10
"""So many pipelines of versions that were published are kept."""


class Folder:
    """The files below *root*, which nobody else may read: they hold what callers sent."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Be the only learner that uses it; the kernel gives it up with the process. Raises CannotLearn."""
        self._make()
        with (self.root / LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotLearn(
                    f"another learner is running with {self.root}; stop it, or name another place with --state-dir"
                ) from None
            yield

    def is_taken(self) -> bool:
        """Say whether a learner is running."""
        try:
            with (self.root / LOCK).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def load(self) -> state.State | None:
        """Return the state; None where nothing was learned yet. Raises StateUnreadable."""
        content = self._read(STATE)
        return None if content is None else state.decoded(content, str(self.root / STATE))

    def save(self, found: state.State) -> None:
        """Write the state over the last one."""
        self._write(STATE, state.encoded(found))

    def keep(self, version: int, pipeline: Any) -> None:
        """Keep the *pipeline* that *version* was made of, for a learner that has to begin again from it."""
        self._write(f"version-{version}.skops", estimators.written(pipeline))
        kept = sorted(self.root.glob("version-*.skops"), key=lambda path: int(path.stem.partition("-")[2]))
        for path in kept[:-KEPT]:
            path.unlink()

    def kept(self, version: int) -> Any | None:
        """Return the pipeline that *version* was made of, None where it is not known. Raises StateUnreadable."""
        content = self._read(f"version-{version}.skops")
        return None if content is None else estimators.read(content, f"version-{version}.skops")

    def say(self, status: Mapping[str, Any]) -> None:
        """Write what the learner says of itself."""
        self._write(STATUS, json.dumps(status).encode(), is_lasting=False)

    def said(self) -> dict[str, Any] | None:
        """Return what the learner last said of itself, None where it never ran. Raises StateUnreadable."""
        content = self._read(STATUS)
        try:
            found = None if content is None else json.loads(content)
        except ValueError as exc:
            raise StateUnreadable(f"{self.root / STATUS} is no JSON: {exc}; the learner writes it again") from exc
        return found if isinstance(found, dict) else None

    def order(self, name: str) -> None:
        """Leave the order PAUSED or RESET."""
        self._make()
        self._write(name, b"")

    def has(self, name: str) -> bool:
        """Say whether the order *name* is there."""
        return (self.root / name).exists()

    def withdraw(self, name: str) -> None:
        """Take the order *name* away, where it is there."""
        (self.root / name).unlink(missing_ok=True)

    def _make(self) -> None:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise CannotLearn(f"{self.root} cannot be made: {exc.strerror}; name another with --state-dir") from exc

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StateUnreadable(f"{self.root / name} cannot be read: {exc.strerror}; it needs the same user") from exc

    def _write(self, name: str, content: bytes, *, is_lasting: bool = True) -> None:
        fresh = self.root / f".{name}.new"
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if is_lasting:
                    os.fsync(file.fileno())
            fresh.replace(self.root / name)
            if is_lasting:
                sync(self.root)
        except OSError as exc:
            raise CannotLearn(f"{self.root / name} cannot be written: {exc.strerror}; make room, or free it") from exc
