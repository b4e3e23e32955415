"""What the admin API refuses, and by which status. Each parameter is a row of the table of bad inputs."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from tests.control.fakes import FAILED, LOADING, UNAVAILABLE, FakeDoor, House, no_metrics

if TYPE_CHECKING:
    import httpx2

ROUTE = "/api/v1/models/fraud/route"
WEIGHTS = ROUTE + "/weights"
JSON = {"content-type": "application/json", "if-match": "*"}


def patch(admin: TestClient, body: str | bytes, **headers: str) -> httpx2.Response:
    return admin.patch(WEIGHTS, content=body, headers={**JSON, **headers})


def weights_of(version: str, weight: str) -> str:
    """Return a body that gives *version* a weight that is written as *weight*."""
    return f'{{"weights": {{"1": 1, "{version}": {weight}}}}}'


def assert_problem(answer: httpx2.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= answer.json().keys()
    assert answer.json()["status"] == status


def assert_unchanged(admin: TestClient) -> None:
    assert admin.get(ROUTE).headers["etag"] == '"2"'


@pytest.mark.parametrize("weight", ["-1", "NaN", '"50"', "1e308", "true", "2.5", "null", "[1]", "1000000001"])
def test_a_bad_weight_is_refused(admin: TestClient, weight: str) -> None:
    answer = patch(admin, weights_of("2", weight))

    assert_problem(answer, 422)
    assert_unchanged(admin)


def test_a_bad_weight_is_named_by_its_field(admin: TestClient) -> None:
    assert patch(admin, '{"weights": {"1": 1, "2": -1}}').json()["field"] == "weights.2"


@pytest.mark.parametrize(
    "weights",
    [{"1": 0, "2": 0}, {str(version): 1 for version in range(1, 10_001)}, {}, [], "all", None],
    ids=["all zero", "10 000 versions", "empty", "a list", "text", "null"],
)
def test_a_bad_set_of_weights_is_refused(admin: TestClient, weights: object) -> None:
    assert_problem(patch(admin, json.dumps({"weights": weights})), 422)
    assert_unchanged(admin)


@pytest.mark.parametrize("split", [{"1": 4, "2": 3}, {"1": 200, "2": 50}])
def test_any_positive_sum_is_a_split(admin: TestClient, split: dict[str, int]) -> None:
    assert patch(admin, json.dumps({"weights": split})).json()["split"] == split


def test_weight_for_a_version_that_is_not_there_is_refused(admin: TestClient, house: House) -> None:
    house.workers.say("fraud", 3, FAILED, "sha256 differs", worker=0)

    for version in ("9", "3"):
        assert_problem(patch(admin, weights_of(version, "1")), 409)
    assert_unchanged(admin)


def test_weight_for_a_version_that_is_on_its_way_is_accepted(admin: TestClient, house: House) -> None:
    for weight, state in enumerate((LOADING, UNAVAILABLE), start=1):
        house.workers.say("fraud", 3, state)

        assert patch(admin, weights_of("3", str(weight))).status_code == 200


@pytest.mark.parametrize("body", ['{"weights": {"1": 5, "1": 7}}', '{"weights": {"1": 5, "01": 7}}'])
def test_a_version_written_twice_is_refused(admin: TestClient, body: str) -> None:
    assert_problem(patch(admin, body), 422)
    assert_unchanged(admin)


@pytest.mark.parametrize(
    "tag",
    [pytest.param("2", id="no quotes"), '"2', "garbage", '"1", "2"', "**", '*, "2"', '"a b"', "W/2"],
)
def test_what_is_no_entity_tag_is_refused(admin: TestClient, tag: str) -> None:
    assert_problem(patch(admin, '{"weights": {"1": 1}}', **{"if-match": tag}), 400)


@pytest.mark.parametrize("tag", ['"1"', '"abc"', 'W/"2"', '"02"', '"0"', '""'])
def test_a_tag_that_is_not_current_is_refused(admin: TestClient, tag: str) -> None:
    assert_problem(patch(admin, '{"weights": {"1": 1}}', **{"if-match": tag}), 412)
    assert_unchanged(admin)


@pytest.mark.parametrize("tag", ['"2"', "*"])
def test_the_current_tag_and_a_star_are_taken(admin: TestClient, tag: str) -> None:
    assert patch(admin, '{"weights": {"1": 1}}', **{"if-match": tag}).headers["etag"] == '"3"'


def test_every_write_of_a_route_needs_if_match(admin: TestClient) -> None:
    answers = [
        admin.patch(WEIGHTS, json={"weights": {"1": 1}}),
        admin.put(ROUTE, json={"split": {"1": 1}}),
        admin.post(ROUTE + "/restore", json={"revision": 1}),
    ]

    for answer in answers:
        assert_problem(answer, 428)
    assert_unchanged(admin)


@pytest.mark.parametrize("source", ["file:///etc/passwd", "http://169.254.169.254/", "s3://b/k", "\\\\host\\share"])
def test_an_order_takes_no_path_and_no_address(admin: TestClient, source: str) -> None:
    for member in ("source", "path", "url", "config"):
        assert_problem(admin.post("/api/v1/models/fraud/versions/3/load", json={member: source}), 422)


def test_a_write_while_the_store_is_away_is_503_and_changes_nothing(admin: TestClient, house: House) -> None:
    house.snapshot.keep("fraud", {"1": 1})
    house.store.stop()

    answers = [
        patch(admin, '{"weights": {"2": 1}}'),
        admin.put(ROUTE, json={"split": {"1": 1}}, headers=JSON),
        admin.post("/api/v1/models/fraud/versions/3/load"),
        admin.post(ROUTE + "/restore"),
        admin.get(ROUTE),
        admin.get("/api/v1/models/fraud/history"),
    ]

    for answer in answers:
        assert_problem(answer, 503)
        assert answer.headers["retry-after"] == "1"
    house.store.start()
    assert_unchanged(admin)


def test_of_two_operators_on_one_revision_one_is_told(admin: TestClient) -> None:
    bodies = ['{"weights": {"1": 1}}', '{"weights": {"2": 1}}']

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda body: patch(admin, body, **{"if-match": '"2"'}), bodies))

    assert sorted(answer.status_code for answer in answers) == [200, 412]


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_that_a_form_could_send_is_refused(admin: TestClient, media_type: str) -> None:
    assert_problem(patch(admin, '{"weights": {"1": 1}}', **{"content-type": media_type}), 415)
    assert_unchanged(admin)


def test_a_form_post_without_a_body_is_refused_too(admin: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}

    assert_problem(admin.post("/api/v1/models/fraud/versions/3/load", headers=form), 415)


def test_a_compressed_body_is_refused(admin: TestClient) -> None:
    assert_problem(patch(admin, b"\x1f\x8b", **{"content-encoding": "gzip"}), 415)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9091"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example:9090", "origin": "http://evil.example:9090"},
    ],
    ids=str,
)
def test_a_request_that_a_page_of_another_site_can_make_is_refused(admin: TestClient, headers: dict[str, str]) -> None:
    assert_problem(patch(admin, '{"weights": {"1": 1}}', **headers), 403)
    assert_unchanged(admin)


def test_the_gateway_s_own_page_may_write(admin: TestClient) -> None:
    own = {"origin": "http://127.0.0.1:9090", "sec-fetch-site": "same-origin"}

    assert patch(admin, '{"weights": {"1": 1}}', **own).status_code == 200


def test_a_preflight_gets_no_leave(admin: TestClient) -> None:
    headers = {"origin": "http://evil.example", "access-control-request-method": "PATCH"}

    answer = admin.options(WEIGHTS, headers=headers)

    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=0", "limit=1000000000", "limit=x", "limit=1&limit=2", "cursor=garbage"]
)
def test_a_bad_list_query_is_refused(admin: TestClient, query: str) -> None:
    assert_problem(admin.get(f"/api/v1/models/fraud/history?{query}"), 422)


@pytest.mark.parametrize("query", ["", "key=a&key=b", "key=a&regex=x", "key=a&body:x=1"])
def test_a_bad_explain_query_is_refused(admin: TestClient, query: str) -> None:
    assert_problem(admin.get(f"/api/v1/models/fraud/explain?{query}"), 422)


@pytest.mark.parametrize("body", [b"", b"{", b"{'weights': 1}", b"\xff\xfe", b"weights=1"])
def test_what_is_not_json_is_400(admin: TestClient, body: bytes) -> None:
    assert_problem(patch(admin, body), 400)


@pytest.mark.parametrize(
    "body", ["[]", "1", '"x"', "{}", '{"weights": {"1": 1}, "dry_run": true}', '{"weights": {"1": 1}, "reason": 7}']
)
def test_what_is_json_and_wrong_is_422(admin: TestClient, body: str) -> None:
    assert_problem(patch(admin, body), 422)


def test_deep_json_is_refused_and_breaks_nothing(admin: TestClient) -> None:
    assert_problem(patch(admin, "[" * 100_000 + "]" * 100_000), 422)


@pytest.mark.parametrize("reason", ["a\nb", "\x1b[31m", "x" * 501, "\u2028"])
def test_a_reason_that_could_forge_a_line_is_refused(admin: TestClient, reason: str) -> None:
    answer = patch(admin, json.dumps({"weights": {"1": 1}, "reason": reason}))

    assert_problem(answer, 422)
    assert answer.json()["field"] == "reason"


def test_half_a_surrogate_pair_is_refused(admin: TestClient) -> None:
    assert_problem(patch(admin, '{"weights": {"1": 1}, "reason": "\\ud800"}'), 422)


@pytest.mark.parametrize("revision", ["0", "-1", "1.5", "true", '"1"'])
def test_a_bad_revision_to_restore_is_refused(admin: TestClient, revision: str) -> None:
    answer = admin.post(ROUTE + "/restore", content=f'{{"revision": {revision}}}', headers=JSON)

    assert_problem(answer, 422)


@pytest.mark.parametrize("cookie", ["session=tampered", "token=operator", "authorization=Bearer operator"])
def test_a_cookie_opens_nothing(cookie: str) -> None:
    house = House(FakeDoor())
    client = TestClient(create_admin(house.operations, house.workers, house.door, no_metrics, {}))

    answer = client.patch(WEIGHTS, json={"weights": {"1": 1}}, headers={"cookie": cookie, "if-match": "*"})

    assert_problem(answer, 401)
    assert "set-cookie" not in answer.headers


def test_a_scrape_with_hundreds_of_filters_is_a_plain_scrape(admin: TestClient) -> None:
    plain = admin.get("/metrics")

    filtered = admin.get("/metrics?" + "&".join(["name[]=x"] * 800), headers={"accept-encoding": "gzip," * 1_600})

    assert (filtered.status_code, filtered.content) == (200, plain.content)
    assert "content-encoding" not in filtered.headers
