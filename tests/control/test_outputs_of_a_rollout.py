"""From what two versions answer to what becomes of the rollout: worker, store and controller together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.analysis import LEAST_OUTPUTS
from gateway.core.phases import Phase
from gateway.core.signature import Signature, TensorSpec
from gateway.core.watching import Mark
from gateway.serving.evidence import EvidenceDuty
from tests.control.rollout_house import RolloutHouse
from tests.serving.fakes import Dispatched, Floor, compiled
from tests.serving.test_evidence import FakeReverter
from tests.serving.test_watched import arm_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ports.engine import Tensor

IN = (TensorSpec("x", "FP32", (-1, 2)),)
CLASSES = Signature(IN, (TensorSpec("label", "INT64", (-1,)),))
NUMBERS = Signature(IN, (TensorSpec("price", "FP32", (-1,)),))
TOGETHER = 16
"""Rows of a request."""


class Fleet:
    """One worker under the rollout of a house, asked as often as a test says."""

    def __init__(self, house: RolloutHouse, signature: Signature) -> None:
        self.house = house
        self.floor = Floor()
        self.duty = EvidenceDuty(self.floor.adoption.trials, house.store, FakeReverter(), "w1")
        self._signature = signature
        self._draws = np.random.default_rng(3)

    def hold(self, version: int, answer: Callable[[Tensor], Tensor]) -> None:
        """Have *version* answer with *answer* of a uniform number in [0, 1) per row."""

        def run(feeds: Mapping[str, Tensor]) -> list[Tensor]:
            return [answer(feeds["x"][:, 0])]

        self.floor.held.hold("fraud", version, run, signature=self._signature)

    async def follow(self) -> None:
        """Serve the house's route."""
        split = {str(version): weight for version, weight in (await self.house.split()).items()}
        routing, revision = compiled(split, baseline="1"), await self.house.revision()
        self.floor.adoption.want(Mark("a", revision, str(revision)), routing, await self.house.rollout())

    async def answer(self, rows: int) -> None:
        """Answer so many *rows* of each version, and tell the store."""
        for number in range(rows // TOGETHER):
            for version in (1, 2):
                feeds = self._draws.random((TOGETHER, 2)).astype(np.float32)
                await Dispatched(arm_of(self.floor, version), feeds).ending()
            if number % 20 == 19:
                await self.tell()
        await self.tell()

    async def tell(self) -> None:
        for _ in range(2):
            async with asyncio.TaskGroup() as exchanges:
                self.duty.go_round(exchanges)


def class_below(border: float) -> Callable[[Tensor], Tensor]:
    return lambda draws: (draws < border).astype(np.int64)


async def fleet_of(house: RolloutHouse, signature: Signature) -> Fleet:
    await house.to_step(min_units=100_000, steps=[{"weight": 50, "for": "1h"}])
    return Fleet(house, signature)


async def test_a_canary_that_answers_everybody_alike_is_taken_back() -> None:
    house = RolloutHouse()
    fleet = await fleet_of(house, CLASSES)
    fleet.hold(1, class_below(0.3))
    fleet.hold(2, class_below(0.0))
    await fleet.follow()

    await fleet.answer(LEAST_OUTPUTS - TOGETHER)
    await house.tick()
    before = (await house.rollout()).phase
    await fleet.answer(2 * TOGETHER)
    await house.tick()

    assert (before, (await house.rollout()).phase) == (Phase.STEP, Phase.ROLLED_BACK)
    assert (await house.history())[0].reason.startswith("outputs: ")


async def test_a_canary_that_answers_otherwise_holds_and_says_by_how_much() -> None:
    house = RolloutHouse()
    fleet = await fleet_of(house, CLASSES)
    fleet.hold(1, class_below(0.3))
    fleet.hold(2, class_below(0.7))
    await fleet.follow()

    await fleet.answer(LEAST_OUTPUTS + 2 * TOGETHER)
    await house.tick()

    rollout = await house.rollout()
    assert rollout.phase is Phase.HOLD
    assert "stability index" in rollout.reason


async def test_a_canary_that_answers_like_the_baseline_goes_on() -> None:
    house = RolloutHouse()
    fleet = await fleet_of(house, CLASSES)
    fleet.hold(1, class_below(0.3))
    fleet.hold(2, class_below(0.33))
    await fleet.follow()

    await fleet.answer(2 * LEAST_OUTPUTS)
    await house.tick()

    assert (await house.rollout()).phase is Phase.STEP


async def test_numbers_are_held_against_the_deciles_that_the_controller_froze() -> None:
    house = RolloutHouse()
    fleet = await fleet_of(house, NUMBERS)
    fleet.hold(1, lambda draws: 100 + 100 * draws)
    fleet.hold(2, lambda draws: 150 + 100 * draws)
    await fleet.follow()

    await fleet.answer(LEAST_OUTPUTS + 2 * TOGETHER)
    await house.tick()
    frozen = await house.rollout()
    reason = (await house.history())[0].reason
    await fleet.follow()
    await fleet.answer(LEAST_OUTPUTS + 2 * TOGETHER)
    await house.tick()

    assert len(frozen.deciles) == 9
    assert frozen.phase is Phase.STEP
    assert "have the deciles" in reason
    assert (await house.rollout()).phase is Phase.HOLD
