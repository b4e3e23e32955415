"""The admin API, request by request."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.core.errors import InvalidModel
from tests.control.fakes import FAILED, READY, FakeDoor, House

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROUTE = "/api/v1/models/fraud/route"
WEIGHTS = ROUTE + "/weights"
ANY = {"if-match": "*"}


def scrape(accept: str) -> tuple[bytes, str]:
    return b"gateway_store_up 1\n", "text/plain; version=0.0.4"


def metadata(model: str, version: int) -> Mapping[str, Any] | None:
    if version == 3:
        raise InvalidModel("bad_metadata", "metrics: is no mapping")
    written = {"metrics": {"accuracy": 0.97}, "extra": {"on": date(2026, 1, 2), "loss": float("nan"), "tags": {"a"}}}
    return written if version == 1 else None


def client_of(house: House, **headers: str) -> TestClient:
    about = {"name": "canary-gateway", "version": "0.1.0"}
    app = create_admin(house.operations, house.workers, house.door, scrape, about, describe=metadata)
    return TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5), headers=headers)


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    with client_of(house) as client:
        yield client


@pytest.fixture
def routed(client: TestClient) -> TestClient:
    """The model has a route: revision 1."""
    assert client.put(ROUTE, json={"split": {"1": 95, "2": 5}}, headers=ANY).status_code == 200
    return client


def test_the_models_show_their_routes_and_versions(routed: TestClient, house: House) -> None:
    house.workers.say("fraud", 3, FAILED, "sha256 differs", worker=1)

    answer = routed.get("/api/v1/models").json()

    (model,) = answer["models"]
    assert answer["store"] == "up"
    assert (model["name"], model["ready"], model["revision"], model["route"]["split"]) == (
        "fraud", True, 1, {"1": 95, "2": 5},
    )  # fmt: skip
    assert [(v["version"], v["state"], v["weight"]) for v in model["versions"]] == [
        ("1", "READY", 95),
        ("2", "READY", 5),
        ("3", "FAILED", 0),
    ]
    assert model["versions"][2]["reason"] == "sha256 differs"
    assert model["versions"][2]["workers"] == {"ready": 1, "total": 2}


def test_the_models_are_shown_while_the_store_is_away(routed: TestClient, house: House) -> None:
    house.snapshot.keep("fraud", {"1": 90, "2": 10}, revision=41)
    house.workers.revisions["fraud"] = 42
    house.store.stop()

    answer = routed.get("/api/v1/models")

    (model,) = answer.json()["models"]
    assert (answer.status_code, answer.json()["store"]) == (200, "unavailable")
    assert (model["revision"], model["route"]["split"], model["versions"][0]["state"]) == (
        42, {"1": 90, "2": 10}, "READY",
    )  # fmt: skip


def test_a_model_without_a_route_has_neither_route_nor_revision(client: TestClient) -> None:
    answer = client.get("/api/v1/models/fraud").json()

    assert (answer["route"], answer["revision"]) == (None, None)


def test_a_version_in_the_repository_that_no_worker_has_seen_is_shown(client: TestClient, house: House) -> None:
    house.on_disk["fraud"].add(4)

    answer = client.get("/api/v1/models/fraud/versions").json()

    assert answer["versions"][3]["state"] == "UNAVAILABLE"
    assert "2 of 2 workers" in answer["versions"][3]["reason"]


def test_a_version_is_shown_with_its_signature_and_metadata(client: TestClient) -> None:
    answer = client.get("/api/v1/models/fraud/versions/1").json()

    assert answer["metadata"] == {
        "metrics": {"accuracy": 0.97},
        "extra": {"on": "2026-01-02", "loss": "nan", "tags": ["a"]},
    }
    assert answer["signature"]["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}]


def test_metadata_that_cannot_be_used_is_told(client: TestClient) -> None:
    answers = [client.get(f"/api/v1/models/fraud/versions/{version}").json() for version in (2, 3)]

    assert [answer["metadata"] for answer in answers] == [None, {"error": "metrics: is no mapping"}]


@pytest.mark.parametrize("path", ["ghost", "ghost/route", "fraud/versions/9", "fraud/versions/01", "fraud/versions/x"])
def test_what_is_not_there_is_404(client: TestClient, path: str) -> None:
    answer = client.get(f"/api/v1/models/{path}")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_the_route_is_the_bare_document_under_its_revision(routed: TestClient) -> None:
    answer = routed.get(ROUTE)

    assert answer.headers["etag"] == '"1"'
    assert answer.json()["split"] == {"1": 95, "2": 5}


def test_a_model_without_a_route_is_404_there(client: TestClient) -> None:
    assert client.get(ROUTE).json()["type"].endswith("unknown-route")


def test_a_write_answers_with_the_new_tag(routed: TestClient) -> None:
    answer = routed.patch(WEIGHTS, json={"weights": {"1": 9, "2": 1}, "reason": "more"}, headers={"if-match": '"1"'})

    assert (answer.status_code, answer.headers["etag"], answer.json()["split"]) == (200, '"2"', {"1": 9, "2": 1})


def test_the_history_is_a_list_newest_first(routed: TestClient) -> None:
    routed.patch(WEIGHTS, json={"weights": {"2": 1}, "reason": "all in"}, headers=ANY)

    newest, oldest = routed.get("/api/v1/models/fraud/history").json()

    assert (newest["revision"], newest["who"], newest["reason"], newest["action"]) == (2, "local", "all in", "route")
    assert (newest["before"]["split"], newest["after"]["split"]) == ({"1": 95, "2": 5}, {"2": 1})
    assert oldest["before"] is None


def test_the_audit_takes_the_name_that_a_local_caller_gives(routed: TestClient) -> None:
    routed.patch(WEIGHTS, json={"weights": {"2": 1}}, headers={**ANY, "x-gateway-actor": "ann"})
    routed.patch(WEIGHTS, json={"weights": {"1": 1}}, headers={**ANY, "x-gateway-actor": "x" * 65})

    names = [entry["who"] for entry in routed.get("/api/v1/models/fraud/history?limit=2").json()]

    assert names == ["local", "local:ann"]


def test_a_put_takes_its_reason_from_the_query(client: TestClient) -> None:
    client.put(ROUTE, params={"reason": "erste Woche für alle"}, json={"split": {"1": 1}}, headers=ANY)

    assert client.get("/api/v1/models/fraud/history").json()[0]["reason"] == "erste Woche für alle"


def test_an_earlier_revision_is_restored(routed: TestClient) -> None:
    routed.patch(WEIGHTS, json={"weights": {"2": 1}}, headers=ANY)

    answer = routed.post(ROUTE + "/restore", json={"revision": 1}, headers=ANY)

    assert (answer.status_code, answer.headers["etag"], answer.json()["split"]) == (200, '"3"', {"1": 95, "2": 5})


def test_a_wiped_store_gets_back_what_was_served_last(client: TestClient, house: House) -> None:
    house.snapshot.keep("fraud", {"1": 90, "2": 10})

    answer = client.post(ROUTE + "/restore")

    assert (answer.status_code, answer.json()["split"]) == (200, {"1": 90, "2": 10})


def test_a_restore_with_nothing_before_is_409(routed: TestClient) -> None:
    assert routed.post(ROUTE + "/restore").status_code == 409
    assert routed.post(ROUTE + "/restore", json={"revision": 99}, headers=ANY).status_code == 409


def test_an_explanation_takes_a_key_and_a_pretended_request(client: TestClient) -> None:
    rules = [{"when": {"header:x-tenant": "acme"}, "split": {"3": 1}}]
    document = {"split": {"1": 1}, "assign": {"by": "header:x-user-id"}, "rules": rules}
    client.put(ROUTE, json=document, headers=ANY)

    plain = client.get("/api/v1/models/fraud/explain?key=ann").json()
    acme = client.get("/api/v1/models/fraud/explain?key=ann&header:X-Tenant=acme").json()

    assert (plain["version"], acme["version"], acme["rule"]) == ("1", "3", "rule-1")


def test_loading_is_accepted_and_unloading_what_is_needed_is_409(routed: TestClient) -> None:
    load = routed.post("/api/v1/models/fraud/versions/3/load")
    unload = routed.post("/api/v1/models/fraud/versions/2/unload", json={"reason": "old"})

    assert (load.status_code, unload.status_code) == (202, 409)
    assert "weight 5" in unload.json()["detail"]


def test_the_metrics_and_the_probes_need_no_token() -> None:
    with client_of(House(FakeDoor())) as client:
        answers = [client.get(path) for path in ("/metrics", "/healthz", "/readyz")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].headers["content-type"] == "text/plain; version=0.0.4"


def test_readiness_names_what_is_missing(client: TestClient, house: House) -> None:
    house.workers.not_ready = {"fraud/2": "loading"}

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["reasons"]["worker 1"] == {"fraud/2": "loading"}


def test_no_worker_is_not_ready(client: TestClient, house: House) -> None:
    house.workers.states.clear()

    assert client.get("/readyz").status_code == 503


def test_a_method_that_is_not_there_names_those_that_are(client: TestClient) -> None:
    answer = client.delete(ROUTE)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PUT")


def test_a_trailing_slash_is_another_path(client: TestClient) -> None:
    assert client.get("/api/v1/models/", follow_redirects=False).status_code == 404


def test_every_answer_forbids_frames_inline_code_and_caches(client: TestClient) -> None:
    for path in ("/", "/api/v1/models", "/nowhere", "/metrics"):
        headers = client.get(path).headers

        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'self'" in headers["content-security-policy"]
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_a_failure_of_ours_tells_the_caller_nothing(house: House) -> None:
    def broken(accept: str) -> tuple[bytes, str]:
        raise RuntimeError("/etc/secret")

    app = create_admin(house.operations, house.workers, house.door, broken, {})
    client = TestClient(app, base_url="http://localhost", client=("::1", 5), raise_server_exceptions=False)

    answer = client.get("/metrics")

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text


def test_a_model_is_ready_when_each_worker_can_answer_its_route(routed: TestClient, house: House) -> None:
    house.workers.say("fraud", 1, FAILED, worker=0)
    house.workers.say("fraud", 2, FAILED, worker=0)

    by_workers = routed.get("/api/v1/models/fraud").json()["ready"]
    house.workers.say("fraud", 2, READY, worker=0)

    assert (by_workers, routed.get("/api/v1/models/fraud").json()["ready"]) == (False, True)


def test_a_query_of_versions_that_is_not_about_tags_is_refused(client: TestClient) -> None:
    answer = client.get("/api/v1/models/fraud/versions?label=x")

    assert answer.status_code == 422
    assert "write tag=KEY" in answer.text
