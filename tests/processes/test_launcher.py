"""The launcher's waiting: who rests is started when it is asked, whatever the launcher is at."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.processes.launcher import Launcher, Slot
from gateway.processes.sockets import Entrance
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


class Waiting(Launcher):
    """A launcher without processes, which notes whom it starts."""

    def __init__(self, state: Path, hears: socket.socket) -> None:
        super().__init__(Settings(state_dir=state), None, lambda *_: None)
        self.resting = self._verifier = Slot(0, Entrance(hears))
        self.resting.child = Ended()  # type: ignore[assignment]  # what is asked of a child here
        self.started: list[Slot] = []

    def _start(self, slot: Slot) -> Ended:  # type: ignore[override]
        self.started.append(slot)
        return Ended()


@pytest.fixture
def wakeup() -> Iterator[int]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends[0]
    for end in ends:
        os.close(end)


def test_what_is_asked_as_the_verifier_ends_is_heard_by_the_next(tmp_path: Path, wakeup: int) -> None:
    asked, hears = pair()
    with asked, hears:
        launcher = Waiting(tmp_path, hears)
        asked.send(b"?")

        launcher._wait(wakeup, 5.0)

    assert launcher.started == [launcher.resting]
    assert not launcher.resting.rests


def test_nobody_is_started_whom_nobody_asks(tmp_path: Path, wakeup: int) -> None:
    asked, hears = pair()
    with asked, hears:
        launcher = Waiting(tmp_path, hears)

        launcher._wait(wakeup, 0.01)

    assert launcher.started == []
    assert launcher.resting.rests
    assert launcher.resting.is_up()
