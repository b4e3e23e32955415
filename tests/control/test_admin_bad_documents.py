"""Route documents that the admin API refuses. Each parameter is a row of the table of bad inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.control.test_admin_bad_inputs import JSON, ROUTE, assert_problem

if TYPE_CHECKING:
    import httpx2
    from starlette.testclient import TestClient


def put(admin: TestClient, **members: Any) -> httpx2.Response:
    return admin.put(ROUTE, json={"split": {"1": 1}, **members}, headers=JSON)


@pytest.mark.parametrize("salt", ["", "x" * (1 << 19)], ids=["empty", "half a MB"])
def test_a_bad_salt_is_refused(admin: TestClient, salt: str) -> None:
    assert_problem(put(admin, assign={"by": "random", "salt": salt}), 422)


@pytest.mark.parametrize("buckets", [0, 1 << 31])
def test_a_count_of_buckets_is_an_unknown_member(admin: TestClient, buckets: int) -> None:
    answer = put(admin, assign={"by": "random", "buckets": buckets})

    assert_problem(answer, 422)
    assert answer.json()["field"] == "assign.buckets"


@pytest.mark.parametrize("value", ["(a+)+$", "a|b", "^x", "a*b"])
def test_a_regular_expression_in_a_rule_is_refused(admin: TestClient, value: str) -> None:
    assert_problem(put(admin, rules=[{"when": {"header:x-tenant": value}, "split": {"1": 1}}]), 422)


@pytest.mark.parametrize("name", ["a b", "Connection", "Authorization", ""])
def test_a_bad_header_name_in_a_rule_is_refused(admin: TestClient, name: str) -> None:
    assert_problem(put(admin, rules=[{"when": {f"header:{name}": "x"}, "split": {"1": 1}}]), 422)


def test_rules_that_contradict_are_refused(admin: TestClient) -> None:
    acme = {"when": {"header:x-tenant": ["acme", "globex"]}, "split": {"1": 1}}
    never = {"when": {"header:x-tenant": "acme"}, "split": {"2": 1}}
    partly = {"when": {"header:x-tenant": ["acme", "umbrella"]}, "split": {"2": 1}}

    assert_problem(put(admin, rules=[acme, never]), 422)
    assert_problem(put(admin, baseline="9"), 422)
    assert_problem(put(admin, fallback="2"), 422)
    assert put(admin, rules=[acme, partly]).status_code == 200


def test_a_document_over_one_mebibyte_is_refused_by_its_size(admin: TestClient) -> None:
    body = b'{"split": {"1": 1}, "model": "' + b"x" * (1 << 20) + b'"}'

    declared = admin.put(ROUTE, content=body, headers=JSON)
    streamed = admin.put(ROUTE, content=iter([body[: 1 << 19], body[1 << 19 :]]), headers=JSON)

    assert_problem(declared, 413)
    assert_problem(streamed, 413)
    assert declared.headers["connection"] == "close"


@pytest.mark.parametrize("members", [{"sticky": True}, {"schema": 0}, {"schema": 2}, {"schema": "1"}, {"schema": True}])
def test_a_strange_document_is_refused(admin: TestClient, members: dict[str, object]) -> None:
    assert_problem(put(admin, **members), 422)


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "a\0b", "a\r\nb", "<script>", "x" * 64, "other"])
def test_a_bad_name_in_a_document_is_refused(admin: TestClient, name: str) -> None:
    assert_problem(put(admin, model=name), 422)


@pytest.mark.parametrize("name", ["..%2f..", "a%2Fb", "a%5Cb", "a%00b", "%3Cscript%3E", "x" * 64, "%0d%0ab"])
def test_a_bad_name_in_the_path_is_not_there(admin: TestClient, name: str) -> None:
    assert_problem(admin.get(f"/api/v1/models/{name}/route"), 404)
