"""The preflight of a canary over all replicas on one store, and what a plan demands before any traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.control.controller import Controller
from gateway.control.operations import Operations
from gateway.control.rollout_news import RolloutNews
from gateway.core.phases import Phase
from gateway.core.versions import VersionState
from gateway.ports.store import REPLICA_SECONDS
from gateway.ports.workers import GoldenResult
from tests.control.fakes import FAILED, LOADING, READY
from tests.control.rollout_house import NumberedFiles, RolloutHouse

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


class Replica:
    """Another gateway on the store of *house*: with workers of its own, and without the lease."""

    def __init__(self, house: RolloutHouse, name: str = "there") -> None:
        self._house = house
        self.workers = NumberedFiles()
        for version in (1, 2, 3):
            self.workers.say("fraud", version, READY)
        operations = Operations(house.store, self.workers, lambda: house.on_disk, house.snapshot, replica=name)
        self._controller = Controller(operations, house.store, RolloutNews(), name)

    async def tick(self) -> None:
        self.workers.revisions["fraud"] = await self._house.revision()
        rollout = (await self._house.held()).rollout
        self.workers.golden = [{2: GoldenResult(rollout.id)} for _ in self.workers.states] if rollout else []
        await self._controller.tick()


async def lacking(house: RolloutHouse) -> str:
    """Return what the replicas say is still to come."""
    current = await house.operations.routes(["fraud"])
    return house.operations.preflight.readiness("fraud", current.routes["fraud"]).lacks


async def walked(house: RolloutHouse, *replicas: Replica, looks: int = 3) -> Phase:
    """Let everybody look a few times, the leader last, and return where the rollout stands."""
    for _ in range(looks):
        for each in replicas:
            await each.tick()
        await house.tick()
    return (await house.rollout()).phase


async def test_two_replicas_that_have_the_canary_let_it_go_on(house: RolloutHouse) -> None:
    await house.begin()
    await house.tick()

    assert await walked(house, Replica(house)) is Phase.STEP


async def test_a_replica_that_cannot_load_the_canary_holds_it_back_and_is_named(house: RolloutHouse) -> None:
    await house.begin()
    await house.tick()
    other = Replica(house)
    other.workers.say("fraud", 2, FAILED, "bad_model: the file is cut off")

    early = await walked(house, other)
    lacks = await lacking(house)
    other.workers.say("fraud", 2, READY)

    assert early is Phase.PREFLIGHT
    assert lacks == "replica there lacks it: version 2 is FAILED on 2 of 2 workers: bad_model: the file is cut off"
    assert await walked(house, other) is Phase.STEP


async def test_a_replica_that_is_gone_holds_nothing_up(house: RolloutHouse) -> None:
    other = Replica(house)
    other.workers.say("fraud", 2, LOADING)
    await house.begin()
    await house.tick()
    early = await walked(house, other)

    ends, words = house.store._replicas["there"]
    house.store._replicas["there"] = (ends - REPLICA_SECONDS, words)

    assert (early, await walked(house, looks=1)) == (Phase.PREFLIGHT, Phase.STEP)


async def test_a_replica_that_is_there_and_has_not_looked_yet_is_waited_for(house: RolloutHouse) -> None:
    await house.store.announce("slow:9090", "{}")
    await house.begin()
    await house.tick()

    assert await walked(house) is Phase.PREFLIGHT


async def test_golden_requests_that_fail_anywhere_take_the_canary_back_before_it_had_traffic(
    house: RolloutHouse,
) -> None:
    house.golden = ("", "request 3: output 'y' differs by 0.5")
    await house.begin()

    phase = await walked(house)

    held, newest = await house.held(), (await house.history())[0]
    assert phase is Phase.ROLLED_BACK
    assert newest.reason == "golden: request 3: output 'y' differs by 0.5"
    assert [each.version for each in held.quarantine] == [2]
    assert all(entry.after is None or entry.after["split"].get("2", 0) == 0 for entry in await house.history())


async def test_golden_requests_that_were_not_replayed_on_every_worker_are_waited_for(house: RolloutHouse) -> None:
    house.golden = ("version 1 has no golden requests", "")
    await house.begin(golden="baseline")
    early = await walked(house)

    house.golden = ("", "")

    assert (early, await walked(house, looks=1)) == (Phase.PREFLIGHT, Phase.STEP)


async def test_what_golden_requests_showed_for_another_rollout_counts_for_nothing(house: RolloutHouse) -> None:
    await house.begin()
    await house.tick()
    await house.follow()
    house.workers.golden = [{2: GoldenResult("another", failed="x")} for _ in house.workers.states]

    await house.controller.tick()

    assert (await house.rollout()).phase is Phase.PREFLIGHT


async def test_a_plan_without_golden_requests_waits_for_none(house: RolloutHouse) -> None:
    house.golden = ("nothing there", "")
    await house.begin(golden="off")

    assert await walked(house) is Phase.STEP


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (None, "does not say so"),
        ({"parity": "holds"}, "does not say so"),
        ({"parity": {"holds": 1}}, "says it did not pass"),
    ],
)
async def test_a_parity_that_the_plan_requires_is_waited_for(
    house: RolloutHouse, extra: Mapping[str, object] | None, said: str
) -> None:
    house.described["fraud", 2] = {} if extra is None else {"extra": extra}
    await house.begin(require=["parity"])
    early = await walked(house)
    lacks = await lacking(house)

    house.described["fraud", 2] = {"extra": {"parity": {"holds": True}}}

    assert early is Phase.PREFLIGHT
    assert "the plan requires parity" in lacks
    assert said in lacks
    assert await walked(house, looks=1) is Phase.STEP


async def test_an_evaluation_that_the_plan_requires_is_waited_for_and_is_that_of_the_canarys_file(
    house: RolloutHouse,
) -> None:
    house.evaluated["fraud", 2, "ab" * 32] = ""
    house.described["fraud", 2] = {"extra": {"evaluation": {"passed": True}}}
    await house.begin(require=["evaluation"])
    early = await walked(house)
    lacks = await lacking(house)

    house.evaluated["fraud", 2, "02" * 32] = ""

    assert early is Phase.PREFLIGHT
    assert lacks == "the plan requires evaluation of version 2: it was not evaluated"
    assert await walked(house, looks=1) is Phase.STEP


async def test_of_several_candidates_each_is_waited_for_and_the_one_that_lacks_something_is_named(
    house: RolloutHouse,
) -> None:
    house.workers.say("fraud", 3, LOADING, worker=1)
    house.evaluated["fraud", 2, "02" * 32] = ""
    await house.begin(2, 3, require=["evaluation"])
    found = [(await walked(house), await lacking(house))]

    house.workers.say("fraud", 3, READY)
    found.append((await walked(house), await lacking(house)))
    house.evaluated["fraud", 3, "03" * 32] = ""
    house.golden_of[3] = ("a file is missing", "")
    found.append((await walked(house), await lacking(house)))
    house.golden_of.clear()

    assert found == [
        (Phase.PREFLIGHT, "version 3 is LOADING on 1 of 2 workers"),
        (Phase.PREFLIGHT, "the plan requires evaluation of version 3: it was not evaluated"),
        (Phase.PREFLIGHT, "a file is missing"),
    ]
    assert await walked(house, looks=1) is Phase.STEP


async def test_one_of_several_that_fails_its_golden_requests_is_taken_back_alone(house: RolloutHouse) -> None:
    house.golden_of[2] = ("", "request 3: output 'y' differs by 0.5")
    await house.begin(2, 3)

    phase = await walked(house, looks=4)

    held = await house.held()
    assert held.rollout is not None
    assert (phase, held.rollout.live) == (Phase.STEP, (3,))
    assert held.rollout.left[2].reason == "golden: request 3: output 'y' differs by 0.5"
    assert [each.version for each in held.quarantine] == [2]
    assert all(not entry.after["split"].get("2") for entry in await house.history() if entry.after)


async def test_a_canary_that_left_the_repository_is_waited_for(house: RolloutHouse) -> None:
    await house.begin()
    await house.tick()
    house.on_disk["fraud"] -= {2}
    for states in house.workers.states:
        del states["fraud", 2]

    assert await walked(house) is Phase.PREFLIGHT


@pytest.mark.parametrize("state", [state for state in VersionState if state is not VersionState.READY])
async def test_one_worker_without_the_canary_is_enough_to_wait(house: RolloutHouse, state: VersionState) -> None:
    house.workers.say("fraud", 2, state, worker=1)
    if state is VersionState.FAILED:
        house.workers.say("fraud", 2, LOADING, worker=1)
    await house.begin()

    assert await walked(house) is Phase.PREFLIGHT
