"""What goes out, when it does, and what a learner does after a version was promoted or taken back; with fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.convert.errors import CannotConvert
from gateway.core.phases import Phase
from gateway.learning import folder
from tests.learning.world import PLAN, World, flipped, turned

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.learning.learner import Learner


async def published(world: World) -> Learner:
    """Return a learner whose version 2 is in its rollout."""
    world.label(600, turned)
    learner = await world.learn()
    await world.turn(learner)
    assert [each[0] for each in world.admin.started] == [2]
    return learner


async def test_a_learner_that_is_surely_better_sends_one_version_out_with_its_plan(tmp_path: Path) -> None:
    world = World(tmp_path)

    learner = await published(world)
    world.label(300, turned)
    await world.learn(learner)

    assert len(world.publisher.made) == 1, "one rollout at a time"
    ((version, plan, reason),) = world.admin.started
    assert (version, plan) == (2, PLAN)
    assert "mean gain differs by +0." in reason
    made = world.publisher.made[0]
    assert (made.serving, made.relation) == (1, "trained-from")
    assert made.known["training_data"]["rows"] > 100
    assert made.known["learner"]["document"]["learner"] == "sgd"


async def test_a_learner_that_is_no_better_sends_nothing_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(1_000)

    learner = await world.learn()

    assert world.publisher.made == []
    assert "not published" in learner.state.head.words


async def test_a_stretch_of_wrong_labels_is_caught_by_the_rows_that_were_held_out(tmp_path: Path) -> None:
    world = World(tmp_path, hold_out={"share": "20%", "rows": 200, "least": 50}, gate={"by": "1%", "least": 20})
    world.label(1_500)
    learner = await world.learn()
    world.label(400, flipped)

    await world.learn(learner)
    words = learner.state.head.words
    world.label(1_500)
    await world.learn(learner)

    assert "labels learned last may be wrong" in words
    assert world.publisher.made == []


async def test_the_same_stretch_goes_out_where_nothing_is_held_out(tmp_path: Path) -> None:
    world = World(tmp_path, hold_out={"share": "0%"}, gate={"by": "1%", "least": 20})
    world.label(1_500)
    learner = await world.learn()
    world.label(400, flipped)

    await world.learn(learner)

    assert len(world.publisher.made) == 1, "so it is the held-out rows that catch it"


async def test_a_change_that_lasts_is_believed_once_it_is_older_than_the_held_out_rows(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(1_000)
    learner = await world.learn()
    world.label(1_000, flipped)

    await world.learn(learner)

    assert learner.state.head.changes >= 1
    assert len(world.publisher.made) == 1


async def test_a_version_that_was_taken_back_has_the_learner_begin_again_and_wait(tmp_path: Path) -> None:
    world = World(tmp_path)
    learner = await published(world)
    world.admin.end(Phase.ROLLED_BACK)
    await world.turn(learner)

    head = learner.state.head
    assert "version 2 was taken back (rolled_back: labels); learning begins again from version 1, and waits 60 s" in (
        head.words
    )
    assert (head.digested, head.comparison.rows, len(learner.state.held)) == (0, 0, 0)
    until = world.now + 40
    while world.now < until:
        world.label(64, turned)
        await world.turn(learner)
    assert len(world.publisher.made) == 1, "it waits"
    world.now += 60
    world.label(64, turned)
    await world.learn(learner)
    await world.turn(learner)
    assert [each[0] for each in world.admin.started] == [2, 3]


async def test_the_wait_doubles_and_survives_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    learner = await published(world)
    world.admin.end(Phase.ABORTED)
    await world.turn(learner)
    world.now += 61
    world.label(600, turned)
    await world.learn(learner)
    await world.turn(learner)
    world.admin.end(Phase.ROLLED_BACK)
    await world.turn(learner)

    again = world.learner()

    assert again.state.head.failures == 2
    assert 110 < again.state.head.wait_until - world.now <= 120


async def test_a_promoted_version_is_what_the_next_one_is_fine_tuned_from(tmp_path: Path) -> None:
    world = World(tmp_path)
    learner = await published(world)
    world.admin.end(Phase.SUCCEEDED)
    await world.turn(learner)
    assert (learner.state.head.serving, learner.state.head.comparison.rows) == (2, 0)

    world.label(1_000, flipped)
    await world.learn(learner)
    await world.turn(learner)

    assert (world.publisher.made[1].serving, world.publisher.made[1].relation) == (2, "fine-tuned-from")
    world.admin.end(Phase.ROLLED_BACK)
    await world.turn(learner)
    kept = world.folder.kept(2)
    assert kept is not None
    assert learner.state.pipeline.predict([[0.3, -0.4]]) == kept.predict([[0.3, -0.4]])
    assert learner.state.head.base == 2


async def test_nothing_goes_out_while_somebody_elses_rollout_is_under_way(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.admin.phase, world.admin.candidate = Phase.STEP, 9
    world.label(600, turned)

    learner = await world.learn()
    assert world.publisher.made == []
    world.admin.end(Phase.ABORTED)
    await world.turn(learner)

    assert len(world.publisher.made) == 1


async def test_a_rollout_that_another_one_replaced_is_no_failure(tmp_path: Path) -> None:
    world = World(tmp_path)
    learner = await published(world)
    world.admin.phase, world.admin.candidate = Phase.STEP, 9

    await world.turn(learner)

    assert (learner.state.head.published, learner.state.head.failures) == (0, 0)
    assert "another rollout took the place" in learner.state.head.words


async def test_answers_of_other_versions_teach_and_are_not_compared(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(600, turned, version="9")

    learner = await world.learn()

    assert learner.state.head.rows > 400
    assert learner.state.head.comparison.rows == 0
    assert world.publisher.made == []


async def test_another_serving_version_is_compared_afresh(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(200)
    learner = await world.learn()
    world.admin.serves = 5

    await world.turn(learner)

    assert (learner.state.head.serving, learner.state.head.comparison.rows) == (5, 0)
    assert "version 5 serves now in place of 1" in learner.state.head.words


async def test_a_gateway_that_needs_time_to_find_the_version_is_asked_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.admin.refusal = "version 2 is not known"
    world.label(600, turned)
    learner = await world.learn()
    for _ in range(5):
        await world.turn(learner)
    world.admin.refusal = ""

    await world.turn(learner)

    assert [each[0] for each in world.admin.started] == [2]


async def test_a_rollout_that_is_refused_for_a_minute_is_given_up_with_the_gateways_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.admin.refusal = "version 2 is quarantined"
    world.label(600, turned)
    learner = await world.learn()
    for _ in range(65):
        await world.turn(learner)

    assert "the rollout of version 2 was refused: version 2 is quarantined" in learner.state.head.words
    assert learner.state.head.failures == 1


@pytest.mark.parametrize("how", ["raises", "failed"])
async def test_what_cannot_be_published_waits_like_a_version_that_was_taken_back(tmp_path: Path, how: str) -> None:
    world = World(tmp_path)
    if how == "raises":
        world.publisher.raises = CannotConvert("callers of version 1 would notice the new one")
    else:
        world.publisher.failed = "3 rows lie beyond the tolerance"
    world.label(600, turned)

    learner = await world.learn()

    assert world.admin.started == []
    assert learner.state.head.failures == 1
    assert ("would notice" if how == "raises" else "published as FAILED") in learner.state.head.words


async def test_a_learner_that_dies_while_it_publishes_makes_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.label(600, turned)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder.Folder, "keep", die)
        with pytest.raises(KeyboardInterrupt):
            await world.learn()
    assert len(world.publisher.made) == 1

    again = await world.learn()
    await world.turn(again)

    assert len(world.publisher.made) == 1
    assert [each[0] for each in world.admin.started] == [2]


async def test_a_rollout_that_was_accepted_before_the_learner_died_is_not_started_twice(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(600, turned)
    learner = await world.learn()
    assert learner.state.head.published == 2
    world.admin.phase, world.admin.candidate = Phase.PREFLIGHT, 2
    world.admin.started.clear()
    learner.state.head.is_started = False

    await world.turn(learner)

    assert world.admin.started == []
    assert learner.state.head.is_started


async def test_a_number_is_learned_and_compared_by_its_error(tmp_path: Path) -> None:
    world = World(
        tmp_path, task="regression", classes=None, gate={"by": "1%", "least": 50, "error_scale": 4},
    )  # fmt: skip
    world.label(800, lambda x, y: 3 * x - y, predicted=[9.0])

    learner = await world.learn()
    await world.turn(learner)

    assert [each[0] for each in world.admin.started] == [2]
    assert learner.state.pipeline.predict([[0.5, 0.5]])[0] == pytest.approx(1.0, abs=0.3)
