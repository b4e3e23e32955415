"""Replacing processes that run well: all workers one by one, one that has grown too large, the control process.

A worker's successor is ready before the worker is told to go, so that nobody who calls sees it.
"""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING

from gateway.processes.scales import Scales
from gateway.processes.tree import FINISH_SECONDS, TICK_SECONDS

if TYPE_CHECKING:
    from gateway.processes.children import Child
    from gateway.processes.signals import Signals
    from gateway.processes.slots import Slot
    from gateway.processes.tree import Tree

log = logging.getLogger(__name__)


class Replacing:
    """Replaces processes of one tree; a signal that ends the gateway ends the waiting for a successor."""

    def __init__(self, tree: Tree, signals: Signals, worker_memory: int) -> None:
        """*worker_memory*: bytes that a worker may hold; 0 for no limit."""
        self._tree = tree
        self._signals = signals
        self._scales = Scales(worker_memory)

    def roll(self) -> None:
        """Replace the workers one by one: the new one is ready before the old one is told to go."""
        log.info("rolling the workers one by one")
        for slot in self._tree.slots:
            if not self._succeed(slot):
                return
        log.info("all workers are replaced")

    def lighten(self) -> None:
        """Replace a worker that has grown too large, if there is one."""
        ready = {slot.child.pid: slot for slot in self._tree.slots if slot.child is not None and slot.child.is_ready()}
        pid = self._scales.too_heavy(ready, time.monotonic())
        if pid is not None and not self._succeed(ready[pid]):
            self._scales.rest(time.monotonic())

    def _succeed(self, slot: Slot) -> bool:
        """Start the successor of a worker and, once it is ready, tell the old one to go; say whether that was so."""
        slot.accept_after = FINISH_SECONDS  # the old one answers meanwhile
        old, new = slot.child, self._tree.start(slot)
        deadline = time.monotonic() + FINISH_SECONDS
        while self._is_awaited(new) and time.monotonic() < deadline:
            self._tree.wait(self._signals, TICK_SECONDS)
        if not new.is_ready():
            log.error("worker %d's replacement did not become ready; the old one stays", slot.number)
            new.tell(signal.SIGTERM)
            self._tree.retiring.append(new)
            return False
        slot.child = new
        if old is not None:
            old.tell(signal.SIGUSR2)
            self._tree.retiring.append(old)
        return True

    def _is_awaited(self, successor: Child) -> bool:
        """Say whether it may become ready yet, and the gateway goes on until then."""
        return not successor.is_ready() and successor.exit_code is None and not self._signals.must_stop()

    def renew_control(self) -> None:
        """Replace the control process; both take connections until the old one has ended."""
        slot = self._tree.control
        if slot is not None and slot.child is not None:
            slot.child.tell(signal.SIGTERM)
            self._tree.retiring.append(slot.child)
            slot.child = self._tree.start(slot)
