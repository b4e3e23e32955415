"""A rollout of several candidates in the control process: one is taken out, the others go on, somebody chooses."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.reverter import StoreReverter
from gateway.core.errors import InvalidDocument, VersionQuarantined
from gateway.core.phases import Event, MoveRefused, Phase
from tests.control.fakes import LOADING, no_metrics
from tests.control.rollout_house import PLAN, RolloutHouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.core.rollout import Rollout

MODEL = "/api/v1/models/fraud"
ANY = {"if-match": "*"}


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


@pytest.fixture
def client(house: RolloutHouse) -> Iterator[TestClient]:
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {})
    with TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5)) as client:
        assert client.put(f"{MODEL}/route", json={"split": {"1": 100}}, headers=ANY).status_code == 200
        yield client


async def good(house: RolloutHouse, *versions: int) -> None:
    """Let each of *versions* earn its certificate."""
    for version in versions:
        await house.count(1_000, version=version)


async def to_the_choice(house: RolloutHouse) -> Rollout:
    await house.to_step(2, 3)
    for _ in PLAN["steps"]:
        await good(house, 2, 3)
        await house.tick(11)
    return await house.rollout()


async def choose(house: RolloutHouse, version: int | None) -> Rollout:
    moved, _ = await house.rollouts.move(
        "fraud", Event.PROMOTE, expected=None, who="ann", reason="better", version=version
    )
    return moved


async def test_each_candidate_has_the_steps_share(house: RolloutHouse) -> None:
    await house.to_step(2, 3)

    assert await house.split() == {1: 90, 2: 5, 3: 5}
    assert (await house.history())[-1].action == "route"
    assert any("rollout of version 2, 3" in entry.reason for entry in await house.history())


async def test_the_first_step_waits_for_all_candidates(house: RolloutHouse) -> None:
    house.workers.say("fraud", 3, LOADING)
    await house.to_step(2, 3)
    waiting = (await house.rollout()).phase
    house.workers.say("fraud", 3, house.workers.states[0]["fraud", 2].state)

    await house.tick()

    assert (waiting, (await house.rollout()).phase) == (Phase.PREFLIGHT, Phase.STEP)


async def test_one_that_fails_is_quarantined_alone_and_the_other_goes_on(
    house: RolloutHouse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await house.to_step(2, 3)
    await house.count(5, failed=5, version=3)

    await house.tick()
    split, rollout, held = await house.split(), await house.rollout(), await house.held()
    await good(house, 2)
    await house.tick(11)

    assert (split, rollout.phase, rollout.live) == ({1: 95, 2: 5, 3: 0}, Phase.STEP, (2,))
    assert [(each.version, each.reason.startswith("errors: version 3: E")) for each in held.quarantine] == [(3, True)]
    assert rollout.left[3].reason == held.quarantine[0].reason
    assert await house.split() == {1: 50, 2: 50, 3: 0}
    assert house.news.rollbacks()["fraud", "errors"] == 1
    told = [record for record in caplog.records if "is taken back, others go on" in record.message]
    assert [(record.levelname, vars(record)["candidate"]) for record in told] == [("WARNING", 3)]


async def test_two_that_fail_go_one_after_the_other_and_the_last_ends_it(house: RolloutHouse) -> None:
    await house.to_step(2, 3)
    for version in (2, 3):
        await house.count(5, failed=5, version=version)

    await house.tick()
    first = await house.rollout()
    await house.tick()
    await house.tick()

    assert (first.phase, first.live) == (Phase.STEP, (3,))
    assert (await house.rollout()).phase is Phase.ROLLED_BACK
    assert await house.split() == {1: 100, 2: 0, 3: 0}
    assert {each.version for each in (await house.held()).quarantine} == {2, 3}
    assert house.news.rollbacks()["fraud", "errors"] == 2


async def test_a_worker_takes_out_the_one_that_it_names_and_once(house: RolloutHouse) -> None:
    rollout = await house.to_step(2, 3)
    reverter = StoreReverter(house.store, lambda _model, version: house.workers.digests[version])

    done = [await reverter.roll_back("fraud", rollout.id, 3, "E 700", "errors") for _ in range(2)]

    assert done == [True, False]
    assert (await house.rollout()).left[3].reason == "errors: E 700"
    assert (await house.held()).quarantine[0].digest == house.workers.digests[3]
    assert await reverter.roll_back("fraud", rollout.id, 2, "E 700", "errors")
    assert (await house.rollout()).phase is Phase.ROLLED_BACK


async def test_one_that_fails_while_somebody_holds_the_weights_loses_them_to_the_baseline(house: RolloutHouse) -> None:
    await house.to_step(2, 3)
    split = {"1": 60, "2": 10, "3": 30}
    await house.operations.set_weights("fraud", split, expected=None, who="ann", reason="by hand")
    await house.count(12, failed=12, version=3)

    await house.tick()

    assert (await house.rollout()).phase is Phase.PAUSED
    assert await house.split() == {1: 90, 2: 10, 3: 0}


async def test_behind_the_steps_it_waits_for_a_choice_and_the_one_chosen_goes_on_alone(house: RolloutHouse) -> None:
    waiting = await to_the_choice(house)

    for refused in (choose(house, None), choose(house, 4)):
        with pytest.raises(MoveRefused):
            await refused
    chosen = await choose(house, 3)
    split = await house.split()
    await good(house, 3)
    await house.tick(11)

    assert (waiting.phase, waiting.gate, waiting.must_choose) == (Phase.PAUSED, True, True)
    assert (chosen.phase, split) == (Phase.BAKE, {1: 5, 2: 0, 3: 95})
    assert ((await house.rollout()).phase, (await house.held()).document.baseline) == (Phase.SUCCEEDED, 3)
    assert (await house.held()).quarantine == ()
    assert any(entry.reason == "rollout of version 2, 3: promote version 3: better" for entry in await house.history())


async def test_what_cannot_be_compared_together_is_refused(house: RolloutHouse) -> None:
    await house.route({"1": 100})

    with pytest.raises(InvalidDocument, match="twice"):
        await house.begin(2, 2)
    with pytest.raises(InvalidDocument, match="102% for 2 candidates"):
        await house.begin(2, 3, steps=[{"weight": 51, "for": "1m"}])
    with pytest.raises(InvalidDocument, match=r"steps\[0\]\.weight: names 3"):
        await house.begin(2, steps=[{"weight": {"3": 5}, "for": "1m"}])


async def test_one_that_was_taken_back_is_no_candidate_until_a_retry_of_all(house: RolloutHouse) -> None:
    rollout = await house.to_step(2, 3)
    await house.count(5, failed=5, version=3)
    await house.tick()
    await house.rollouts.move("fraud", Event.ABORT, expected=None, who="ann", reason="")

    with pytest.raises(VersionQuarantined):
        await house.begin(2, 3)
    again, _ = await house.rollouts.move("fraud", Event.RETRY, expected=None, who="ann", reason="")

    assert (again.live, again.id != rollout.id, (await house.held()).quarantine) == ((2, 3), True, ())


# Over HTTP


def started(client: TestClient, **body: Any) -> Any:
    return client.post(f"{MODEL}/rollouts", json={"candidates": ["2", 3], **PLAN, **body}, headers=ANY)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"candidate": "2"}, "candidates"), ({"candidates": []}, "candidates"), ({"candidates": "2"}, "candidates"),
        ({"candidates": ["x"]}, "candidates"), ({"candidates": ["1", "2"]}, "candidates"),
        ({"candidates": ["2", "2"]}, "candidates"),
        ({"steps": [{"weight": {"2": 5}, "for": "1m"}]}, "steps[0].weight"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_several_candidates_is_named(client: TestClient, body: dict[str, Any], field: str) -> None:
    answer = started(client, **body)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_what_is_shown_names_each_candidate_with_its_verdict(client: TestClient, house: RolloutHouse) -> None:
    assert started(client).status_code == 201

    async def walk() -> None:
        await house.tick()
        await house.tick()
        await house.count(5, failed=5, version=3)
        await house.count(500)
        await house.tick()

    asyncio.run(walk())
    seen = client.get(f"{MODEL}/rollouts/current").json()

    assert [(each["version"], each["state"]) for each in seen["candidates"]] == [("2", "live"), ("3", "failed")]
    assert seen["candidates"][1]["reason"].startswith("errors: version 3")
    assert (seen["candidate"], list(seen["verdicts"]), seen["verdict"]) == ("2", ["2"], seen["verdicts"]["2"])
    assert {version: counts["n"] for version, counts in seen["counts"].items()} == {"2": 500, "3": 5, "1": 0}


def test_the_choice_is_asked_for_and_made(client: TestClient, house: RolloutHouse) -> None:
    assert started(client).json()["candidate"] is None

    async def walk() -> None:
        await house.tick()
        await house.tick()
        for _ in PLAN["steps"]:
            await good(house, 2, 3)
            await house.tick(11)

    asyncio.run(walk())
    seen = client.get(f"{MODEL}/rollouts/current").json()
    promote = f"{MODEL}/rollouts/current/promote"
    refused = client.post(promote, json={}, headers=ANY)
    chosen = client.post(promote, json={"version": "3"}, headers=ANY)

    assert (seen["must_choose"], seen["verdicts"].keys()) == (True, {"2", "3"})
    assert (refused.status_code, "version 2 or 3" in refused.json()["detail"]) == (409, True)
    assert (chosen.json()["candidate"], chosen.json()["candidates"][0]["state"]) == ("3", "passed_over")
    assert client.post(f"{MODEL}/rollouts/current/pause", json={"version": "3"}, headers=ANY).status_code == 422
