"""What the gateway's own drift report changes for a learner that hears it; with fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.learning.world import World, turned

if TYPE_CHECKING:
    from pathlib import Path

FOUND = ("input[0]: 62% of the last 214 rows are above 1 (PSI 4.31)", "prediction: all are 1")
RARELY = {"labels": 1_000_000}


async def test_drift_has_the_comparison_begin_anew_and_the_gate_looked_at_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, publish={**RARELY, "on_drift": True})
    world.label(400, turned)
    learner = await world.learn()
    assert learner.state.head.comparison.rows > 200
    assert world.publisher.made == []
    world.admin.drift = FOUND

    await world.turn(learner)
    after = learner.state.head.comparison.rows
    world.label(400, turned)
    await world.learn(learner)

    assert after == 0
    assert len(world.publisher.made) == 1, "long before the labels of the schedule came"


async def test_drift_is_heard_once_until_it_ends(tmp_path: Path) -> None:
    world = World(tmp_path, publish={**RARELY, "on_drift": True})
    learner = await world.learn()
    world.admin.drift = FOUND
    await world.turn(learner)
    words = learner.state.head.words
    world.label(100)
    await world.learn(learner)
    assert (learner.state.head.drifts, learner.state.head.comparison.rows > 20) == (1, True)

    world.admin.drift = ()
    await world.turn(learner)
    world.admin.drift = FOUND
    await world.turn(learner)

    assert "version 1 is asked something else (input[0]: 62%" in words
    assert (learner.state.head.drifts, learner.state.head.comparison.rows) == (2, 0)


async def test_a_learner_that_was_killed_does_not_hear_the_same_drift_again(tmp_path: Path) -> None:
    world = World(tmp_path, publish={**RARELY, "on_drift": True})
    world.admin.drift = FOUND
    world.label(100)
    await world.learn()

    again = await world.learn()

    assert (again.state.head.drifts, again.state.head.is_drifting, again.state.head.has_drifted) == (1, True, True)


async def test_another_version_that_drifts_too_is_heard_for_itself(tmp_path: Path) -> None:
    world = World(tmp_path, publish={**RARELY, "on_drift": True})
    world.admin.drift = FOUND
    learner = await world.learn()
    world.admin.serves = 5

    await world.turn(learner)

    assert learner.state.head.drifts == 2
    assert "version 5 is asked something else" in learner.state.head.words


async def test_drift_is_not_asked_for_where_the_document_does_not_say_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.admin.drift = FOUND
    world.label(100)

    learner = await world.learn()

    assert (learner.state.head.drifts, learner.state.head.has_drifted) == (0, False)
