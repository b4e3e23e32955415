"""What an operator may do with a rollout, and what a rollout does to what an operator may do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.control.operations import Operations
from gateway.core.errors import (
    InvalidDocument,
    NoRollout,
    RevisionConflict,
    RolloutUnderWay,
    StoreUnavailable,
    UnknownModel,
    UnknownRoute,
    UnknownVersion,
    VersionQuarantined,
    VersionUnavailable,
)
from gateway.core.phases import Event, MoveRefused, Phase
from gateway.ports.evidence import Deltas
from tests.control.fakes import FAILED, FIVE_FLOATS, LOADING, READY
from tests.control.rollout_house import PLAN, RolloutHouse

if TYPE_CHECKING:
    from gateway.core.rollout import Rollout


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


async def do(house: RolloutHouse, event: Event, *, force: bool = False, full: bool = False) -> Rollout:
    rollout, _ = await house.rollouts.move(
        "fraud", event, expected=None, who="ann", reason="because", force=force, full=full
    )
    return rollout


async def weigh(house: RolloutHouse, weights: dict[str, int], *, force: bool = False) -> int:
    _, revision = await house.operations.set_weights(
        "fraud", weights, expected=None, who="ann", reason="by hand", force=force
    )
    return revision


async def taken_back(house: RolloutHouse) -> None:
    """Walk a rollout to its first step and let its canary fail."""
    await house.to_step()
    await house.count(5, failed=5, baseline=100)
    await house.tick()
    assert (await house.rollout()).phase is Phase.ROLLED_BACK


# Start


async def test_a_start_moves_no_traffic(house: RolloutHouse) -> None:
    rollout = await house.begin()

    assert (rollout.phase, rollout.candidate, rollout.baseline) == (Phase.PENDING, 2, 1)
    assert await house.split() == {1: 100}
    assert (await house.history())[0].reason == "rollout of version 2: why not"


async def test_a_start_without_a_plan_takes_that_of_the_route(house: RolloutHouse) -> None:
    await house.route({"1": 100}, rollout={"steps": [{"weight": 7, "for": "1m"}]})

    rollout, _ = await house.rollouts.start("fraud", (2,), {}, expected=None, who="ann", reason="")

    assert rollout.plan.steps[0].slots == 700


async def test_a_start_without_any_plan_says_where_to_write_one(house: RolloutHouse) -> None:
    await house.route({"1": 100})

    with pytest.raises(InvalidDocument, match="member rollout"):
        await house.rollouts.start("fraud", (2,), {}, expected=None, who="ann", reason="")


async def test_a_start_needs_a_model_a_route_and_its_revision(house: RolloutHouse) -> None:
    with pytest.raises(UnknownModel):
        await house.rollouts.start("ghost", (2,), PLAN, expected=None, who="ann", reason="")
    with pytest.raises(UnknownRoute):
        await house.rollouts.start("fraud", (2,), PLAN, expected=None, who="ann", reason="")
    await house.route({"1": 100})
    with pytest.raises(RevisionConflict):
        await house.rollouts.start("fraud", (2,), PLAN, expected=7, who="ann", reason="")


async def test_a_canary_that_cannot_answer_is_refused(house: RolloutHouse) -> None:
    house.workers.say("fraud", 2, FAILED, "bad file")
    house.workers.say("fraud", 3, READY, signature=FIVE_FLOATS)

    with pytest.raises(UnknownVersion):
        await house.begin(9)
    with pytest.raises(VersionUnavailable, match="bad file"):
        await house.begin(2)
    with pytest.raises(InvalidDocument, match=r"candidate: .*cannot share a route"):
        await house.begin(3)
    with pytest.raises(InvalidDocument, match=r"candidate: .*baseline already"):
        await house.begin(1)


async def test_a_canary_that_is_still_loading_is_taken(house: RolloutHouse) -> None:
    house.workers.say("fraud", 2, LOADING)

    assert (await house.begin()).phase is Phase.PENDING


async def test_a_second_rollout_is_refused_unless_it_is_to_replace_the_first(house: RolloutHouse) -> None:
    first = await house.to_step()
    with pytest.raises(RolloutUnderWay, match="--supersede"):
        await house.begin(3)

    second, _ = await house.rollouts.start("fraud", (3,), PLAN, expected=None, who="ann", reason="", supersede=True)

    assert (second.candidate, dict(second.before), await house.split()) == (3, {1: 100, 2: 0}, {1: 100, 2: 0})
    assert second.id != first.id
    assert "in place of that of version 2" in (await house.history())[0].reason


async def test_the_rate_to_exclude_is_twice_that_of_a_baseline_that_fails_itself(house: RolloutHouse) -> None:
    house.operations = Operations(
        house.store, house.workers, lambda: house.on_disk, house.snapshot, failure_rate=lambda *_: 0.02
    )
    house.rollouts = house.operations.rollouts

    assert (await house.begin()).certify == 0.04


# Moves


async def test_a_pause_stops_and_a_resume_goes_on_in_the_same_step(house: RolloutHouse) -> None:
    await house.to_step()

    paused = await do(house, Event.PAUSE)
    resumed = await do(house, Event.RESUME)

    assert (paused.phase, paused.origin, resumed.phase, resumed.step) == (Phase.PAUSED, Phase.STEP, Phase.STEP, 0)


async def test_a_second_pause_changes_nothing(house: RolloutHouse) -> None:
    await house.to_step()
    await do(house, Event.PAUSE)
    before = await house.revision()

    await do(house, Event.PAUSE)

    assert await house.revision() == before


async def test_an_abort_returns_to_the_split_from_before(house: RolloutHouse) -> None:
    await house.route({"1": 90, "3": 10})
    await house.to_step()

    await do(house, Event.ABORT)

    held = await house.held()
    assert ({v: w for v, w in held.document.split.items() if w}, held.quarantine) == ({1: 90, 3: 10}, ())


async def test_a_promotion_goes_to_the_bake_and_a_full_one_to_the_end(house: RolloutHouse) -> None:
    await house.to_step()

    bake = await do(house, Event.PROMOTE)
    split = await house.split()
    end = await do(house, Event.PROMOTE, full=True)

    assert (bake.phase, split, end.phase) == (Phase.BAKE, {1: 5, 2: 95}, Phase.SUCCEEDED)
    assert (await house.held()).document.baseline == 2


async def test_out_of_a_hold_a_promotion_needs_force(house: RolloutHouse) -> None:
    await house.to_step()
    await house.tick(11)
    with pytest.raises(MoveRefused, match="without force"):
        await do(house, Event.PROMOTE)

    assert (await do(house, Event.PROMOTE, force=True)).phase is Phase.BAKE


@pytest.mark.parametrize("event", [Event.RESUME, Event.RETRY])
async def test_what_the_table_does_not_have_is_refused_and_changes_nothing(house: RolloutHouse, event: Event) -> None:
    await house.to_step()
    before = await house.revision()

    with pytest.raises(MoveRefused, match="from here it takes"):
        await do(house, event)
    assert await house.revision() == before


async def test_a_model_without_a_rollout_has_none_to_move_or_to_show(house: RolloutHouse) -> None:
    await house.route({"1": 100})

    with pytest.raises(NoRollout):
        await do(house, Event.PAUSE)
    with pytest.raises(NoRollout):
        await house.rollouts.look("fraud")


async def test_a_move_for_an_older_revision_is_refused(house: RolloutHouse) -> None:
    await house.to_step()

    with pytest.raises(RevisionConflict):
        await house.rollouts.move("fraud", Event.ABORT, expected=1, who="ann", reason="")


async def test_without_the_store_nothing_is_promised(house: RolloutHouse) -> None:
    await house.to_step()
    house.store.stop()

    with pytest.raises(StoreUnavailable):
        await do(house, Event.PAUSE)


# Weights by hand


async def test_weights_by_hand_pause_the_rollout_and_keep_its_evidence(house: RolloutHouse) -> None:
    await house.to_step()
    await house.count(50, baseline=500)

    await weigh(house, {"1": 80, "2": 20})
    await house.count(10, baseline=100)

    _, seen = await house.rollouts.look("fraud")
    assert (seen.rollout.phase, seen.rollout.reason) == (Phase.PAUSED, "ann changed the weights")
    assert seen.evidence.total(2, "n") == 60
    assert seen.evidence.slots[await house.revision()] == {1: 8000, 2: 2000}


async def test_a_resume_returns_to_the_share_of_the_step(house: RolloutHouse) -> None:
    await house.to_step()
    await weigh(house, {"1": 80, "2": 20})

    await do(house, Event.RESUME)

    assert await house.split() == {1: 95, 2: 5}


async def test_a_change_that_moves_no_weights_lets_the_rollout_go_on(house: RolloutHouse) -> None:
    await house.to_step()
    document = (await house.held()).document

    changed = replace(document, fallback="none").as_dict()
    await house.operations.put_route("fraud", changed, expected=None, who="ann", reason="")
    await house.count(10)

    assert (await house.rollout()).phase is Phase.STEP


async def test_another_baseline_by_hand_ends_the_rollout(house: RolloutHouse) -> None:
    await house.to_step()

    await house.operations.put_route(
        "fraud", {"split": {"1": 50, "3": 50}, "baseline": "3"}, expected=None, who="ann", reason=""
    )

    rollout = await house.rollout()
    assert (rollout.phase, rollout.reason) == (Phase.ABORTED, "ann made version 3 the baseline")
    assert await house.split() == {1: 50, 3: 50}


async def test_what_was_counted_after_the_end_is_dropped(house: RolloutHouse) -> None:
    rollout = await house.to_step()
    late = Deltas({f"{await house.revision()}|2|n": 5})
    await do(house, Event.ABORT)
    after_abort = await house.store.flush("fraud", rollout.id, worker="w", seq=1, deltas=late)
    await weigh(house, {"1": 90, "3": 10})

    assert after_abort is None
    assert await house.store.flush("fraud", rollout.id, worker="w", seq=2, deltas=late) is None


# Quarantine


async def test_a_version_that_was_taken_back_gets_no_weight_by_hand(house: RolloutHouse) -> None:
    await taken_back(house)

    with pytest.raises(VersionQuarantined, match=r"rolled back \(errors: .*rollouts retry fraud"):
        await weigh(house, {"1": 99, "2": 1})
    with pytest.raises(VersionQuarantined):
        await house.begin(2)
    assert await weigh(house, {"1": 50, "3": 50})


async def test_the_same_file_under_another_number_is_quarantined_as_well(house: RolloutHouse) -> None:
    await taken_back(house)
    house.on_disk["fraud"].add(4)
    house.workers.digests[4] = house.workers.digests[2]
    house.workers.say("fraud", 4, READY)

    with pytest.raises(VersionQuarantined):
        await weigh(house, {"1": 99, "4": 1})


async def test_another_file_under_the_same_number_is_not(house: RolloutHouse) -> None:
    await taken_back(house)
    house.workers.digests[2] = "cd" * 32
    house.workers.say("fraud", 2, READY)

    assert await weigh(house, {"1": 99, "2": 1})


async def test_a_forced_write_lifts_the_quarantine(house: RolloutHouse) -> None:
    await taken_back(house)

    await weigh(house, {"1": 99, "2": 1}, force=True)

    assert (await house.held()).quarantine == ()


async def test_a_retry_lifts_the_quarantine_and_starts_without_evidence(house: RolloutHouse) -> None:
    await taken_back(house)
    old = await house.rollout()

    again = await do(house, Event.RETRY)
    await house.tick()
    await house.tick()

    _, seen = await house.rollouts.look("fraud")
    assert again.id != old.id
    assert ((await house.held()).quarantine, seen.rollout.phase) == ((), Phase.STEP)
    assert seen.evidence.total(2, "n") == 0


async def test_a_retry_returns_to_the_split_that_it_started_from(house: RolloutHouse) -> None:
    await taken_back(house)
    await weigh(house, {"1": 50, "3": 50})

    await do(house, Event.RETRY)

    assert dict((await house.rollout()).before) == {1: 50, 3: 50}


async def test_a_retry_after_another_baseline_is_refused(house: RolloutHouse) -> None:
    await taken_back(house)
    await house.operations.put_route("fraud", {"split": {"3": 1}}, expected=None, who="ann", reason="")

    with pytest.raises(MoveRefused, match="version 3 is the baseline by now"):
        await do(house, Event.RETRY)


async def test_a_rule_that_gave_weight_before_keeps_it(house: RolloutHouse) -> None:
    await house.route({"1": 100}, rules=[{"when": {"header:x-team": "us"}, "split": {"2": 1}}])
    await taken_back(house)

    assert await weigh(house, {"1": 90, "3": 10})


# Restore


async def test_a_revision_that_a_rollout_made_can_be_restored(house: RolloutHouse) -> None:
    await house.to_step()
    await do(house, Event.ABORT)

    await house.operations.restore("fraud", 4, expected=None, who="ann", reason="")

    assert await house.split() == {1: 95, 2: 5}


async def test_a_wiped_store_gets_its_rollout_back_under_watch(house: RolloutHouse) -> None:
    await house.to_step()
    found = await house.store.read("fraud")
    assert found is not None
    house.snapshot.routes["fraud"] = found
    house.store._hashes.clear()
    house.store._evidence.clear()

    await house.operations.restore("fraud", None, expected=None, who="ann", reason="")
    await house.count(500, baseline=500)

    _, seen = await house.rollouts.look("fraud")
    assert (seen.rollout.phase, seen.evidence.total(2, "n", since=seen.rollout.since)) == (Phase.STEP, 500)
