"""Alarms over a rollout's life: who asks, when, and what the controller does with what it hears."""

from __future__ import annotations

import asyncio

import pytest

from gateway.control.alarms import MOST_AT_ONCE, Alarms
from gateway.control.operations import Operations
from gateway.control.rollout_views import alarm_view
from gateway.core.alarms import Answer, Silence, State
from gateway.core.errors import InvalidDocument
from gateway.core.notification import Kind as News
from gateway.core.notification import read_notification
from gateway.core.phases import Event, Phase
from gateway.core.verdicts import Kind
from tests.control.alarm_house import ALARM, AWAY, BAD, GOOD, AlarmHouse
from tests.control.rollout_house import RolloutHouse


@pytest.fixture
def house() -> AlarmHouse:
    return AlarmHouse()


async def ticks(house: AlarmHouse, count: int) -> None:
    for _ in range(count):
        await house.tick()


async def test_an_alarm_that_fires_holds_and_lets_go_when_it_is_quiet(house: AlarmHouse) -> None:
    await house.walk_to_step()

    house.monitoring.reply = BAD
    await ticks(house, 5)
    held = await house.rollout()
    house.monitoring.reply = GOOD
    await ticks(house, 3)

    assert (held.phase, held.reason.partition(",")[0]) == (
        Phase.HOLD, "alarms: alarm shop fires: 0.9 is > 0.05"
    )  # fmt: skip
    assert await house.phase() is Phase.STEP


async def test_an_alarm_takes_the_canary_back_where_the_plan_says_so(house: AlarmHouse) -> None:
    await house.walk_to_step(then="rollback")

    house.monitoring.reply = BAD
    await ticks(house, 5)

    held = await house.held()
    assert (await house.phase(), dict(held.document.split)) == (Phase.ROLLED_BACK, {1: 100, 2: 0})
    assert (await house.history())[0].reason.startswith("alarms: alarm shop fires")
    await house.tick()
    assert house.news.rollbacks()["fraud", "alarms"] == 1


async def test_a_pause_does_not_keep_an_alarm_from_taking_the_canary_back(house: AlarmHouse) -> None:
    await house.walk_to_step(then="rollback")
    await house.rollouts.move("fraud", Event.PAUSE, expected=None, who="ann", reason="")

    house.monitoring.reply = BAD
    await ticks(house, 5)

    assert await house.phase() is Phase.ROLLED_BACK


async def test_an_alarm_that_fires_before_the_canary_has_traffic_is_not_its_fault(house: AlarmHouse) -> None:
    house.monitoring.reply = BAD
    await house.begin(alarms=[ALARM | {"then": "rollback"}])

    await ticks(house, 8)

    assert (await house.phase(), (await house.rollout()).goal) == (Phase.HOLD, Phase.PREFLIGHT)


@pytest.mark.parametrize("reply", [AWAY, Answer(()), Answer((float("nan"),))])
async def test_without_an_answer_it_holds_after_the_grace_and_never_rolls_back(
    house: AlarmHouse, reply: Answer | Silence
) -> None:
    await house.walk_to_step(then="rollback")

    house.monitoring.reply = reply
    await ticks(house, 4)
    early = await house.phase()
    for _ in range(60):
        await house.tick(60)
    late = await house.rollout()
    house.monitoring.reply = GOOD
    await ticks(house, 3)

    assert (early, late.phase, await house.phase()) == (Phase.STEP, Phase.HOLD, Phase.STEP)
    assert "has had no answer for" in late.reason


async def test_an_outage_is_no_lack_of_evidence_that_takes_a_canary_back(house: AlarmHouse) -> None:
    await house.walk_to_step(on_insufficient_data="rollback", max_hold="1m")

    house.monitoring.reply = AWAY
    for _ in range(60):
        await house.tick(60)

    assert await house.phase() is Phase.HOLD


async def test_nothing_is_raised_before_every_alarm_was_answered(house: AlarmHouse) -> None:
    house.monitoring.gate = asyncio.Event()
    await house.begin(alarms=[ALARM])
    await ticks(house, 4)
    early = await house.phase()

    house.monitoring.gate.set()
    await ticks(house, 3)

    assert (early, await house.phase()) == (Phase.PREFLIGHT, Phase.STEP)


async def test_a_hold_outlives_a_restart_of_who_asks(house: AlarmHouse) -> None:
    await house.walk_to_step()
    house.monitoring.reply = BAD
    await ticks(house, 5)

    house.operations, house.alarms = house.new_operations()
    house.store._leases.clear()
    successor = house.new_controller("two")
    phases = []
    for _ in range(4):
        await house.tick(1.0, successor)
        phases.append(await house.phase())

    assert set(phases) == {Phase.HOLD}


async def test_only_who_leads_a_rollout_asks(house: AlarmHouse) -> None:
    await house.walk_to_step()
    before = len(house.monitoring.asked)
    operations, alarms = house.new_operations()
    house.operations = operations

    await house.tick(0.1, house.new_controller("two"))

    assert len(house.monitoring.asked) == before
    assert alarms.standings() == {}
    _, seen = await operations.rollouts.look("fraud")
    assert seen.alarms == ()


async def test_who_leads_no_more_asks_no_more_and_shows_nothing(house: AlarmHouse) -> None:
    await house.walk_to_step()
    house.store._leases.clear()
    assert await house.store.lease("fraud", "two")

    await house.tick(0.5)

    assert house.alarms.standings() == {}


async def test_a_question_that_hangs_is_not_asked_again_and_holds_up_nobody(house: AlarmHouse) -> None:
    await house.walk_to_step()
    house.monitoring.gate = asyncio.Event()
    before = len(house.monitoring.asked)

    await ticks(house, 10)

    assert len(house.monitoring.asked) == before + 1
    assert await house.phase() is Phase.HOLD


async def test_questions_of_all_rollouts_together_are_bounded(house: AlarmHouse) -> None:
    house.monitoring.gate = asyncio.Event()
    await house.begin(alarms=[ALARM | {"name": f"a{n}"} for n in range(20)])
    await ticks(house, 2)

    assert house.monitoring.most_under_way == MOST_AT_ONCE
    house.alarms.forget("fraud")
    await asyncio.sleep(0.01)
    assert house.monitoring.under_way == 0


async def test_what_has_ended_is_asked_no_more(house: AlarmHouse) -> None:
    await house.walk_to_step()
    await house.rollouts.move("fraud", Event.ABORT, expected=None, who="ann", reason="")
    await house.tick()
    before = len(house.monitoring.asked)

    await ticks(house, 5)

    assert (len(house.monitoring.asked), house.alarms.standings()) == (before, {})


async def test_another_rollout_of_the_model_begins_with_nothing_known(house: AlarmHouse) -> None:
    await house.walk_to_step()
    house.monitoring.reply = BAD
    await ticks(house, 2)
    assert house.state() is State.PENDING

    house.monitoring.gate = asyncio.Event()
    await house.rollouts.move("fraud", Event.ABORT, expected=None, who="ann", reason="")
    await house.rollouts.move("fraud", Event.RETRY, expected=None, who="ann", reason="")
    await house.tick()

    assert house.state() is State.UNANSWERED


async def test_what_is_shown_is_what_is_acted_on(house: AlarmHouse) -> None:
    await house.walk_to_step()
    house.monitoring.reply = BAD
    await ticks(house, 5)
    house.store.seconds += 2

    _, seen = await house.rollouts.look("fraud")

    assert seen.verdict.kind is Kind.HOLD
    assert alarm_view(seen.alarms[0]) == {
        "name": "shop", "state": "firing", "then": "hold", "value": 0.9, "age_seconds": 2.0,
        "text": seen.verdict.reasons[0].text,
    }  # fmt: skip


async def test_a_number_that_json_does_not_know_is_shown_as_text(house: AlarmHouse) -> None:
    house.monitoring.reply = Answer((float("inf"),))
    await house.begin(alarms=[ALARM])
    await ticks(house, 2)

    assert alarm_view(house.alarms.standings()["fraud"][0])["value"] == "inf"


async def test_alarms_that_nobody_can_be_asked_for_are_refused_at_the_start() -> None:
    deaf = RolloutHouse()

    with pytest.raises(InvalidDocument, match="--prometheus-url") as caught:
        await deaf.begin(alarms=[ALARM])

    assert caught.value.field == "alarms"


async def test_a_leader_that_can_ask_nobody_holds_and_says_what_to_do(house: AlarmHouse) -> None:
    await house.walk_to_step()
    deaf = RolloutHouse()
    deaf.store, deaf.workers = house.store, house.workers
    deaf.operations = Operations(
        deaf.store, deaf.workers, lambda: deaf.on_disk, deaf.snapshot,
        alarms=Alarms(clock=lambda: deaf.store.seconds),
    )  # fmt: skip
    house.store._leases.clear()
    successor = deaf.new_controller("two")

    for _ in range(8):
        await house.tick(1.0, successor)

    assert "--prometheus-url" in (await house.rollout()).reason


async def test_an_alarm_takes_all_of_several_candidates_back_and_tells_of_each(house: AlarmHouse) -> None:
    await house.begin(2, 3, alarms=[ALARM | {"then": "rollback"}])
    await ticks(house, 4)
    early = await house.phase()

    house.monitoring.reply = BAD
    await ticks(house, 6)

    held = await house.held()
    assert (early, await house.phase()) == (Phase.STEP, Phase.ROLLED_BACK)
    assert dict(held.document.split) == {1: 100, 2: 0, 3: 0}
    assert [each.version for each in held.quarantine] == [2, 3]
    assert house.news.rollbacks()["fraud", "alarms"] == 2
    told = [read_notification(each.payload) for each in house.store._outboxes["fraud"]]
    assert [(each.kind, each.version) for each in told[-4:]] == [
        (News.ROLLED_BACK, 2), (News.ROLLED_BACK, 3), (News.QUARANTINED, 2), (News.QUARANTINED, 3),
    ]  # fmt: skip
