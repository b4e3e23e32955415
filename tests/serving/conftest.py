"""A lane over any function, and a worker's request path over versions that the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.serving.batching import Lane
from tests.serving.fakes import FakeSession, Floor, loaded_version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
async def make_lane() -> AsyncIterator[Callable[..., Lane]]:
    """Make lanes over sessions; their threads end with the test."""
    lanes: list[Lane] = []

    def make(session: FakeSession | None = None, *, max_queue: int = 1024, **how: object) -> Lane:
        lane = Lane(loaded_version(session or FakeSession(), **how), max_queue=max_queue)  # type: ignore[arg-type]  # passed through
        lanes.append(lane)
        return lane

    yield make
    for lane in lanes:
        lane.close()


@pytest.fixture
async def floor() -> Floor:
    return Floor()
