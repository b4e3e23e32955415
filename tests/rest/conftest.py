"""Set before anything here imports onnxruntime, which latches both."""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from tests.rest.door import FakeDoor, send_all_to


@pytest.fixture
async def door() -> FakeDoor:
    """Model ``fraud``: versions 1 (x + 100) and 2 (2 x), all traffic on 1, revision 7."""
    door = FakeDoor(timeout=20.0, max_body=10_000)
    door.floor.held.hold("fraud", 1, lambda feeds: [feeds["x"] + 100])
    door.floor.held.hold("fraud", 2)
    send_all_to(door, 1)
    return door
