"""What a learner does with labels, with a gateway that is away, and with what operators ask; in process, with fakes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.learning import folder
from gateway.learning.errors import CannotLearn
from tests.learning.world import World, turned

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.learning.learner import Learner


def seen_by_the_scaler(learner: Learner) -> int:
    """Return how many rows the pipeline itself counted."""
    return int(learner.state.pipeline.steps[0][1].n_samples_seen_)


async def test_every_label_is_learned_or_held_out_once_and_acknowledged(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(300)

    learner = await world.learn()

    head = learner.state.head
    assert (head.answers, head.rows + head.held_out) == (300, 300)
    assert seen_by_the_scaler(learner) == head.rows == head.digested
    assert 30 < head.held_out < 90
    assert await world.stream.pending(head.group) == 0


async def test_a_learner_that_dies_before_it_acknowledges_learns_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(300)
    learner = world.learner()
    await world.turn(learner)

    def die() -> None:
        raise KeyboardInterrupt

    world.acknowledging = die
    with pytest.raises(KeyboardInterrupt):
        await world.turn(learner)
    world.acknowledging = lambda: None
    assert await world.stream.pending(learner.state.head.group) == 64

    again = await world.learn()

    assert again.state.head.answers == 300
    assert seen_by_the_scaler(again) == again.state.head.rows
    assert await world.stream.pending(again.state.head.group) == 0


async def test_a_learner_that_dies_before_its_state_is_written_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.label(300)
    learner = world.learner()
    await world.turn(learner)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder.Folder, "save", die)
        with pytest.raises(KeyboardInterrupt):
            await world.turn(learner)

    again = await world.learn()

    assert again.state.head.answers == 300
    assert seen_by_the_scaler(again) == again.state.head.rows


async def test_a_store_that_forgets_an_acknowledgement_is_told_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(64)
    learner = world.learner()

    def be_away() -> None:
        raise StoreUnavailable("the store does not answer")

    world.acknowledging = be_away
    assert not await world.turn(learner)
    world.acknowledging = lambda: None

    await world.learn(learner)

    assert learner.state.head.answers == 64
    assert await world.stream.pending(learner.state.head.group) == 0


async def test_a_state_that_is_lost_is_learned_again_from_what_the_stream_holds(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(100)
    await world.learn()
    (world.folder.root / folder.STATE).unlink()

    again = await world.learn()

    assert again.state.head.answers == 100


async def test_while_the_store_is_away_it_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(10)
    learner = world.learner()
    world.is_store_away = True

    assert not await world.turn(learner)
    assert "does not answer" in world.told[-1]["trouble"]
    world.is_store_away = False
    await world.learn(learner)

    assert learner.state.head.answers == 10
    assert world.told[-1]["trouble"] == ""


async def test_while_the_gateway_is_away_it_learns_and_publishes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    learner = world.learner()
    world.admin.is_away = True
    world.label(600, turned)

    await world.learn(learner)

    assert learner.state.head.answers == 600
    assert world.publisher.made == []
    assert "nothing answers" in world.told[-1]["trouble"]
    world.admin.is_away = False
    await world.turn(learner)
    assert len(world.publisher.made) == 1


async def test_a_paused_learner_leaves_the_labels_in_the_stream(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(10)
    world.folder.order(folder.PAUSED)
    learner = world.learner()

    assert not await world.turn(learner)
    assert (learner.state.head.answers, world.told[-1]["paused"]) == (0, True)
    world.folder.withdraw(folder.PAUSED)
    await world.learn(learner)

    assert learner.state.head.answers == 10


async def test_a_reset_forgets_what_was_learned_and_reads_nothing_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(100)
    learner = await world.learn()
    world.folder.order(folder.RESET)
    world.label(10)

    await world.learn(learner)

    assert learner.state.head.answers == 110
    assert 0 < seen_by_the_scaler(learner) <= 10
    assert not world.folder.has(folder.RESET)


async def test_what_teaches_nothing_is_counted_by_its_reason_and_acknowledged(tmp_path: Path) -> None:
    world = World(tmp_path)
    text = {"input": {"datatype": "BYTES", "shape": [1, 2], "data": ["a", "b"]}}
    world.label(1, kind="reward", said=[0.5])
    world.label(2, inputs=text)
    world.label(3, said=["7"])
    world.label(1, said=["1", "0"])

    learner = await world.learn()

    assert learner.state.head.not_learned == {"reward": 1, "inputs": 2, "label": 3, "rows": 1}
    assert await world.stream.pending(learner.state.head.group) == 0


async def test_numbers_that_no_pipeline_survives_have_it_begin_again_and_not_die(tmp_path: Path) -> None:
    world = World(tmp_path, scale=False)
    huge = {"input": {"datatype": "FP32", "shape": [1, 2], "data": [3e38, -3e38]}}
    world.label(64)
    learner = await world.learn()
    world.label(200, inputs=huge)

    await world.learn(learner)
    world.label(64)
    await world.learn(learner)

    assert learner.state.head.answers == 328
    assert await world.stream.pending(learner.state.head.group) == 0


async def test_a_state_of_another_learner_is_refused_in_words(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(10)
    await world.learn()
    other = World(tmp_path, learner="naive-bayes")

    with pytest.raises(CannotLearn, match="another learner, other classes or other inputs"):
        other.learner()


async def test_two_learners_never_share_a_directory(tmp_path: Path) -> None:
    world = World(tmp_path)

    with world.folder.taken():
        assert world.folder.is_taken()
        with pytest.raises(CannotLearn, match="another learner is running"), world.folder.taken():
            pass

    assert not world.folder.is_taken()


async def test_it_stops_when_it_is_asked_and_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label(10)
    stop = asyncio.Event()
    learner = world.learner()

    running = asyncio.create_task(learner.run(stop))
    await asyncio.sleep(0.2)
    stop.set()
    await asyncio.wait_for(running, 5)

    said: Any = world.folder.said()
    assert (said["running"], said["answers"]) == (False, 10)


@pytest.mark.parametrize("learner", ["sgd", "passive-aggressive", "naive-bayes"])
async def test_every_incremental_learner_learns_what_the_labels_say(tmp_path: Path, learner: str) -> None:
    world = World(tmp_path, learner=learner)
    world.label(600, turned)

    found = await world.learn()

    predicted = found.state.pipeline.predict([[0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [-0.5, -0.5]])
    assert predicted.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("learner", ["linear", "sgd", "naive-bayes"])
async def test_a_batch_learner_knows_the_last_rows_only(tmp_path: Path, learner: str) -> None:
    world = World(tmp_path, strategy="batch", learner=learner, window=200)
    world.label(600)
    world.label(400, turned)

    found = await world.learn()

    assert len(found.state.window) == 200
    assert found.state.pipeline.predict([[0.5, -0.5], [-0.5, 0.5]]).tolist() == [0, 1]


async def test_a_pipeline_that_is_spoiled_is_replaced_and_learning_goes_on(tmp_path: Path) -> None:
    steep = {"learning_rate": "constant", "eta0": 1e300}
    world = World(
        tmp_path, task="regression", classes=None, gate={"by": "1%", "error_scale": 4}, parameters=steep,
    )  # fmt: skip
    world.label(100, lambda x, _: x, predicted=[0.5])

    learner = await world.learn()

    assert "the pipeline could not go on (Floating-point under-/overflow" in learner.state.head.words
    assert (learner.state.head.answers, learner.state.head.digested) == (100, 0)
    assert await world.stream.pending(learner.state.head.group) == 0
