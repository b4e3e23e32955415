"""A slab directory on a clock that only the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.telemetry.slab import SlabDirectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def read(self) -> float:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def now(clock: Clock) -> Callable[[], float]:
    return clock.read


@pytest.fixture
def pass_seconds(clock: Clock) -> Callable[[float], None]:
    return clock.pass_seconds


@pytest.fixture
def slabs(tmp_path: Path, now: Callable[[], float]) -> SlabDirectory:
    return SlabDirectory(tmp_path / "slabs", clock=now)
