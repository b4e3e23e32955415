"""The last good routes on this machine's disk: what a worker serves when it starts and the store does not answer.

One file, all routes, a digest over the whole. Written to a temporary file, synced and renamed, the
one before kept; never older over newer. Reading trusts nothing: a damaged file counts as none.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import json
import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.ports.routes import StoredRoute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

NAME: Final = "routes.snapshot"
SCHEMA: Final = 1


class Snapshot:
    """Implements LastGood. Workers share the file; each adds what it adopted."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / NAME
        self._previous = state_dir / f"{NAME}.prev"
        self._unwritten: dict[str, StoredRoute] = {}
        self._dirty: asyncio.Event | None = None

    def read(self) -> Mapping[str, StoredRoute]:
        """Return every route of the snapshot, or of the one before where that is damaged; empty without either."""
        for path in (self._path, self._previous):
            try:
                return _parse(path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as exc:
                log.error("the snapshot %s cannot be used: %s", path, exc)
        return {}

    def remember(self, model: str, route: StoredRoute) -> None:
        """Note an adopted route; ``write_forever`` brings it to disk."""
        self._unwritten[model] = route
        if self._dirty is not None:
            self._dirty.set()

    async def write_forever(self) -> None:
        """Bring what was remembered to disk, off the event loop, as long as the worker lives."""
        self._dirty = asyncio.Event()
        if self._unwritten:
            self._dirty.set()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Merge what was remembered into the file. A disk that refuses is logged and tried again at the next change."""
        new, self._unwritten = self._unwritten, {}
        try:
            with self._lock():
                merged = {**self.read(), **{m: r for m, r in new.items() if not self._is_newer_on_disk(m, r)}}
                self._replace(_format(merged))
        except OSError as exc:
            self._unwritten = {**new, **self._unwritten}
            log.error("the last good routes could not be written to %s: %s", self._path, exc)

    def _is_newer_on_disk(self, model: str, route: StoredRoute) -> bool:
        there = self.read().get(model)
        return there is not None and there.incarnation == route.incarnation and there.revision > route.revision

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with Path(f"{self._path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _replace(self, content: bytes) -> None:
        if self._path.exists() and self._path.read_bytes() == content:
            return
        temporary = self._path.with_name(f".{NAME}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        if _is_whole(self._path):
            self._path.replace(self._previous)
        temporary.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _format(routes: Mapping[str, StoredRoute]) -> bytes:
    body = json.dumps(
        {
            model: {
                "incarnation": route.incarnation,
                "revision": route.revision,
                "digest": route.digest,
                "payload": base64.b64encode(route.payload).decode(),
            }
            for model, route in sorted(routes.items())
        },
        separators=(",", ":"),
    ).encode()
    head = json.dumps({"schema": SCHEMA, "sha256": hashlib.sha256(body).hexdigest()}).encode()
    return head + b"\n" + body


def _parse(content: bytes) -> dict[str, StoredRoute]:
    """Return the routes in *content*. Raises ValueError for anything that ``_format`` did not write."""
    head, _, body = content.partition(b"\n")
    described: Any = json.loads(head)
    if not isinstance(described, dict) or described.get("schema") != SCHEMA:
        raise ValueError("it is of another schema")
    if hashlib.sha256(body).hexdigest() != described.get("sha256"):
        raise ValueError("its digest does not match")
    try:
        return {model: _stored(entry) for model, entry in json.loads(body).items()}
    except (AttributeError, KeyError, TypeError) as exc:
        raise ValueError("its routes are not in this release's form") from exc


def _stored(entry: Any) -> StoredRoute:
    return StoredRoute(
        incarnation=entry["incarnation"],
        revision=entry["revision"],
        digest=entry["digest"],
        payload=base64.b64decode(entry["payload"]),
    )


def _is_whole(path: Path) -> bool:
    """Say whether *path* holds a snapshot that can be used: only such a one is kept as the one before."""
    try:
        _parse(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
