"""Takes what is to be told off the event loop: a bounded queue, and a thread that sends what lies in it.

Whoever receives may be slow or dead: what finds the queue full is dropped and counted, and nobody waits.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

MOST_WAITING: Final = 4096
BATCH: Final = 128
"""Sent as one. Making spans of more would keep the event loop from the interpreter for longer."""

GATHER_SECONDS: Final = 0.25
"""How long the thread gathers before it sends: one write, or one request, for what came meanwhile."""

GOODBYE_SECONDS: Final = 2.0
"""How long a stop waits for what is left to be sent."""

ItemT = TypeVar("ItemT")


class Outbox(Generic[ItemT]):
    """One queue and its thread, from the first item on. *put* is for one thread, the event loop's."""

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[ItemT]], bool],
        count: Callable[[str, int], None],
        *,
        stop: Callable[[], None] = lambda: None,
        most: int = MOST_WAITING,
    ) -> None:
        """*send* says whether the items are delivered; it may block, and is called on the thread only.

        *count* takes ``sent``, ``dropped`` or ``failed`` and how many. *stop* ends a *send* that is under way.
        """
        self._name = name
        self._send = send
        self._count = count
        self._stop = stop
        self._most = most
        self._waiting: deque[ItemT] = deque()
        self._filled = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, item: ItemT) -> None:
        """Take an item to be sent, or drop it where too many wait already."""
        if len(self._waiting) >= self._most:
            self._count("dropped", 1)
            return
        self._waiting.append(item)
        if not self._filled.is_set():
            self._filled.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"outbox-{self._name}", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Send what is left, for GOODBYE_SECONDS; the rest is dropped. It may block: call it off the event loop."""
        self._ending.set()
        self._filled.set()
        if self._thread is not None:
            self._thread.join(GOODBYE_SECONDS)
            if self._thread.is_alive():
                self._stop()
                self._thread.join(GOODBYE_SECONDS)
        if self._waiting:
            self._count("dropped", len(self._waiting))
            self._waiting.clear()

    def _run(self) -> None:
        complaint = Complaint(self._name)
        while not self._ending.is_set():
            self._filled.wait()
            self._ending.wait(GATHER_SECONDS)
            self._filled.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                is_sent = self._try(batch)
                self._count("sent" if is_sent else "failed", len(batch))
                complaint.hear(is_sent=is_sent)
                if self._ending.is_set() and not is_sent:
                    return  # nobody takes it, and somebody waits for the end

    def _try(self, batch: Sequence[ItemT]) -> bool:
        try:
            return self._send(batch)
        except Exception:  # the outermost door of the thread: it must live for the next batch
            log.exception("%s could not be sent", self._name)
            return False


class Complaint:
    """Logs that a receiver fails, once, and that it takes again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._fails = False

    def hear(self, *, is_sent: bool) -> None:
        """Take what became of one batch."""
        if is_sent and self._fails:
            log.info("%s are delivered again", self._name)
        elif not is_sent and not self._fails:
            log.warning(
                "%s cannot be delivered, and are dropped meanwhile; requests are answered as ever. "
                "Look at the receiver's address and whether it answers",
                self._name,
            )
        self._fails = not is_sent
