"""Hostile paths and headers on the wire, through both doors: one row per case, and after each the worker serves on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from tests.rest.door import send_all_to
from tests.rest.test_both_doors import BODY, INFER, Listening, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOK_ALIKE: Final = "fr%D0%B0ud"
"""With a Cyrillic a."""

PATHS: Final[dict[str, tuple[set[int], str]]] = {
    "B39 dots": ({404}, "/v2/models/../infer"),
    "B39 encoded dots": ({404}, "/v2/models/%2e%2e/infer"),
    "B40 slashes": ({404}, "/v2/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd/infer"),
    "B40 backslashes": ({404}, "/v2/models/..%5c..%5cetc/infer"),
    "B40 encoded twice": ({404}, "/v2/models/%252e%252e%252fetc/infer"),
    "B41 NUL": ({404}, "/v2/models/a%00b/infer"),
    "B41 line break": ({404}, "/v2/models/a%0d%0aX-Evil:1/infer"),
    "B41 escape": ({404}, "/v2/models/%1b[31m/infer"),
    "B42 no UTF-8": ({404}, "/v2/models/a%ffb/infer"),
    "B43 63 characters": ({404}, f"/v2/models/{'a' * 63}/infer"),
    "B43 64 characters": ({404}, f"/v2/models/{'a' * 64}/infer"),
    "B44 no name": ({404}, "/v2/models//infer"),
    "B44 blank": ({404}, "/v2/models/%20/infer"),
    "B44 tab": ({404}, "/v2/models/%09/infer"),
    "B44 dot": ({404}, "/v2/models/./infer"),
    "B45 semicolon": ({404}, "/v2/models/fraud;x=1/infer"),
    "B45 question mark": ({404, 405}, "/v2/models/fraud?x/infer"),
    "B45 hash": ({400, 404, 405}, "/v2/models/fraud#f/infer"),
    "B45 slash behind": ({404}, f"{INFER}/"),
    "B45 two slashes": ({404}, "/v2/models//fraud/infer"),
    "B46 upper case": ({404}, "/v2/models/FRAUD/infer"),
    "B46 look-alike": ({404}, f"/v2/models/{LOOK_ALIKE}/infer"),
    "B46 decomposed": ({404}, "/v2/models/fraud%CC%88/infer"),
    **{
        f"B47 {version}": ({404}, f"/v2/models/fraud/versions/{version}/infer")
        for version in ("0", "-1", "01", "1.0", "1e3", "latest", "9223372036854775808")
    },
}

HEADERS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "B51 two types": (400, ("Content-Type: application/json", "Content-Type: application/octet-stream")),
    "B51 two types, the foreign one first": (400, ("Content-Type: text/plain", "Content-Type: application/json")),
    "B51 4 KiB": (400, (f"Content-Type: application/json; a={'b' * 4096}",)),
    "the same type twice": (400, ("Content-Type: application/json",) * 2),
    "B54 Accept": (200, ("Accept: image/png",)),
    "B56 a version": (200, ("x-gateway-version: 2",)),
    "B56 a fallback": (200, ("x-gateway-fallback-from: 2",)),
    "B60 no trace": (200, ("traceparent: zz",)),
    "B60 a short trace": (200, ("traceparent: 00-0-0-0",)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["plain", "short cut"])
async def door(request: pytest.FixtureRequest) -> AsyncIterator[Listening]:
    door = Listening(request.param)
    send_all_to(door, 1)
    yield door
    await door.close()


@pytest.mark.parametrize("case", PATHS)
async def test_a_bad_path_is_not_found_never_redirected_and_never_repeated_in_a_header(
    door: Listening, case: str
) -> None:
    statuses, path = PATHS[case]
    await door.send(post("/v2/models/ghost/infer"))
    before = set(door.floor.metrics.cells)

    [reply] = await door.send(post(path))
    [next_one] = await door.send(post())

    assert reply.status in statuses, reply.body
    assert "location" not in reply.headers
    assert not any("evil" in value.lower() for value in reply.headers.values())
    assert next_one.status == 200
    assert set(door.floor.metrics.cells) == before


@pytest.mark.parametrize("case", HEADERS)
async def test_a_header_is_refused_or_changes_nothing(door: Listening, case: str) -> None:
    status, lines = HEADERS[case]

    [reply] = await door.send(post(INFER, BODY, *lines))
    [next_one] = await door.send(post())

    assert reply.status == status, reply.body
    assert next_one.status == 200
    if status == 200:
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-gateway-version"] == "1"
        assert "x-gateway-fallback-from" not in reply.headers
