"""The controller: what it does each second, and what it never does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from gateway.control.rollout_news import RolloutNews
from gateway.core.phases import Event, Phase
from gateway.ports.evidence import LEASE_SECONDS
from tests.control.fakes import LOADING
from tests.control.rollout_house import RolloutHouse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.rollout import Rollout


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


def stands(rollout: Rollout) -> tuple[Phase, int]:
    return rollout.phase, rollout.step


async def test_a_healthy_canary_walks_every_step_to_the_end(house: RolloutHouse) -> None:
    await house.begin()
    walked: list[tuple[Phase, int, dict[int, int]]] = []
    for _ in range(60):
        await house.tick()
        rollout = await house.rollout()
        now = (rollout.phase, rollout.step, await house.split())
        if not walked or walked[-1] != now:
            walked.append(now)
        if rollout.phase is Phase.SUCCEEDED:
            break
        await house.count(200, baseline=200)

    assert walked == [
        (Phase.PREFLIGHT, 0, {1: 100, 2: 0}),
        (Phase.STEP, 0, {1: 95, 2: 5}),
        (Phase.STEP, 1, {1: 50, 2: 50}),
        (Phase.BAKE, 1, {1: 5, 2: 95}),
        (Phase.SUCCEEDED, 1, {1: 0, 2: 100}),
    ]
    assert (await house.held()).document.baseline == 2


async def test_every_move_leaves_one_entry_in_the_history(house: RolloutHouse) -> None:
    await house.to_step()
    await house.tick()

    entries = [(entry.revision, entry.who, entry.action) for entry in await house.history()]

    assert entries == [
        (4, "gateway", "rollout"),
        (3, "gateway", "rollout"),
        (2, "ann", "rollout"),
        (1, "test", "route"),
    ]


async def test_the_first_step_waits_until_every_worker_has_the_canary(house: RolloutHouse) -> None:
    house.workers.say("fraud", 2, LOADING, worker=1)
    await house.begin()
    await house.tick()
    await house.tick()
    early = (await house.rollout()).phase

    house.workers.say("fraud", 2, house.workers.states[0]["fraud", 2].state)
    await house.tick()

    assert (early, (await house.rollout()).phase) == (Phase.PREFLIGHT, Phase.STEP)


async def test_the_first_step_waits_until_every_worker_follows_the_route(house: RolloutHouse) -> None:
    await house.begin()
    await house.tick()

    house.workers.revisions["fraud"] = 1
    await house.controller.tick()

    assert (await house.rollout()).phase is Phase.PREFLIGHT


async def test_a_failing_canary_is_taken_back_and_its_file_quarantined(house: RolloutHouse) -> None:
    await house.to_step()
    await house.count(5, failed=5, baseline=100)

    await house.tick()

    held = await house.held()
    newest = (await house.history())[0]
    assert held.rollout is not None
    assert (held.rollout.phase, dict(held.document.split)) == (Phase.ROLLED_BACK, {1: 100, 2: 0})
    assert [(each.digest, each.version) for each in held.quarantine] == [("02" * 32, 2)]
    assert newest.reason.startswith("errors: ")


async def test_without_evidence_a_step_is_held_and_never_passed(house: RolloutHouse) -> None:
    await house.to_step()

    await house.tick(11)
    await house.tick(3_600)

    assert stands(await house.rollout()) == (Phase.HOLD, 0)
    assert await house.split() == {1: 95, 2: 5}


async def test_a_held_rollout_goes_on_when_the_evidence_comes(house: RolloutHouse) -> None:
    await house.to_step()
    await house.tick(11)
    await house.count(1_000, baseline=1_000)

    await house.tick()
    await house.tick()

    assert stands(await house.rollout()) == (Phase.STEP, 1)


async def test_too_little_evidence_for_too_long_rolls_back_where_the_plan_says_so(house: RolloutHouse) -> None:
    await house.to_step(on_insufficient_data="rollback", max_hold="60s")
    await house.tick(11)

    await house.tick(61)

    assert (await house.rollout()).reason.startswith("insufficient_data: ")


async def test_a_gate_waits_for_somebody_and_says_so_once(
    house: RolloutHouse, caplog: pytest.LogCaptureFixture
) -> None:
    await house.to_step(steps=[{"weight": 5, "for": "10s", "approve": True}])
    await house.count(1_000, baseline=1_000)
    caplog.set_level(logging.WARNING)

    for _ in range(4):
        await house.tick(11)
    paused = await house.rollout()
    await house.rollouts.move("fraud", Event.RESUME, expected=None, who="ann", reason="")
    await house.tick()

    assert (paused.phase, paused.gate) == (Phase.PAUSED, True)
    assert (await house.rollout()).phase is Phase.BAKE
    assert sum("waits for approval" in record.message for record in caplog.records) == 2


async def test_a_paused_rollout_is_still_taken_back(house: RolloutHouse) -> None:
    await house.to_step()
    await house.rollouts.move("fraud", Event.PAUSE, expected=None, who="ann", reason="lunch")
    await house.count(5, failed=5, baseline=100)

    await house.tick()

    assert (await house.rollout()).phase is Phase.ROLLED_BACK


async def test_a_successor_goes_on_where_a_killed_controller_stopped(house: RolloutHouse) -> None:
    await house.to_step()
    await house.count(1_000, baseline=1_000)
    successor = house.new_controller("two")

    await house.tick(5, successor)
    meanwhile, revision = await house.rollout(), await house.revision()
    house.store._leases.clear()
    await house.tick(6, successor)

    assert (meanwhile.step, revision) == (0, 4)
    assert stands(await house.rollout()) == (Phase.STEP, 1)


async def test_who_does_not_hold_the_lease_does_nothing(house: RolloutHouse) -> None:
    await house.to_step()
    await house.count(1_000, baseline=1_000)

    await house.tick(11, house.new_controller("two"))

    assert stands(await house.rollout()) == (Phase.STEP, 0)
    await house.tick()
    assert stands(await house.rollout()) == (Phase.STEP, 1)


async def test_a_raise_that_was_decided_before_somebody_aborted_is_lost(
    house: RolloutHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.to_step()
    await house.count(1_000, baseline=1_000)
    totals = house.store.totals

    async def abort_meanwhile(model: str, rollout: str) -> Mapping[str, str]:
        found = await totals(model, rollout)
        monkeypatch.setattr(house.store, "totals", totals)
        await house.rollouts.move(model, Event.ABORT, expected=None, who="ann", reason="")
        return found

    monkeypatch.setattr(house.store, "totals", abort_meanwhile)
    await house.tick(11)

    assert (await house.rollout()).phase is Phase.ABORTED
    assert await house.split() == {1: 100, 2: 0}


async def test_two_controllers_never_act_twice(house: RolloutHouse) -> None:
    other = house.new_controller("two")
    await house.begin()

    for _ in range(8):
        await house.tick(1)
        await other.tick()
        house.store._leases.clear()  # the lease changes hands all the time
        await house.count(500, baseline=500) if (await house.rollout()).phase is Phase.STEP else None

    reasons = [entry.reason for entry in await house.history() if entry.who == "gateway"]
    assert stands(await house.rollout()) == (Phase.STEP, 0)
    assert len(reasons) == 2


async def test_while_the_store_is_away_nothing_moves_and_no_step_grows_older(house: RolloutHouse) -> None:
    await house.to_step()
    await house.count(1_000, baseline=1_000)

    house.store.stop()
    for _ in range(30):
        await house.tick(1)
    house.store.start()
    await house.tick(1)
    await house.tick(1)
    back = await house.rollout()
    await house.tick(10)

    assert (back.step, round(back.away_seconds)) == (0, 31)
    assert "away for 31 s" in [entry.reason for entry in await house.history()][1]
    assert stands(await house.rollout()) == (Phase.STEP, 1)


async def test_a_gap_of_this_process_alone_counts_for_nobody(house: RolloutHouse) -> None:
    await house.to_step()
    house.store.stop()
    await house.tick(30)
    house.store.start()
    house.store._leases.clear()
    leader = house.new_controller("two")

    await house.tick(1, leader)
    await house.tick(1)

    assert (await house.rollout()).away_seconds == 0


async def test_evidence_that_cannot_be_read_stops_one_rollout_and_not_the_process(
    house: RolloutHouse, caplog: pytest.LogCaptureFixture
) -> None:
    rollout = await house.to_step()
    for fields in house.store._evidence.values():
        fields[b"4|2|n"] = b"garbage"

    await house.tick(60)
    await house.tick(60)

    assert (await house.rollout()) == rollout
    assert sum("cannot be judged" in record.message for record in caplog.records) == 1


async def test_what_somebody_else_did_is_told_and_counted_once(
    house: RolloutHouse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await house.to_step()
    await house.count(5, failed=5, baseline=100)

    for _ in range(3):
        await house.tick()

    told = [record for record in caplog.records if "was rolled back" in record.message]
    assert [record.levelname for record in told] == ["WARNING"]
    assert (vars(told[0])["phase"], vars(told[0])["candidate"]) == ("rolled_back", 2)
    assert house.news.rollbacks()["fraud", "errors"] == 1
    assert house.news.gauges()["fraud"].phase is Phase.ROLLED_BACK


async def test_a_rollback_from_before_the_start_is_no_news(house: RolloutHouse) -> None:
    await house.to_step()
    await house.count(5, failed=5, baseline=100)
    await house.tick()
    house.news = RolloutNews()

    await house.tick(1, house.new_controller("that starts"))

    assert house.news.gauges()["fraud"].phase is Phase.ROLLED_BACK
    assert sum(house.news.rollbacks().values()) == 0


async def test_a_store_that_lost_its_routes_takes_no_series_of_a_rollout_away_and_counts_none_again(
    house: RolloutHouse,
) -> None:
    await house.to_step()
    await house.count(5, failed=5, baseline=100)
    await house.tick()
    await house.tick()
    counted = house.news.rollbacks()

    route = house.store._hashes.pop("fraud")
    await house.controller.tick()
    shown = house.news.rollbacks(), house.news.gauges()["fraud"].phase
    house.store._hashes["fraud"] = route
    await house.controller.tick()

    assert shown == (counted, Phase.ROLLED_BACK)
    assert house.news.rollbacks() == counted
    assert counted["fraud", "errors"] == 1


async def test_a_verdict_is_not_shown_of_a_route_that_was_lost(house: RolloutHouse) -> None:
    await house.to_step()
    await house.tick()

    del house.store._hashes["fraud"]
    await house.controller.tick()

    assert house.news.gauges()["fraud"].phase is Phase.STEP
    assert not house.news.gauges()["fraud"].verdicts


async def test_the_verdict_is_shown_while_this_process_leads(house: RolloutHouse) -> None:
    await house.to_step()
    await house.tick()

    verdicts = house.news.gauges()["fraud"].verdicts

    assert {"errors", "total"} <= verdicts[2].thresholds.keys()


def test_a_lease_is_longer_than_two_looks() -> None:
    assert LEASE_SECONDS > 2
