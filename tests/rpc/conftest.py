"""Set before anything here imports onnxruntime, which latches both."""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import TYPE_CHECKING

import pytest

from tests.rpc.door import RpcDoor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def door() -> AsyncIterator[RpcDoor]:
    """Model ``fraud``: versions 1 (x + 100) and 2 (2 x), all traffic on 1, revision 7; over gRPC and over ASGI."""
    door = RpcDoor(timeout=20.0, max_body=10_000)
    await door.open()
    yield door
    await door.close()
