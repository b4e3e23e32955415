"""Turns between the workers of a gateway: large files are loaded by few of them at once.

A load takes a processor and the memory bus for seconds. Where every worker takes both at the same time, none is left
to answer. A turn is a lock on a file, so the system ends it with the process that holds it, however that ends.

Blocks; called on the loader thread.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

LARGE_BYTES: Final = 64 << 20
"""Of a file: a smaller one is loaded in less than a second, and waits for nobody."""

PATIENCE_SECONDS: Final = 120.0
"""How long a turn is waited for: a worker that stopped over one must not keep the others from loading for good."""

POLL_SECONDS: Final = 0.05


class Turns:
    """The turns of one gateway, as one of its workers takes them."""

    def __init__(self, directory: Path, at_once: int, *, patience: float = PATIENCE_SECONDS) -> None:
        """*directory*: the same for all workers. *at_once*: how many may load a large file at the same time.

        *patience*: seconds after which a turn is not waited for any longer.
        """
        self._directory = directory
        self._at_once = at_once
        self._patience = patience
        self._is_awaited = threading.Event()
        self._is_closed = threading.Event()

    def begin(self) -> None:
        """Take turns from now on: before a worker answers for the first time nobody waits for it but its start."""
        self._is_awaited.set()

    def close(self) -> None:
        """Wait for no turn any longer. Any thread."""
        self._is_closed.set()

    @contextmanager
    def turn(self, what: str, size: int) -> Iterator[None]:
        """Hold a turn for a file of *size* bytes while the context is entered; *what* names it in the log.

        None is held, and nothing fails, for a small file, before `begin`, after `close`, when nobody gave one up in
        time, and where the directory takes no file.
        """
        descriptor = self._wait(what) if size >= LARGE_BYTES and self._is_awaited.is_set() else None
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _wait(self, what: str) -> int | None:
        """Return a descriptor that holds a turn, None for none."""
        until, is_told = time.monotonic() + self._patience, False
        try:
            while (held := self._take()) is None and time.monotonic() < until:
                if not is_told:
                    logger.info("%s waits for its turn: other workers load large files", what)
                    is_told = True
                if self._is_closed.wait(POLL_SECONDS):
                    return None
        except OSError as exc:
            logger.warning("%s is loaded without a turn, beside what other workers load: %s", what, exc)
            return None
        if held is None:
            logger.warning("%s had no turn in %g s and is loaded without; does a worker hang?", what, self._patience)
        return held

    def _take(self) -> int | None:
        """Return a descriptor that holds a turn, None where all are held by others."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(self._at_once):
            descriptor = os.open(self._directory / f"{number}.turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor
        return None
