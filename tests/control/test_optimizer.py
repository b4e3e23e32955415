"""Weights that follow labels: who writes, what the history says, and what is refused."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.optimizer import Optimizer, standing
from gateway.core.cohorts import cohort_fields, hour_of
from gateway.core.errors import InvalidDocument, RouteOptimized
from gateway.core.feedback import Fact, Prediction, fields_of
from gateway.core.phases import Event
from gateway.ports.evidence import LEASE_SECONDS
from gateway.ports.labels import Served
from tests.control.fakes import FAILED, no_metrics
from tests.control.rollout_house import RolloutHouse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.control.fakes import House

EVEN = {"1": 50, "2": 50}
BY_ACCURACY = {"by": "accuracy"}


class Labelled(RolloutHouse):
    """A house whose optimizer looks when a test says so, at a clock that stands still meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.optimizer = self.optimizer_of("one")

    def optimizer_of(self, holder: str) -> Optimizer:
        return Optimizer(self.operations, self.store, holder, clock=lambda: self.seconds)

    async def look(self, optimizer: Optimizer | None = None, *, after: float = 61) -> None:
        self.seconds += after
        await (optimizer or self.optimizer).tick()


async def serve(house: House, version: int, right: int, wrong: int) -> None:
    """Let the split's answers of *version*, under the revision that there is now, be labelled."""
    found = await house.store.read("fraud")
    assert found is not None
    for number in range(right + wrong):
        name = f"{version}-{found.revision}-{number}"
        said = Prediction(version, found.revision, "split", classes=("1",))
        await house.store.remember("fraud", [Served(name, version, b"p")], ttl_seconds=60)
        fact = Fact(name, "label", ("1" if number < right else "0",))
        fields = fields_of(said, fact, 0.0)
        cohort = hour_of(time.time()), cohort_fields(said, fields)
        await house.store.label("fraud", name, "label", fact.text, fields, cohort)


@pytest.fixture
def house() -> Labelled:
    return Labelled()


async def test_labels_move_the_weights_by_one_entry_that_says_why(house: Labelled) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY)
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)

    await house.look()
    await house.look()

    entry, *before = await house.history()
    assert await house.split() == {1: 4000, 2: 6000}
    assert (entry.who, entry.revision, len(before)) == ("gateway", 2, 1)
    assert entry.reason.startswith("optimize: version 2 is the best by accuracy with a chance of 1.000 (1: 0.6667 of")


async def test_a_sticky_key_that_gains_stays_and_only_the_step_moves(house: Labelled) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY, assign={"by": "header:x-user-id"})
    keys = [f"user-{number}".encode() for number in range(300)]

    async def versions() -> list[str]:
        return [(await house.operations.explain("fraud", key, lambda *_: ()))["version"] for key in keys]

    before = await versions()
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)
    await house.look()
    after = await versions()

    moved = [old + new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {"12"}
    assert len(moved) / len(keys) == pytest.approx(0.1, abs=0.04)


async def test_nothing_moves_before_its_time_or_without_labels(house: Labelled) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY)
    await house.look()
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)

    await house.look(after=59)

    assert await house.split() == {1: 50, 2: 50}
    await house.look(after=1)
    assert await house.split() == {1: 4000, 2: 6000}


async def test_without_the_member_labels_move_nothing_from_then_on(house: Labelled) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY)
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)
    await house.route(EVEN)

    await house.look()

    assert await house.revision() == 2


async def test_only_whoever_holds_the_lease_moves_weights(house: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY)
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)
    assert await house.store.lease("fraud", "another")

    await house.look()
    assert await house.revision() == 1

    later = time.time() + LEASE_SECONDS + 1
    monkeypatch.setattr("time.time", lambda: later)
    await house.look()
    assert await house.revision() == 2


async def test_who_changes_the_weights_meanwhile_is_not_overruled(
    house: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY)
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)
    read = house.store.cohorts

    async def meanwhile(model: str, hours: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
        await house.operations.set_weights("fraud", {"1": 70, "2": 30}, expected=None, who="ann", reason="")
        return await read(model, hours)

    monkeypatch.setattr(house.store, "cohorts", meanwhile)

    await house.look()

    assert await house.split() == {1: 70, 2: 30}


async def test_a_store_that_is_away_moves_nothing_and_is_no_failure(house: Labelled) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY)
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)
    house.store.stop()

    await house.look()
    house.store.start()

    assert await house.revision() == 1


async def test_a_move_that_is_refused_is_told_once(house: Labelled, caplog: pytest.LogCaptureFixture) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY)
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)
    house.workers.say("fraud", 2, FAILED, "it crashed")
    caplog.set_level(logging.WARNING)

    await house.look()
    await house.look()

    assert await house.revision() == 1
    assert ["do not follow its labels" in each for each in caplog.messages] == [True]


async def test_no_rollout_starts_or_is_tried_again_where_labels_move_the_weights(house: Labelled) -> None:
    await house.begin(2)
    await house.rollouts.move("fraud", Event.ABORT, expected=None, who="ann", reason="")
    await house.route(EVEN, optimize=BY_ACCURACY)

    with pytest.raises(RouteOptimized, match="without the member optimize"):
        await house.begin(3)
    with pytest.raises(RouteOptimized, match="without the member optimize"):
        await house.rollouts.move("fraud", Event.RETRY, expected=None, who="ann", reason="")


async def test_labels_move_no_weights_while_a_rollout_does(house: Labelled) -> None:
    await house.to_step(2)

    with pytest.raises(InvalidDocument, match="a rollout of version 2 moves the weights"):
        await house.route(EVEN, optimize=BY_ACCURACY)


async def test_weights_by_hand_keep_to_the_floor(house: Labelled) -> None:
    await house.route(EVEN, optimize=BY_ACCURACY)

    with pytest.raises(InvalidDocument, match="version 2 has 4"):
        await house.operations.set_weights("fraud", {"1": 96, "2": 4}, expected=None, who="ann", reason="")


async def test_how_the_weights_follow_is_told(house: Labelled) -> None:
    await house.route(EVEN)
    assert await standing(house.operations, "fraud", time.time()) is None
    await house.route(EVEN, optimize=BY_ACCURACY)
    await serve(house, 1, 80, 40)
    await serve(house, 2, 115, 5)

    told: dict[str, Any] = await standing(house.operations, "fraud", time.time()) or {}

    assert (told["by"], told["floor"], told["moves"], told["revision"]) == ("accuracy", "5%", True, 2)
    assert [(each["version"], each["share"], each["labels"]) for each in told["versions"]] == [
        ("1", 0.5, 120), ("2", 0.5, 120),
    ]  # fmt: skip
    assert told["versions"][1]["chance_best"] > 0.99


def test_the_report_of_an_experiment_tells_it_too(house: Labelled) -> None:
    asyncio.run(house.route(EVEN, optimize=BY_ACCURACY))
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {})
    admin = TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5))

    report = admin.get("/api/v1/models/fraud/experiments/report", params={"first": "1", "second": "2"}).json()

    assert report["optimize"]["reason"] == "waits for labels: version 1 has 0 of 100, version 2 has 0 of 100"
