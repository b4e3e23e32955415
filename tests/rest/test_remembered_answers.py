"""An answer out of a version's memory is the answer that was given before, through every form of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.core.watching import Mark
from tests.rest.door import ROW, FakeDoor, request, tensor
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.engine import Tensor


def odd(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """y = x, and NaN in its first column."""
    out = feeds["x"].copy()
    out[:, 0] = np.nan
    return [out]


BINARY = request(tensor("x", "FP32", (1, 2), [1, 2]), outputs=[{"name": "y", "parameters": {"binary_data": True}}])


@pytest.mark.parametrize("asked", [ROW, BINARY], ids=["json", "binary"])
async def test_an_answer_from_memory_is_the_same_bytes(asked: dict[str, object]) -> None:
    door = FakeDoor()
    door.floor.held.hold("odd", 1, odd, nonfinite="null", cache_bytes=1 << 20)
    door.adoption.want(Mark("a", 1, "odd"), compiled({"1": 1}, model="odd"))

    first = await door.infer("odd", {**asked, "id": "a"})
    second = await door.infer("odd", {**asked, "id": "a"})

    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert door.floor.metrics.version("odd", "1").events.count("cache_hit") == 1
