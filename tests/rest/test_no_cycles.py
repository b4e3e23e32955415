"""A request leaves nothing behind that only the collector of cycles can free: it is asked rarely."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import ModelFailed
from tests.rest.door import FakeDoor, send_all_to
from tests.rest.in_memory import REQUEST, connected
from tests.rest.test_call_budget import tick

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.ports.engine import Tensor

REQUESTS = 50


def failing(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    raise ModelFailed("fraud", 2, "it always does")


@pytest.fixture
def frozen() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def left_by(door: FakeDoor) -> int:
    """Return how many objects REQUESTS leave in cycles."""
    connections = connected(door, 1)
    await tick(connections, REQUEST)
    gc.collect()
    for _ in range(REQUESTS):
        await tick(connections, REQUEST)
        await tick([], b"")
    assert all(each.startswith(b"HTTP/1.1 200 ") for _, wire in connections for each in wire.written)
    assert sum(len(wire.written) for _, wire in connections) == REQUESTS + 1
    return gc.collect()


@pytest.mark.usefixtures("frozen")
async def test_a_request_that_is_answered_leaves_no_cycles() -> None:
    door = FakeDoor()
    door.floor.held.hold("fraud", 1)
    send_all_to(door, 1)

    assert await left_by(door) < REQUESTS


@pytest.mark.usefixtures("frozen")
async def test_a_request_that_another_version_answers_leaves_none_either() -> None:
    door = FakeDoor()
    door.floor.held.hold("fraud", 1)
    door.floor.held.hold("fraud", 2, failing)
    send_all_to(door, 2, baseline="1")

    assert await left_by(door) < REQUESTS
