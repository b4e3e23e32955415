"""Predictions that hypothesis invents: rows, columns and v2 get the same numbers; the rest is the caller's fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from tests.rest.door import RealDoor
from tests.rest.oracle import as_request, directly, feeds_of
from tests.rest.test_any_request import FEW, MANY, ROWS, VERSIONS, WIDTH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "breast-cancer"

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealDoor]:
    door = RealDoor(tmp_path_factory.mktemp("v1"), MODEL)
    await door.open()
    yield door
    await door.close()


async def predicted(door: RealDoor, version: int, body: Any) -> Any:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await door.ask("POST", f"/v1/models/{MODEL}/versions/{version}:predict", sent)


async def check_forms(door: RealDoor, version: int, rows: list[list[float]], named: bool) -> None:
    instances: Any = [{"input": row} for row in rows] if named else rows
    session = directly(MODEL, version)
    feeds = feeds_of(session, len(rows), (number for row in rows for number in row))

    in_rows = await predicted(door, version, {"instances": instances})
    in_columns = await predicted(door, version, {"inputs": {"input": rows} if named else rows})
    over_v2 = await door.infer(MODEL, as_request(session, feeds), version=version)

    assert (in_rows.status, in_columns.status, over_v2.status) == (200, 200, 200)
    columns = in_columns.json["outputs"]
    for output in over_v2.json["outputs"]:
        width = output["shape"][1:] or None
        data = output["data"]
        nested = data if width is None else [data[start : start + width[0]] for start in range(0, len(data), width[0])]
        assert columns[output["name"]] == nested
        assert [row[output["name"]] for row in in_rows.json["predictions"]] == nested


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Return a valid prediction of which a part, anywhere, or a few bytes were changed."""
    row = [1.0] * WIDTH
    valid: dict[str, Any] = draw(
        st.sampled_from([{"instances": [row]}, {"instances": [{"input": row}]}, {"inputs": {"input": [row]}}])
    )
    if draw(st.booleans()):
        member = next(iter(valid))
        mutated = draw(st.one_of(JUNK, st.lists(JUNK), st.dictionaries(st.just("input"), JUNK)))
        return json.dumps({**valid, member: mutated}).encode()
    text = bytearray(json.dumps(valid).encode())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        text[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(text)


async def check_mutant(door: RealDoor, sent: bytes) -> None:
    reply = await predicted(door, 1, sent)

    assert reply.status == 200 or 400 <= reply.status < 500, (reply.status, reply.body)
    assert set(reply.json) in [{"error", "code", "request_id"}, {"predictions"}, {"outputs"}]
    assert not any(leak in reply.body for leak in (b"Traceback", b"onnxruntime", b"/usr/", b".py"))
    assert door.inference.in_flight == 0


@FEW
@given(st.sampled_from(VERSIONS), ROWS, st.booleans())
async def test_rows_columns_and_v2_get_the_same_numbers(
    door: RealDoor, version: int, rows: list[list[float]], named: bool
) -> None:
    await check_forms(door, version, rows, named)


@FEW
@given(mutants())
async def test_a_mutated_prediction_is_answered_or_is_the_callers_fault(door: RealDoor, sent: bytes) -> None:
    await check_mutant(door, sent)


@pytest.mark.long
@pytest.mark.timeout(1800)
@MANY
@given(st.sampled_from(VERSIONS), ROWS, st.booleans())
async def test_rows_columns_and_v2_get_the_same_numbers_very_many_times(
    door: RealDoor, version: int, rows: list[list[float]], named: bool
) -> None:
    await check_forms(door, version, rows, named)


@pytest.mark.long
@pytest.mark.timeout(1800)
@MANY
@given(mutants())
async def test_very_many_mutated_predictions_are_answered_or_are_the_callers_fault(door: RealDoor, sent: bytes) -> None:
    await check_mutant(door, sent)
