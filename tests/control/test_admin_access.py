"""Who may do what: every endpoint × every role, made from the table of endpoints, so that none is forgotten."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.admin_table import ENDPOINTS
from gateway.control.auth import Role
from tests.control.fakes import FakeDoor, House, no_metrics

if TYPE_CHECKING:
    from gateway.control.endpoint import Endpoint

OPEN = {
    "/metrics", "/healthz", "/readyz", "/openapi.json", "/docs", "/docs/inference.json", "/console/{file}", "/",
    "/links/{model}/{token}",
}  # fmt: skip
BY_LINK = {("POST", "/links/{model}/{token}")}
"""What a token of its own allows, once, and it says of what."""
OPERATORS = {
    ("PUT", "/api/v1/models/{model}/route"),
    ("PATCH", "/api/v1/models/{model}/route/weights"),
    ("POST", "/api/v1/models/{model}/route/check"),
    ("POST", "/api/v1/models/{model}/route/restore"),
    ("POST", "/api/v1/models/{model}/versions/{version}/load"),
    ("POST", "/api/v1/models/{model}/versions/{version}/unload"),
    ("POST", "/api/v1/models/{model}/rollouts"),
    ("POST", "/api/v1/models/{model}/rollouts/current/pause"),
    ("POST", "/api/v1/models/{model}/rollouts/current/resume"),
    ("POST", "/api/v1/models/{model}/rollouts/current/promote"),
    ("POST", "/api/v1/models/{model}/rollouts/current/abort"),
    ("POST", "/api/v1/models/{model}/rollouts/current/retry"),
    ("DELETE", "/api/v1/models/{model}/recordings"),
    ("POST", "/api/v1/notifications/retry"),
}
"""What only operators may write, written a second time: a change of the table must be meant."""
READS = {("GET", "/api/v1/models/{model}/recordings")}
"""What only operators may read: it holds what callers sent."""

CASES = [pytest.param(e, id=f"{e.method} {e.path}") for e in ENDPOINTS]


def app_of(house: House) -> Any:
    return create_admin(house.operations, house.workers, house.door, no_metrics, {})


def status_of(endpoint: Endpoint, token: str | None) -> int:
    client = TestClient(app_of(House(FakeDoor())), base_url="http://127.0.0.1:9090")
    path = endpoint.path.format(model="fraud", version="1", file="app.js", token="guess")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    # A stream has no end, and HEAD is let in or not as GET is.
    method = "HEAD" if endpoint.media_type == "text/event-stream" else endpoint.method
    return client.request(method, path, headers=headers).status_code


def needed(endpoint: Endpoint) -> Role | None:
    if endpoint.path in OPEN:
        return None
    return Role.OPERATOR if (endpoint.method, endpoint.path) in OPERATORS | READS else Role.VIEWER


def needs_a_token_to_write(endpoint: Any) -> bool:
    return endpoint.method != "GET" and needed(endpoint) is not None


@pytest.mark.parametrize("endpoint", CASES)
@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_what_the_table_says(endpoint: Endpoint, role: Role) -> None:
    least = needed(endpoint)

    status = status_of(endpoint, role.name.lower())

    assert status != 401
    assert (status == 403) == (least is not None and role < least)


@pytest.mark.parametrize("endpoint", CASES)
@pytest.mark.parametrize("token", [None, "guess", ""])
def test_without_a_token_only_what_is_open_answers(endpoint: Endpoint, token: str | None) -> None:
    assert (status_of(endpoint, token) == 401) == (needed(endpoint) is not None)


def test_every_write_is_for_operators() -> None:
    writes = {(e.method, e.path) for e in ENDPOINTS if e.method != "GET"}

    assert writes == OPERATORS | BY_LINK


def test_the_routes_of_the_application_are_those_of_the_table(house: House) -> None:
    routes = [route for route in app_of(house).routes if isinstance(route, Route)]

    assert sorted(route.path for route in routes) == sorted({e.path for e in ENDPOINTS})
    assert len(routes) == len(app_of(house).routes)


@pytest.mark.parametrize("host", ["a/../admin?", "elsewhere", "127.0.0.1/healthz", "localhost/metrics"])
def test_the_host_header_opens_no_door(host: str) -> None:
    client = TestClient(app_of(House(FakeDoor())), base_url="http://127.0.0.1:9090")

    assert client.get("/api/v1/models", headers={"host": host}).status_code == 401


def test_a_name_that_points_at_this_machine_is_not_this_machine(house: House) -> None:
    client = TestClient(app_of(house), base_url="http://rebound.example:9090", client=("127.0.0.1", 5))

    assert client.get("/api/v1/models").status_code == 403


@pytest.mark.parametrize("endpoint", [case for case in CASES if needs_a_token_to_write(case.values[0])])
async def test_nothing_of_a_body_is_read_before_somebody_is_let_in(endpoint: Endpoint) -> None:
    read = []

    async def receive() -> dict[str, Any]:
        read.append(1)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    path = endpoint.path.format(model="fraud", version="1")
    headers = [(b"host", b"127.0.0.1"), (b"content-length", b"52428800"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "method": endpoint.method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "client": ("10.0.0.9", 5), "server": ("127.0.0.1", 9090), "scheme": "http",
        "root_path": "", "http_version": "1.1",
    }  # fmt: skip
    await app_of(House(FakeDoor()))(scope, receive, send)

    assert (sent[0]["status"], read) == (401, [])
    assert (b"connection", b"close") in sent[0]["headers"]


def test_the_openapi_document_lists_the_table_and_nothing_else(house: House) -> None:
    document = TestClient(app_of(house)).get("/openapi.json").json()

    listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert document["openapi"].startswith("3.1")
    assert listed == {(e.method, e.path) for e in ENDPOINTS}


def test_the_openapi_document_refers_to_what_it_holds(house: House) -> None:
    text = TestClient(app_of(house)).get("/openapi.json").text
    document = TestClient(app_of(house)).get("/openapi.json").json()

    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names == set(document["components"]["schemas"])


def test_the_openapi_document_names_every_parameter_of_a_path(house: House) -> None:
    document = TestClient(app_of(house)).get("/openapi.json").json()

    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


def test_the_first_page_names_the_endpoints(house: House) -> None:
    listed = TestClient(app_of(house)).get("/").json()["endpoints"]

    assert len(listed) == len(ENDPOINTS)
