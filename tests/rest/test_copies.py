"""A request that is copied is answered like any other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.watching import Mark
from gateway.serving.shadow import Shadows
from tests.rest.door import FakeDoor
from tests.serving.fakes import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.engine import Tensor

REQUEST = {"id": "7", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}


def buggy(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    raise RuntimeError("a bug")


@pytest.fixture
async def door() -> FakeDoor:
    """Version 1 answers, version 3 shadows all."""
    door = FakeDoor()
    for version in (1, 3):
        door.floor.held.hold("fraud", version)
    shadows = Shadows(door.floor.lanes.are_waited_for, door.floor.metrics)
    door.adoption._make_route = shadows.route
    return door


async def copies(door: FakeDoor, count: int) -> list[str]:
    async with asyncio.timeout(5):
        while len(door.floor.cells(3).copies) < count:  # noqa: ASYNC110 - a thread counts, and sets no event
            await asyncio.sleep(0.001)
    return door.floor.cells(3).copies


def route(**members: Any) -> tuple[Mark, Any]:
    return Mark("a", 7, "d"), compiled({"1": 1}, **members)


@pytest.mark.parametrize("run", [None, buggy])
async def test_a_copied_request_has_the_answer_and_the_counts_of_one_that_is_not(door: FakeDoor, run: Any) -> None:
    if run is not None:
        door.floor.held.hold("fraud", 3, run)
    door.adoption.want(*route())
    plain = await door.infer("fraud", REQUEST, [("x-request-id", "r")])
    door.adoption.want(*route(shadow={"3": 100}))

    copied = await door.infer("fraud", REQUEST, [("x-request-id", "r")])

    assert copied == plain
    assert await copies(door, 1) == ["other" if run else "ok"]
    assert (door.outcomes(1), door.outcomes(3)) == (["ok", "ok"], [])
    assert door.inference.in_flight == 0


async def test_a_pinned_request_is_not_copied(door: FakeDoor) -> None:
    door.adoption.want(*route(shadow={"3": 100}))

    await door.infer("fraud", REQUEST, version=1)
    await door.infer("fraud", REQUEST)

    assert await copies(door, 1) == ["ok"]
