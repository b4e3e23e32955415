"""The waiting for a gateway's processes: who rests is started when it is asked, whatever the launcher is at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.processes.signals import Signals
from gateway.processes.slots import Slot
from gateway.processes.sockets import Entrance
from gateway.processes.state import StateDirectory
from gateway.processes.tree import Tree
from gateway.settings import Settings
from gateway.verification.asking import pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path


class Ended:
    """A child that ended because nobody asked it anything."""

    pid = 0
    exit_code = 0
    read_end = None

    def is_ready(self) -> bool:
        return True

    def end(self, *, within_seconds: float) -> None: ...


class Waiting(Tree):
    """A tree without processes, which notes whom it starts."""

    def __init__(self, state: Path, hears: socket.socket) -> None:
        super().__init__(Settings(), None, StateDirectory(state))
        self.resting = self.verifier = Slot(0, Entrance(hears))
        self.resting.child = Ended()  # type: ignore[assignment]  # what is asked of a child here
        self.started: list[Slot] = []

    def start(self, slot: Slot) -> Ended:  # type: ignore[override]  # a child that has ended
        self.started.append(slot)
        return Ended()


@pytest.fixture
def signals() -> Iterator[Signals]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield Signals(ends[0])
    for end in ends:
        os.close(end)


def test_what_is_asked_as_the_verifier_ends_is_heard_by_the_next(tmp_path: Path, signals: Signals) -> None:
    asked, hears = pair()
    with asked, hears:
        tree = Waiting(tmp_path, hears)
        asked.send(b"?")

        tree.wait(signals, 5.0)

    assert tree.started == [tree.resting]
    assert not tree.resting.rests


def test_nobody_is_started_whom_nobody_asks(tmp_path: Path, signals: Signals) -> None:
    asked, hears = pair()
    with asked, hears:
        tree = Waiting(tmp_path, hears)

        tree.wait(signals, 0.01)

    assert tree.started == []
    assert tree.resting.rests
    assert tree.resting.is_up()
