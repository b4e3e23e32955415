"""Processes that run well are replaced: their successor is ready first, or they stay."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from gateway.processes.replacing import Replacing
from gateway.processes.signals import Signals
from gateway.processes.slots import Slot
from gateway.processes.state import StateDirectory
from gateway.processes.tree import Tree
from gateway.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


class Never:
    """A successor that does not become ready."""

    pid = 9
    exit_code = None
    read_end = None

    def __init__(self) -> None:
        self.told: list[signal.Signals] = []

    def is_ready(self) -> bool:
        return False

    def tell(self, number: signal.Signals) -> None:
        self.told.append(number)


class Waiting(Tree):
    """A tree whose children never become ready, and which is told to end while somebody waits for one."""

    def start(self, slot: Slot) -> Never:  # type: ignore[override]  # a child that is never ready
        self.successor = Never()
        return self.successor

    def wait(self, signals: Signals, at_most_seconds: float) -> None:
        signals.note(signal.SIGTERM)


def test_a_stop_does_not_wait_for_a_successor(tmp_path: Path) -> None:
    tree = Waiting(Settings(), None, StateDirectory(tmp_path))
    replacing = Replacing(tree, Signals(-1), worker_memory=0)
    slot = Slot(0, None)  # type: ignore[arg-type]  # nobody listens here

    assert not replacing._succeed(slot)
    assert tree.successor.told == [signal.SIGTERM]
    assert slot.child is None
