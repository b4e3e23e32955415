"""A learner that is killed anywhere, over a real store: no label is lost, and none is learned twice."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.learning.folder import Folder
from gateway.ports.labels import Served
from gateway.store.embedded import EmbeddedServer
from gateway.store.redis_store import RedisRouteStore
from gateway.store.server_binary import find_server
from tests.learning.dying_learner import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MODEL = "points"
ANSWERS = 200


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A real store."""
    server = EmbeddedServer(tmp_path / "state", find_server(None))
    yield server.start()
    server.stop()


async def label(url: str, points: list[tuple[float, float]]) -> None:
    """Have each point answered, and labelled, as the gateway's workers do."""
    store = RedisRouteStore(url)
    for number, point in enumerate(points):
        inputs = {"input": {"datatype": "FP32", "shape": [1, 2], "data": list(point)}}
        name, said = f"answer-{number}", json.dumps([str(int(point[0] > 0))])
        await store.remember(
            MODEL, [Served(name, 1, b"p", inputs=json.dumps(inputs).encode(), stream=10_000)], ttl_seconds=60
        )
        example = {"id": name, "version": "1", "kind": "label", "said": said, "predicted": said}
        assert await store.label(MODEL, name, "label", said, {"1|labelled": 1}, example=example) == "counted"
    await store.close()


def kill(url: str, directory: Path, place: str, number: int) -> subprocess.CompletedProcess[str]:
    """Run a learner that dies."""
    words = [sys.executable, "-m", "tests.learning.dying_learner", url, str(directory), MODEL, place, str(number)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_learner_that_is_killed_again_and_again_counts_every_label_once(url: str, tmp_path: Path) -> None:
    chance = random.Random(3)
    points = [(chance.uniform(-1, 1), chance.uniform(-1, 1)) for _ in range(ANSWERS)]
    asyncio.run(label(url, points))

    killed = [kill(url, tmp_path / "learning", *where)
              for where in (("acknowledge", 2), ("save", 2))]  # fmt: skip
    found = asyncio.run(main(url, str(tmp_path / "learning"), MODEL))
    undisturbed = asyncio.run(main(url, str(tmp_path / "other"), MODEL))

    assert [each.returncode for each in killed] == [-signal.SIGKILL] * 2, killed
    assert (found["answers"], found["pending"]) == (ANSWERS, 0)
    assert found["seen"] == found["rows"] == ANSWERS - found["held_out"]
    assert found == undisturbed, "what was learned is what an undisturbed learner learns"
    assert not Folder(tmp_path / "learning").is_taken()
