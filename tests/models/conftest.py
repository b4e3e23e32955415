"""The environment that onnxruntime latches when it is imported, and a house for catalogs."""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import TYPE_CHECKING

import pytest

from tests.models.fakes import House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    (tmp_path / "models").mkdir()
    built = House(tmp_path / "models", tmp_path / "blobs")
    yield built
    built.engine.gate.set()
    for catalog in built.catalogs:
        await catalog.close()
