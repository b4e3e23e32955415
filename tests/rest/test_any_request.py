"""Valid requests to a shipped model that hypothesis invents: each equals the runtime called directly.

Invalid ones, and the other protocols, are in ``tests/requests/``.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rest.door import RealDoor
from tests.rest.oracle import EVERY_VERSION, as_request, assert_equal, directly, feeds_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(FEW, max_examples=10_000)

VERSIONS = [version for model, version in EVERY_VERSION if model == "breast-cancer"]
WIDTH = 30

ROWS = st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=3)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealDoor]:
    door = RealDoor(tmp_path_factory.mktemp("any"), "breast-cancer")
    await door.open()
    yield door
    await door.close()


async def check_valid(door: RealDoor, version: int, rows: list[list[float]], nested: bool) -> None:
    session = directly("breast-cancer", version)
    feeds = feeds_of(session, len(rows), chain.from_iterable(rows))

    reply = await door.infer("breast-cancer", as_request(session, feeds, nested=nested), version=version)

    assert_equal(reply, session, feeds)


@FEW
@given(st.sampled_from(VERSIONS), ROWS, st.booleans())
async def test_a_valid_request_equals_the_runtime_called_directly(
    door: RealDoor, version: int, rows: list[list[float]], nested: bool
) -> None:
    await check_valid(door, version, rows, nested)


@pytest.mark.long
@pytest.mark.timeout(1800)
@MANY
@given(st.sampled_from(VERSIONS), ROWS, st.booleans())
async def test_very_many_valid_requests_equal_the_runtime_called_directly(
    door: RealDoor, version: int, rows: list[list[float]], nested: bool
) -> None:
    await check_valid(door, version, rows, nested)
