"""The page of the APIs as a browser without JavaScript gets it, and the document that its script reads."""

from __future__ import annotations

import html
import re

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.admin_table import ENDPOINTS
from gateway.control.docs import tag_of
from gateway.rest.openapi import OPERATIONS, describe_port
from tests.control.fakes import House, no_metrics

INFERENCE = {**describe_port(), "servers": [{"url": "http://127.0.0.1:8080"}]}


@pytest.fixture
def client(house: House) -> TestClient:
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, inference_api=lambda: INFERENCE)
    return TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5))


def test_every_operation_of_both_ports_is_listed_without_a_script(client: TestClient) -> None:
    answer = client.get("/docs")

    assert answer.headers["content-type"].startswith("text/html")
    assert "unsafe" not in answer.headers["content-security-policy"]
    listed = [html.unescape(each) for each in re.findall(r"<summary><code>(.*?)</code>", answer.text)]
    both = [*((e.method, e.path) for e in ENDPOINTS), *((each.method, each.path) for each in OPERATIONS)]
    assert sorted(listed) == sorted(f"{method} {path}" for method, path in both)


def test_the_console_and_the_page_of_the_apis_link_to_each_other(client: TestClient) -> None:
    console = client.get("/", headers={"accept": "text/html"}).text

    header = console.partition("<header>")[2].partition("</header>")[0]
    assert '<a href="/docs">' in header
    assert '<a href="/">' in client.get("/docs").text


def test_each_operation_can_be_linked_to(client: TestClient) -> None:
    names = re.findall(r'\bid="([^"]+)"', client.get("/docs").text)

    assert len(names) == len(set(names))


def test_an_operation_names_the_role_that_it_needs(client: TestClient) -> None:
    text = client.get("/docs").text

    assert re.search(r'PUT /api/v1/models/{model}/route</code> <span class="role">operator</span>', text)


def test_the_inference_port_s_document_is_served_here_too(client: TestClient) -> None:
    assert client.get("/docs/inference.json").json() == INFERENCE
    assert 'data-base="http://127.0.0.1:8080"' in client.get("/docs").text


def test_what_a_document_says_is_text_on_the_page(house: House) -> None:
    operation = {"operationId": '"><b>', "summary": "<script>alert(1)</script>", "x-role": "<i>"}
    api = {"paths": {"/<u>": {"get": operation}}}
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, inference_api=lambda: api)

    text = TestClient(app).get("/docs").text

    assert not re.search(r"<script>|<b>|<i>|<u>", text)


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("/api/v1/models/{model}", "models"),
        ("/api/v1/models/{model}/route/weights", "route"),
        ("/api/v1/models/{model}/rollouts/current/pause", "rollouts"),
        ("/v2/models/{model}/infer", "models"),
        ("/v1/models/{model}:predict", "models"),
        ("/v2/health/live", "health"),
        ("/v2", "server"),
        ("/", "server"),
    ],
)
def test_an_operation_stands_with_those_about_the_same_thing(path: str, tag: str) -> None:
    assert tag_of(path) == tag


def test_the_inference_port_is_described_when_somebody_asks_and_not_before(house: House) -> None:
    made: list[int] = []

    def described() -> dict[str, object]:
        made.append(1)
        return INFERENCE

    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, inference_api=described)
    client = TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5))
    assert not made

    assert client.get("/docs/inference.json").json() == INFERENCE
    assert made == [1]
