"""Requests that hypothesis invents: a valid one equals the runtime called directly, any other is the caller's fault."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

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


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Return a valid request of which a member, anywhere, or a few bytes were changed."""
    session = directly("breast-cancer", 1)
    valid = as_request(session, feeds_of(session, 1, iter([1.0] * WIDTH)), id="a", outputs=[], parameters={"p": 1})
    if draw(st.booleans()):
        return json.dumps(_with_junk(draw, valid)).encode()
    text = bytearray(json.dumps(valid).encode())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        text[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(text)


def _with_junk(draw: st.DrawFn, value: Any) -> Any:
    """Return *value* with one of its parts, or itself, replaced by junk."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(JUNK)
    key: Any = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    value[key] = _with_junk(draw, value[key])
    return value


async def check_mutant(door: RealDoor, sent: bytes) -> None:
    reply = await door.infer("breast-cancer", sent)

    assert reply.status == 200 or 400 <= reply.status < 500, (reply.status, reply.body)
    assert set(reply.json) == {"error", "code", "request_id"} or reply.json["model_name"] == "breast-cancer"
    assert not any(leak in reply.body for leak in (b"Traceback", b"onnxruntime", b"/usr/", b".py"))
    assert door.inference.in_flight == 0


@FEW
@given(st.sampled_from(VERSIONS), ROWS, st.booleans())
async def test_a_valid_request_equals_the_runtime_called_directly(
    door: RealDoor, version: int, rows: list[list[float]], nested: bool
) -> None:
    await check_valid(door, version, rows, nested)


@FEW
@given(mutants())
async def test_a_mutated_request_is_answered_or_is_the_callers_fault(door: RealDoor, sent: bytes) -> None:
    await check_mutant(door, sent)


@pytest.mark.long
@pytest.mark.timeout(1800)
@MANY
@given(st.sampled_from(VERSIONS), ROWS, st.booleans())
async def test_very_many_valid_requests_equal_the_runtime_called_directly(
    door: RealDoor, version: int, rows: list[list[float]], nested: bool
) -> None:
    await check_valid(door, version, rows, nested)


@pytest.mark.long
@pytest.mark.timeout(1800)
@MANY
@given(mutants())
async def test_very_many_mutated_requests_are_answered_or_are_the_callers_fault(door: RealDoor, sent: bytes) -> None:
    await check_mutant(door, sent)
