"""Recorded requests in files of the state directory: bounded in bytes and in time, shared by all workers.

``recordings/MODEL/STARTED-KEEP.jsonl``: when the file was begun, in milliseconds since the epoch, and for how many
seconds what is in it is kept. The name says when it goes, so a file goes also after its route records no more. Files
are begun and deleted whole, each holds at most an eighth of the bytes and of the time, and a lock per model lets one
process write at a time. Nobody else reads the directory: it is 0700, the files are 0600.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.errors import RecordingsUnreadable
from gateway.ports.observing import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PARTS: Final = 8
KEY: Final = "hash-key"
KEY_BYTES: Final = 32
LOCK: Final = "lock"
NAME: Final = re.compile(r"([0-9]{13,16})-([0-9]{1,8})\.jsonl", re.ASCII)
READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """One file. *started_ms*: since the epoch; all that it holds is gone *keep_seconds* later."""

    path: Path
    started_ms: int
    keep_seconds: int
    bytes: int

    def is_over(self, now_ms: int) -> bool:
        """Say whether what it holds has been kept long enough."""
        return now_ms >= self.started_ms + self.keep_seconds * 1000

    def takes(self, size: int, keep_seconds: int, max_bytes: int, now_ms: int) -> bool:
        """Say whether *size* more bytes may be written to it."""
        is_young = now_ms < self.started_ms + keep_seconds * 1000 // PARTS
        return is_young and self.keep_seconds == keep_seconds and self.bytes + size <= max_bytes // PARTS


class RecordingFiles:
    """Implements ``ports.RecordingShelf``, and writes. Everything blocks."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        """*root* is made when the first request is recorded. *clock*: seconds since the epoch."""
        self._root = root
        self._clock = clock

    def secret(self) -> bytes:
        """Return the key of the hashes, drawn when it is first asked for. Raises RecordingsUnreadable."""
        path, drawn = self._root / KEY, self._root / f"{KEY}.{secrets.token_hex(8)}"
        with _told():
            if not path.exists():
                self._root.mkdir(mode=0o700, exist_ok=True)
                with suppress(FileExistsError), os.fdopen(_create(drawn), "wb") as file:
                    file.write(secrets.token_bytes(KEY_BYTES))
                    file.flush()
                    os.link(drawn, path)  # whoever links first has drawn it for all
                drawn.unlink()
            return path.read_bytes()

    def append(self, model: str, lines: Sequence[bytes], *, keep_seconds: int, max_bytes: int) -> None:
        """Write *lines*, none longer than an eighth of *max_bytes*, and let go of what is then too much.

        Raises RecordingsUnreadable; some of the lines may be written then.
        """
        with _told(), self._locked(model) as directory:
            for piece in _pieces(lines, max_bytes // PARTS):
                self._append(directory, piece, keep_seconds, max_bytes)

    def sweep(self) -> None:
        """Delete what was kept long enough, of whichever model. Raises RecordingsUnreadable."""
        with _told():
            for model in self._models():
                with self._locked(model) as directory:
                    for each in self._segments(directory):
                        if each.is_over(self._now_ms()):
                            each.path.unlink()

    def recordings(self) -> Sequence[Recording]:
        """Return what is there and not out of date, by model."""
        with _told():
            found = [(model, self._live(model)) for model in self._models()]
            return [_described(model, segments) for model, segments in found if segments]

    def read(self, model: str) -> Iterator[bytes]:
        """Yield the lines of *model*, oldest first; one that was cut off by a crash is left out.

        A file that is deleted meanwhile is left out too, and what is written meanwhile may be.
        """
        with _told():
            for segment in self._live(model):
                with suppress(FileNotFoundError), segment.path.open("rb") as file:
                    yield from (line for line in file if line.endswith(b"}\n"))

    def delete(self, model: str) -> int:
        """Delete what is recorded of *model* and return how many bytes that were."""
        with _told():
            if model not in self._models():
                return 0
            with self._locked(model) as directory:
                gone = self._segments(directory)
                for each in gone:
                    each.path.unlink()
                return sum(each.bytes for each in gone)

    def _append(self, directory: Path, piece: bytes, keep_seconds: int, max_bytes: int) -> None:
        now_ms, segments = self._now_ms(), self._segments(directory)
        total = sum(each.bytes for each in segments) + len(piece)
        while segments and (total > max_bytes or segments[0].is_over(now_ms)):
            oldest = segments.pop(0)
            oldest.path.unlink()
            total -= oldest.bytes
        last = segments[-1] if segments else None
        if last is not None and last.takes(len(piece), keep_seconds, max_bytes, now_ms) and _is_whole(last):
            path = last.path
        else:
            started_ms = max(now_ms, last.started_ms + 1 if last else 0)
            path = directory / f"{started_ms:013d}-{keep_seconds}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(piece)

    def _live(self, model: str) -> list[Segment]:
        now_ms = self._now_ms()
        return [each for each in self._segments(self._root / model) if not each.is_over(now_ms)]

    def _models(self) -> list[str]:
        return sorted(each.name for each in self._root.iterdir() if each.is_dir()) if self._root.is_dir() else []

    @staticmethod
    def _segments(directory: Path) -> list[Segment]:
        """Return the files of one model, oldest first."""
        found = []
        for path in directory.iterdir() if directory.is_dir() else ():
            named = NAME.fullmatch(path.name)
            if named is not None:
                with suppress(FileNotFoundError):
                    found.append(Segment(path, int(named[1]), int(named[2]), path.lstat().st_size))
        return sorted(found, key=lambda each: each.started_ms)

    @contextmanager
    def _locked(self, model: str) -> Iterator[Path]:
        """Keep every other process out of the directory of *model*, which is made where it is not there."""
        directory = self._root / model
        self._root.mkdir(mode=0o700, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield directory

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _pieces(lines: Sequence[bytes], most: int) -> Iterator[bytes]:
    """Yield *lines* joined into pieces of at most *most* bytes, each of which is written at once."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and size + len(line) > most:
            yield b"".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line)
    if held:
        yield b"".join(held)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise RecordingsUnreadable(exc.strerror or str(exc)) from exc


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _is_whole(segment: Segment) -> bool:
    """Say whether the last line has its end; what was cut off by a crash must not swallow the next line."""
    with segment.path.open("rb") as file:
        file.seek(max(0, segment.bytes - 1))
        return file.read(1) == b"\n"


def _described(model: str, segments: Sequence[Segment]) -> Recording:
    requests, until = 0, 0.0
    for each in segments:
        with suppress(FileNotFoundError), each.path.open("rb") as file:
            until = max(until, os.fstat(file.fileno()).st_mtime)
            while part := file.read(READ_BYTES):
                requests += part.count(b"\n")
    size = sum(each.bytes for each in segments)
    return Recording(model, requests, size, segments[0].started_ms / 1000, until)
