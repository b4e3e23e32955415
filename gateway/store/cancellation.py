"""Cancellations that the client library loses.

It writes with ``asyncio.wait_for``, which on Python 3.11 returns as if nothing had happened when a
cancellation meets the end of the write (python/cpython#86296, mended in 3.12). A task that polls for
ever then never ends: measured, a worker in 20 did not stop.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def heeded() -> Iterator[None]:
    """Raise CancelledError after a block in which the task was cancelled and that ended without a word of it."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    yield
    if task.cancelling() > before:
        raise asyncio.CancelledError
