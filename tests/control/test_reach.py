"""A token for some models finds the others nowhere: every endpoint that names a model, and every list."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.admin_table import ENDPOINTS
from gateway.control.auth import Role
from gateway.control.events import Events
from gateway.control.inference_orders import InferenceOrders
from gateway.control.lineage_answers import lineage_view
from gateway.control.token_file import TokenFile
from gateway.core.errors import Forbidden
from gateway.core.lineage import Lineage, Parent, VersionName
from gateway.ports.workers import Caller
from gateway.recordings.files import RecordingFiles
from tests.control.fakes import READY, House, no_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.control.endpoint import Endpoint

LISTS = {
    "/api/v1/models", "/api/v1/recordings", "/api/v1/notifications", "/api/v1/events",
}  # fmt: skip
"""Endpoints for somebody known that name no model and tell of all of them; what they tell is tried below."""
OF_NO_MODEL = {"/api/v1/fleet", "/api/v1/me", "/api/v1/notifications/retry"}
"""Those that tell of the gateway; the last names a model in its body, which is tried below."""

PATHS = [
    pytest.param(e, id=f"{e.method} {e.path}") for e in ENDPOINTS if "{model}" in e.path and "{token}" not in e.path
]
"""A path that holds a token asks for no other: the token was made for one model, rollout and move."""
KNOWN = [pytest.param(e, id=f"{e.method} {e.path}") for e in ENDPOINTS if e.role is not None]


@pytest.fixture
def house() -> House:
    house = House()
    house.on_disk["churn"] = {1}
    house.workers.say("churn", 1, READY)
    return house


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.yaml"
    lines = [
        f"- {{name: {name}, sha256: {hashlib.sha256(name.encode()).hexdigest()}, role: {role.name.lower()}{more}}}"
        for role in Role
        for name, more in (
            (f"all-{role.name}", ""),
            (f"churn-{role.name}", ', models: ["churn*"]'),
            (f"old-{role.name}", ", expires: 2020-01-01"),
        )
    ]
    path.write_text("\n".join(["tokens:", *lines]), encoding="utf-8")
    return path


@pytest.fixture
def client(house: House, tokens: Path, tmp_path: Path) -> Iterator[TestClient]:
    house.recordings = RecordingFiles(tmp_path / "recordings")
    for model in ("fraud", "churn"):
        house.recordings.append(model, [b"{}\n"], keep_seconds=3600, max_bytes=1 << 20)
    app = create_admin(house.operations, house.workers, TokenFile(tokens), no_metrics, {}, recordings=house.recordings)
    with TestClient(app, base_url="http://127.0.0.1:9090", client=("10.0.0.9", 5)) as client:
        yield client


def status(client: TestClient, endpoint: Endpoint, token: str | None, model: str = "fraud") -> int:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    path = endpoint.path.format(model=model, version="1")
    method = "HEAD" if endpoint.media_type == "text/event-stream" else endpoint.method
    return client.request(method, path, headers=headers).status_code


def test_every_endpoint_names_a_model_or_is_listed_here() -> None:
    others = {e.path for e in ENDPOINTS if e.role is not None and "{model}" not in e.path}

    assert others == LISTS | OF_NO_MODEL


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("endpoint", PATHS)
def test_no_role_reaches_a_foreign_model(client: TestClient, endpoint: Endpoint, role: Role) -> None:
    needed = endpoint.role
    assert needed is not None

    assert status(client, endpoint, f"churn-{role.name}") == 403
    assert status(client, endpoint, f"churn-{role.name}", "never-heard-of") == 403
    assert (status(client, endpoint, f"all-{role.name}") == 403) == (role < needed)
    assert (status(client, endpoint, f"churn-{role.name}", "churn") == 403) == (role < needed)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("endpoint", KNOWN)
def test_an_expired_a_wrong_and_no_token_open_nothing(client: TestClient, endpoint: Endpoint, role: Role) -> None:
    assert status(client, endpoint, f"old-{role.name}") == 401
    assert status(client, endpoint, f"guess-{role.name}") == 401
    assert status(client, endpoint, None) == 401


def ask(client: TestClient, path: str) -> Any:
    return client.get(path, headers={"authorization": "Bearer churn-VIEWER"}).json()


def test_the_list_of_models_holds_those_within_reach(client: TestClient) -> None:
    assert [each["name"] for each in ask(client, "/api/v1/models")["models"]] == ["churn"]


def test_the_list_of_recordings_holds_those_within_reach(client: TestClient) -> None:
    assert [each["model"] for each in ask(client, "/api/v1/recordings")["recordings"]] == ["churn"]


def test_everybody_is_told_which_models_are_within_reach(client: TestClient) -> None:
    assert ask(client, "/api/v1/me") == {"name": "churn-VIEWER", "role": "viewer", "models": ["churn*"]}


def test_a_foreign_models_notifications_are_not_tried_again(client: TestClient) -> None:
    answer = client.post(
        "/api/v1/notifications/retry", json={"model": "fraud"}, headers={"authorization": "Bearer churn-OPERATOR"}
    )

    assert answer.status_code == 403


async def test_a_stream_tells_of_models_within_reach_and_of_the_fleet() -> None:
    async def look() -> dict[str, dict[str, Any]]:
        return {"model fraud": {"a": 1}, "model churn": {"a": 2}, "fleet": {}}

    events = Events(look)
    watcher = events.watch(lambda model: model == "churn")
    told: dict[str, bytes] = {}
    until = time.monotonic() + 5
    while "fleet" not in told and time.monotonic() < until:
        told |= await watcher.wait(1)
        await asyncio.sleep(0)
    events.leave(watcher)

    assert sorted(told) == ["fleet", "model churn"]


def test_a_lineage_leaves_out_versions_of_models_out_of_reach() -> None:
    fraud, churn = VersionName("fraud", 1), VersionName("churn", 1)
    lineage = Lineage({churn: (Parent(fraud, "learned-from"),), fraud: ()})

    text = json.dumps(lineage_view([churn], lineage, lambda model: model == "churn"))

    assert "churn/1" in text
    assert re.search("fraud", text) is None


def test_an_order_over_an_inference_port_keeps_within_reach(house: House, tokens: Path) -> None:
    async def rescan() -> None:
        return None

    orders = InferenceOrders(house.operations, house.workers, TokenFile(tokens), rescan)
    caller = Caller("10.0.0.9", {"authorization": "Bearer churn-OPERATOR", "host": "x"})

    assert orders.admit(caller, "churn") == "churn-OPERATOR"
    with pytest.raises(Forbidden):
        orders.admit(caller, "fraud")
