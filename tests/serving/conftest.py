"""A lane over any function, and a worker's request path over versions that the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.serving.batching import Lane
from gateway.serving.caching import CachingLane
from tests.serving.fakes import FakeRuns, FakeSession, FakeWatchdog, Floor, loaded_version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.serving.watchdog import Watchdog


@pytest.fixture
async def make_lane() -> AsyncIterator[Callable[..., Lane]]:
    """Make lanes over sessions; their threads end with the test."""
    lanes: list[Lane] = []

    def make(
        session: FakeSession | None = None,
        *,
        max_queue: int = 1024,
        watchdog: Watchdog | None = None,
        runs: FakeRuns | None = None,
        **how: object,
    ) -> Lane:
        version = loaded_version(session or FakeSession(), **how)  # type: ignore[arg-type]  # passed through
        kind = CachingLane if version.metadata.serving.cache_bytes else Lane
        lane = kind(version, watchdog or FakeWatchdog(), runs or FakeRuns(), max_queue=max_queue)
        lanes.append(lane)
        return lane

    yield make
    for lane in lanes:
        lane.close()


@pytest.fixture
async def floor() -> Floor:
    return Floor()
