"""The controller freezes how long the baseline's runs take, and a rollout does not notice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.evidence import Counter
from gateway.core.latency import FROZEN_FROM, TIME_KINDS
from gateway.core.phases import Event, Phase
from gateway.ports.evidence import Deltas
from tests.control.rollout_house import RolloutHouse


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


async def count_runs(house: RolloutHouse, runs: int, *, rows: int = 0, bucket: int = 3, seq: int = 1) -> None:
    """Flush run times of the baseline, as a worker does."""
    revision, rollout = await house.revision(), await house.rollout()
    deltas = Deltas({str(Counter(revision, 1, TIME_KINDS[rows][bucket])): runs})
    await house.store.flush("fraud", rollout.id, worker="times", seq=seq, deltas=deltas)


async def test_limits_are_frozen_by_a_revision_of_their_own_and_the_rollout_stays_where_it_is(
    house: RolloutHouse,
) -> None:
    before = await house.to_step()
    revision, split = await house.revision(), await house.split()
    await count_runs(house, FROZEN_FROM)

    await house.tick()

    newest = (await house.history())[0]
    assert await house.rollout() == replace(before, limits={0: (3, 3, 3)})
    assert (await house.revision(), await house.split()) == (revision + 1, split)
    assert newest.before == newest.after
    assert "0.195/0.195/0.195 ms for runs of 1 rows" in newest.reason


async def test_what_is_frozen_is_written_once(house: RolloutHouse) -> None:
    await house.to_step()
    await count_runs(house, FROZEN_FROM)
    await house.tick()
    revision = await house.revision()
    await count_runs(house, FROZEN_FROM - 1, rows=2, seq=2)
    await house.tick()
    still = await house.revision()

    await count_runs(house, 1, rows=2, bucket=9, seq=3)
    await house.tick()
    await house.tick()

    newest = (await house.history())[0]
    assert (still, await house.revision()) == (revision, revision + 1)
    assert dict((await house.rollout()).limits) == {0: (3, 3, 3), 2: (3, 3, 3)}
    assert "rows" in newest.reason
    assert "runs of 1 rows" not in newest.reason


async def test_a_step_ends_in_its_time_although_limits_were_frozen_in_it(house: RolloutHouse) -> None:
    await house.to_step()
    await house.count(1_000, baseline=1_000)
    await house.tick(5)
    await count_runs(house, FROZEN_FROM)
    await house.tick()

    await house.tick(5)

    rollout = await house.rollout()
    assert (rollout.phase, rollout.step, dict(rollout.limits)) == (Phase.STEP, 1, {0: (3, 3, 3)})


async def test_a_canary_that_has_to_go_is_taken_back_before_anything_is_frozen(house: RolloutHouse) -> None:
    await house.to_step()
    await count_runs(house, FROZEN_FROM)
    await house.count(5, failed=5, baseline=100)

    await house.tick()

    rollout = await house.rollout()
    assert (rollout.phase, dict(rollout.limits)) == (Phase.ROLLED_BACK, {})


async def test_limits_are_frozen_in_a_pause_too_and_a_retry_starts_without(house: RolloutHouse) -> None:
    await house.to_step()
    await house.rollouts.move("fraud", Event.PAUSE, expected=None, who="ann", reason="")
    await count_runs(house, FROZEN_FROM)

    await house.tick()
    paused = await house.rollout()
    await house.rollouts.move("fraud", Event.ABORT, expected=None, who="ann", reason="")
    await house.rollouts.move("fraud", Event.RETRY, expected=None, who="ann", reason="")

    assert (paused.phase, dict(paused.limits)) == (Phase.PAUSED, {0: (3, 3, 3)})
    assert dict((await house.rollout()).limits) == {}
