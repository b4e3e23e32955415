"""A scrape behind a token: who gets one, what the port says of it, and what stays open."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.auth import WRONG_TOKENS, Role
from gateway.control.token_file import TokenFile
from tests.control.fakes import FakeDoor, House, no_metrics

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.control.auth import Door


def client_of(door: Door, *, metrics_auth: bool = True) -> TestClient:
    house = House(door)
    app = create_admin(house.operations, house.workers, door, no_metrics, {}, metrics_auth=metrics_auth)
    return TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5))


def shown(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def door(tmp_path: Path) -> TokenFile:
    entries = [
        f"{{name: {role.name}, role: {role.name.lower()}, sha256: {hashlib.sha256(role.name.encode()).hexdigest()}}}"
        for role in Role
    ]
    path = tmp_path / "tokens.yaml"
    path.write_text(f"tokens: [{', '.join(entries)}]", encoding="utf-8")
    return TokenFile(path)


def test_a_scrape_without_a_known_token_is_refused_and_one_of_any_role_is_answered(door: TokenFile) -> None:
    client = client_of(door)

    nobody, stranger = client.get("/metrics"), client.get("/metrics", headers=shown("guess"))

    assert (nobody.status_code, stranger.status_code) == (401, 401)
    assert nobody.headers["content-type"] == "application/problem+json"
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert [client.get("/metrics", headers=shown(role.name)).status_code for role in Role] == [200, 200, 200]
    assert client.head("/metrics").status_code == 401


def test_whoever_guesses_tokens_by_scrapes_is_shut_out_as_anywhere_else(door: TokenFile) -> None:
    client = client_of(door)
    guesses = [client.get("/metrics", headers=shown(f"guess-{n}")).status_code for n in range(WRONG_TOKENS)]

    after = [client.get(path, headers=shown("VIEWER")).status_code for path in ("/metrics", "/api/v1/models")]

    assert guesses == [401] * WRONG_TOKENS
    assert after == [429, 429]


def test_the_probes_stay_open_behind_closed_metrics(door: TokenFile) -> None:
    client = client_of(door)

    assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


@pytest.mark.parametrize(("metrics_auth", "role"), [(True, "viewer"), (False, None)])
def test_the_port_says_who_may_scrape(metrics_auth: bool, role: str | None) -> None:
    client = client_of(FakeDoor(), metrics_auth=metrics_auth)

    listed = {each["path"]: each["role"] for each in client.get("/").json()["endpoints"]}
    described = client.get("/openapi.json").json()["paths"]["/metrics"]["get"]
    line = next(each for each in client.get("/docs").text.splitlines() if "GET /metrics<" in each)

    assert (listed["/metrics"], listed["/healthz"]) == (role, None)
    assert (described.get("x-role"), described["security"]) == (role, [{"token": []}] if role else [])
    assert ('class="role">viewer<' in line) == metrics_auth


def test_a_token_that_an_open_scrape_shows_is_not_looked_at(door: TokenFile) -> None:
    client = client_of(door, metrics_auth=False)

    scrapes = [client.get("/metrics", headers=shown(f"guess-{n}")).status_code for n in range(WRONG_TOKENS + 1)]

    assert scrapes == [200] * (WRONG_TOKENS + 1)
