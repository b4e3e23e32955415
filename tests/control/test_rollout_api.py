"""The admin API of rollouts, request by request."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.core.evidence import Counter
from gateway.core.latency import EDGES, TIME_KINDS
from gateway.ports.evidence import Deltas
from tests.control.fakes import LOADING, UNAVAILABLE, no_metrics
from tests.control.rollout_house import PLAN, RolloutHouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    Response = Any
ROLLOUTS = "/api/v1/models/fraud/rollouts"
CURRENT = ROLLOUTS + "/current"
ANY = {"if-match": "*"}


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


@pytest.fixture
def client(house: RolloutHouse) -> Iterator[TestClient]:
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {})
    with TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5)) as client:
        answer = client.put("/api/v1/models/fraud/route", json={"split": {"1": 100}}, headers=ANY)
        assert answer.status_code == 200
        yield client


def start(client: TestClient, **changes: Any) -> Response:
    return client.post(ROLLOUTS, json={"candidate": "2", **PLAN, **changes}, headers=ANY)


def move(client: TestClient, verb: str, **body: Any) -> Response:
    return client.post(f"{CURRENT}/{verb}", json=body, headers=ANY)


def to_step(house: RolloutHouse, client: TestClient, **counts: int) -> None:
    """Walk a new rollout to its first step and count something there."""
    assert start(client).status_code == 201

    async def walk() -> None:
        await house.tick()
        await house.tick()
        await house.follow()
        await house.count(counts.pop("canary", 0), **counts)

    asyncio.run(walk())


def kind_of(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_a_start_answers_with_the_rollout_and_the_new_tag(client: TestClient) -> None:
    answer = start(client, reason="why not")

    assert (answer.status_code, answer.headers["etag"]) == (201, '"2"')
    assert (answer.json()["phase"], answer.json()["candidate"], answer.json()["revision"]) == ("pending", "2", 2)


def test_a_start_takes_a_number_for_a_version(client: TestClient) -> None:
    assert start(client, candidate=2).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"steps": [{"weight": 5, "for": "1m"}]}, "candidate"),
        ({"candidate": "x", **PLAN}, "candidate"),
        ({"candidate": "2"}, "steps"),
        ({"candidate": "2", "steps": []}, "steps"),
        ({"candidate": "2", "steps": [{"weight": 5, "for": "soon"}]}, "steps[0].for"),
        ({"candidate": "2", **PLAN, "supersede": "yes"}, "supersede"),
        ({"candidate": "2", **PLAN, "wieght": 1}, "wieght"),
        ({"candidate": "2", **PLAN, "dry_run": "yes"}, "dry_run"),
        ({"candidate": "2", **PLAN, "policy": "canary"}, "steps"),
        ({"candidate": "2", **PLAN, "alarms": [{"name": "up"}]}, "alarms[0].query"),
        ({"candidate": "2", **PLAN, "alarms": [{"name": "up", "query": "up == 0"}]}, "alarms"),
        ({"candidate": "1", **PLAN}, "candidate"),
    ],
)
def test_what_is_wrong_with_a_start_is_named(client: TestClient, body: dict[str, Any], field: str) -> None:
    answer = client.post(ROLLOUTS, json=body, headers=ANY)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_a_dry_run_answers_with_the_expanded_plan_and_writes_nothing(client: TestClient) -> None:
    body = {"candidate": "2", "policy": {"name": "canary", "size": 30}, "dry_run": True}

    answer = client.post(ROLLOUTS, json=body, headers=ANY)

    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert answer.json()["plan"]["steps"] == [{"weight": 30, "for": "10m"}]
    assert kind_of(client.get(CURRENT)) == (404, "no-rollout")


def test_a_write_needs_if_match_and_a_stale_one_is_refused(client: TestClient) -> None:
    body = {"candidate": "2", **PLAN}
    without = client.post(ROLLOUTS, json=body)
    stale = client.post(ROLLOUTS, json=body, headers={"if-match": '"7"'})
    exact = client.post(ROLLOUTS, json=body, headers={"if-match": '"1"'})

    assert [answer.status_code for answer in (without, stale, exact)] == [428, 412, 201]
    assert client.post(f"{CURRENT}/pause").status_code == 428


def test_refusals_are_problems_that_scripts_can_tell_apart(client: TestClient, house: RolloutHouse) -> None:
    assert kind_of(client.get(CURRENT)) == (404, "no-rollout")
    assert kind_of(start(client, candidate="9")) == (404, "unknown-version")
    assert start(client).status_code == 201
    assert kind_of(start(client, candidate="3")) == (409, "rollout-under-way")
    assert kind_of(move(client, "resume")) == (409, "move-refused")
    assert move(client, "resume").json()["phase"] == "pending"


def test_the_current_rollout_shows_what_it_knows(client: TestClient, house: RolloutHouse) -> None:
    to_step(house, client, canary=50, baseline=950)
    house.store.seconds += 4

    answer = client.get(CURRENT)

    seen = answer.json()
    assert answer.headers["etag"] == '"4"'
    assert (seen["phase"], seen["step"], seen["steps"], seen["split"]) == ("step", 1, 2, {"1": 95, "2": 5})
    assert (seen["counts"]["2"]["n"], seen["counts"]["2"]["failed"]) == (50, 0)
    assert seen["counts"]["1"]["n"] == 950
    assert (seen["verdict"]["kind"], seen["verdict"]["certificate"]["requests"]) == ("INCONCLUSIVE", 50)
    assert {"errors", "invalid", "latency", "total"} <= seen["verdict"]["e_values"].keys()
    assert (seen["seconds_in_phase"], seen["seconds_left"], seen["workers"]) == (4, 6, {"following": 2, "total": 2})
    assert seen["eta_seconds"] > 6
    assert "larger step" in seen["hint"]


def test_a_larger_step_is_named_with_the_time_that_it_would_take(client: TestClient, house: RolloutHouse) -> None:
    to_step(house, client, canary=50, baseline=950)
    house.store.seconds += 4
    seen = client.get(CURRENT).json()

    found = re.search(r"a larger step \(50%: enough evidence in about (\d+) s\)", seen["hint"])

    assert found is not None
    assert int(found[1]) == pytest.approx(seen["eta_seconds"] * 0.05 / 0.5, abs=1)


def test_the_limits_of_latency_and_the_slow_runs_are_shown(client: TestClient, house: RolloutHouse) -> None:
    to_step(house, client, canary=50, baseline=950)
    rollout = asyncio.run(house.rollout())
    times = {Counter(4, 1, TIME_KINDS[0][10]): 1_200, Counter(4, 1, TIME_KINDS[2][12]): 30}
    slow = {Counter(4, 2, "slow50"): 9, Counter(4, 2, "slow50", 3): 1, Counter(4, 1, "slow99"): 2}
    for seq, counts in enumerate((times, slow), start=1):
        deltas = Deltas({str(counter): count for counter, count in counts.items()})
        asyncio.run(house.store.flush("fraud", rollout.id, worker="v", seq=seq, deltas=deltas))
        asyncio.run(house.tick()) if counts is times else None

    seen = client.get(CURRENT).json()["latency"]

    assert [(each["rows"], each["baseline_runs"], each["runs_needed"]) for each in seen["limits"]] == [
        ("1", 1_200, 1_000), ("4–7", 30, 1_000),
    ]  # fmt: skip
    assert seen["limits"][0]["seconds"] == pytest.approx([EDGES[10]] * 3)
    assert seen["limits"][0]["most_seconds"] == pytest.approx(3 * EDGES[10])
    assert seen["limits"][1]["seconds"] is None
    assert seen["slow_runs"] == {"2": {"slow50": 10, "slow90": 0, "slow99": 0},
                                 "1": {"slow50": 0, "slow90": 0, "slow99": 2}}  # fmt: skip


def test_what_a_preflight_waits_for_is_shown(client: TestClient, house: RolloutHouse) -> None:
    house.workers.say("fraud", 2, LOADING, "waiting for its turn", worker=1)
    assert start(client).status_code == 201
    asyncio.run(house.tick())

    assert client.get(CURRENT).json()["waits_for"] == (
        "version 2 is LOADING on 1 of 2 workers: waiting for its turn"
    )  # fmt: skip


def test_the_old_version_is_shown_as_kept_until_its_time_is_over_or_it_was_unloaded(
    client: TestClient, house: RolloutHouse
) -> None:
    to_step(house, client)
    move(client, "promote", full=True)
    kept = client.get(CURRENT).json()["kept"]

    house.store.seconds += 24 * 3600
    over = client.get(CURRENT).json()["kept"]
    house.store.seconds -= 3600
    house.workers.say("fraud", 1, UNAVAILABLE, "unloaded by operator")
    unloaded = client.get(CURRENT).json()["kept"]

    assert kept == {"version": "1", "seconds_left": 24 * 3600}
    assert (over, unloaded) == (None, None)


def test_without_traffic_no_end_is_in_sight(client: TestClient, house: RolloutHouse) -> None:
    to_step(house, client)
    house.store.seconds += 4

    assert client.get(CURRENT).json()["eta_seconds"] is None


def test_a_rollout_is_moved(client: TestClient, house: RolloutHouse) -> None:
    to_step(house, client)

    phases = [move(client, *verb).json()["phase"] for verb in (["pause"], ["resume"], ["promote"], ["abort"])]

    assert phases == ["paused", "step", "bake", "aborted"]
    assert move(client, "retry", reason="again").json()["phase"] == "pending"
    assert client.get("/api/v1/models/fraud/history?limit=1").json()[0]["action"] == "rollout"


def test_a_promotion_may_be_forced_and_full(client: TestClient, house: RolloutHouse) -> None:
    to_step(house, client)

    assert move(client, "promote", full=True, force=True).json()["phase"] == "succeeded"


def test_only_a_promotion_may_be_forced(client: TestClient) -> None:
    start(client)

    assert move(client, "abort", force=True).status_code == 422


def test_the_models_show_their_rollouts(client: TestClient) -> None:
    before = client.get("/api/v1/models").json()["models"][0]["rollout"]
    start(client)

    after = client.get("/api/v1/models").json()["models"][0]["rollout"]

    assert (before, after["phase"], after["candidate"]) == (None, "pending", "2")


def test_a_quarantined_version_takes_weight_only_by_force(client: TestClient, house: RolloutHouse) -> None:
    to_step(house, client, canary=5, failed=5, baseline=100)
    asyncio.run(house.tick())
    weights = "/api/v1/models/fraud/route/weights"

    refused = client.patch(weights, json={"weights": {"1": 9, "2": 1}}, headers=ANY)
    put = client.put("/api/v1/models/fraud/route", json={"split": {"1": 9, "2": 1}}, headers=ANY)
    unclear = client.put("/api/v1/models/fraud/route?force=yes", json={"split": {"1": 9, "2": 1}}, headers=ANY)
    forced = client.patch(weights, json={"weights": {"1": 9, "2": 1}, "force": True}, headers=ANY)

    assert kind_of(refused) == kind_of(put) == (409, "version-quarantined")
    assert (unclear.status_code, forced.status_code) == (422, 200)


def test_without_the_store_a_rollout_is_neither_shown_nor_moved(client: TestClient, house: RolloutHouse) -> None:
    to_step(house, client)
    house.store.stop()

    assert [client.get(CURRENT).status_code, move(client, "pause").status_code] == [503, 503]
