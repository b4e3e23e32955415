"""Samples of a fleet become findings: against a file, against the first requests, after a restart, and who is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.control.controller import Controller
from gateway.control.drift import FIRST_ROWS, DriftBoard
from gateway.core.drift import State
from gateway.core.drift_counts import Sample
from gateway.core.notification import Kind, Notification, read_notification
from gateway.core.phases import Phase
from gateway.core.reference import LIVE, Column, Reference, read_reference
from gateway.ports.store import SAMPLES_AT_ONCE, SAMPLES_SECONDS
from tests.control.rollout_house import RolloutHouse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.drift import ColumnFinding

DIGEST = f"{1:02x}" * 32
REFERENCE = Reference(
    (Column("amount", "numbers", (0, 500, 500, 0, 0), (0.0, 1.0, 2.0)),), 1000, "rows.csv", sha256=DIGEST
)
USUAL = {"amount": {1: 50, 2: 50}}
SHIFTED = {"amount": {3: 100}}


class DriftHouse(RolloutHouse):
    """A house with a board, and a worker that says what a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[tuple[str, int, str], Reference] = {("fraud", 1, DIGEST): REFERENCE}
        self.board = self.new_board("one")

    def new_controller(self, holder: str) -> Controller:
        def drift(model: str) -> Mapping[int, Sequence[ColumnFinding]]:
            return self.board.of(model)

        return Controller(self.operations, self.store, self.news, holder, drift=drift, clock=lambda: self.store.seconds)

    def new_board(self, holder: str) -> DriftBoard:
        def of(model: str, version: int, sha256: str) -> Reference | None:
            return self.files.get((model, version, sha256))

        return DriftBoard(self.operations, self.store, of, holder, clock=lambda: self.store.seconds)

    async def sampled(
        self,
        counts: Mapping[str, Mapping[int, int]],
        *,
        bins: str = REFERENCE.id,
        rows: int = 100,
        digest: str = DIGEST,
    ) -> None:
        await self.store.sampled("fraud", Sample(1, digest, bins, rows, counts).encoded())

    async def told(self) -> list[Notification]:
        """Return what waits to be told of drift, and take it."""
        found = []
        while (claimed := await self.store.claim("fraud", "ops", seconds=30)) is not None:
            found.append(read_notification(claimed.payload))
            await self.store.settle("fraud", "ops", claimed)
        return [each for each in found if each.kind is Kind.DRIFTED]

    def state(self) -> State:
        return self.board.of("fraud")[1][0].state


@pytest.fixture
async def house() -> DriftHouse:
    house = DriftHouse()
    await house.route({"1": 100})
    await house.store.backlogs({"fraud": ["ops"]})
    await house.board.tick()
    return house


async def test_shifted_rows_are_found_and_told_once_by_one_of_two_replicas(house: DriftHouse) -> None:
    other = house.new_board("two")
    await other.tick()
    for _ in range(3):
        await house.sampled(USUAL)
    await house.board.tick()
    await other.tick()
    assert (house.state(), await house.told()) == (State.UNKNOWN, [])

    for _ in range(2):
        await house.sampled(SHIFTED)
        await house.board.tick()
        await other.tick()

    (told,) = await house.told()
    assert house.state() is State.DRIFTED
    assert other.of("fraud") == house.board.of("fraud")
    assert (told.version, told.revision) == (1, await house.revision())
    assert "amount:" in told.reason
    assert house.board.rows() == {"fraud": {1: 500}}
    assert house.board.reference("fraud", 1) == REFERENCE


async def test_usual_rows_are_never_told_of(house: DriftHouse) -> None:
    for _ in range(30):
        await house.sampled(USUAL)
        await house.board.tick()

    assert house.state() is State.STABLE
    assert await house.told() == []


async def test_a_restart_knows_again_what_drifted_and_does_not_tell_it_again(house: DriftHouse) -> None:
    await house.sampled(SHIFTED)
    await house.board.tick()
    assert len(await house.told()) == 1

    house.board = house.new_board("one")
    await house.board.tick()
    await house.board.tick()

    assert house.state() is State.DRIFTED
    assert await house.told() == []


async def test_a_restart_with_more_samples_than_come_at_once_is_told_nothing_of_the_past(house: DriftHouse) -> None:
    for _ in range(SAMPLES_AT_ONCE + 1):
        await house.sampled(SHIFTED)

    house.board = house.new_board("one")
    await house.board.tick()
    await house.board.tick()
    await house.board.tick()

    assert await house.told() == []


async def test_a_column_that_the_route_ignores_is_shown_and_not_told(house: DriftHouse) -> None:
    await house.route({"1": 100}, drift={"pause": True, "ignore": ["amount"]})

    await house.sampled(SHIFTED)
    await house.board.tick()

    assert house.state() is State.IGNORED
    assert await house.told() == []


async def test_a_version_without_a_file_is_compared_with_its_first_requests(house: DriftHouse) -> None:
    house.files.clear()
    fine = {"amount": dict.fromkeys(range(1000, 1010), 10)}
    for _ in range(FIRST_ROWS // 100):
        await house.sampled(fine, bins="")
    await house.board.tick()
    reference = house.board.reference("fraud", 1)
    assert reference is not None
    assert (reference.source, reference.rows) == (LIVE, FIRST_ROWS)

    again = house.new_board("two")
    await house.sampled(fine, bins="")
    await again.tick()
    await house.sampled({"amount": {1500: 100}}, bins="")
    await house.board.tick()

    assert house.state() is State.DRIFTED
    assert again.reference("fraud", 1) == reference
    assert read_reference(await house.store.keep_reference("fraud", 1, DIGEST, b"")) == reference


async def test_before_there_are_enough_first_requests_nothing_is_said(house: DriftHouse) -> None:
    house.files.clear()
    await house.sampled({"amount": {1000: 100}}, bins="")
    await house.board.tick()

    assert (house.board.of("fraud"), house.board.rows()) == ({}, {"fraud": {1: 100}})
    assert house.board.reference("fraud", 1) is None


async def test_a_file_that_comes_later_takes_the_place_of_the_first_requests_and_back(house: DriftHouse) -> None:
    files, house.files = house.files, {}
    for _ in range(11):
        await house.sampled({"amount": {1000: 100}}, bins="")
    await house.board.tick()

    house.files = files
    await house.sampled(USUAL)
    await house.board.tick()
    assert house.board.reference("fraud", 1) == REFERENCE
    await house.sampled({"amount": {1000: 100}}, bins="")
    await house.board.tick()
    assert house.board.reference("fraud", 1) == REFERENCE
    house.files = {}
    await house.sampled({"amount": {1000: 100}}, bins="")
    await house.board.tick()

    kept = house.board.reference("fraud", 1)
    assert kept is not None
    assert kept.source == LIVE


async def test_samples_in_bins_that_nobody_has_any_more_are_left_out(house: DriftHouse) -> None:
    await house.sampled(SHIFTED, bins="0" * 16)
    await house.board.tick()

    assert house.board.of("fraud") == {}


async def test_another_file_of_the_same_version_begins_anew(house: DriftHouse) -> None:
    await house.sampled(SHIFTED)
    await house.board.tick()
    other = "cd" * 32
    newer = replace(REFERENCE, sha256=other)
    house.files["fraud", 1, other] = newer

    await house.sampled(USUAL, bins=newer.id, digest=other)
    await house.board.tick()

    assert (house.state(), house.board.rows()) == (State.UNKNOWN, {"fraud": {1: 100}})


async def test_garbage_in_the_store_is_left_out(house: DriftHouse, caplog: pytest.LogCaptureFixture) -> None:
    house.files.clear()
    await house.store.keep_reference("fraud", 1, DIGEST, b"garbage")
    await house.store.sampled("fraud", b"garbage")
    await house.sampled({"amount": {1000: 100}}, bins="")

    await house.board.tick()

    assert house.board.of("fraud") == {}
    assert "left out" in caplog.text


async def test_without_the_store_what_is_known_is_shown(house: DriftHouse) -> None:
    await house.sampled(SHIFTED)
    await house.board.tick()
    house.store.stop()

    await house.board.tick()

    assert house.state() is State.DRIFTED


async def test_what_was_not_asked_for_an_hour_and_models_that_are_gone_are_forgotten(house: DriftHouse) -> None:
    await house.sampled(SHIFTED)
    await house.board.tick()

    house.store.seconds += SAMPLES_SECONDS
    await house.board.tick()

    assert house.board.findings() == {"fraud": {}}


async def test_drift_holds_a_rollout_whose_route_wants_that_until_it_ends(house: DriftHouse) -> None:
    await house.route({"1": 100}, drift={"pause": True})
    await house.to_step(steps=[{"weight": 5, "for": "24h"}])
    await house.sampled(SHIFTED)
    await house.board.tick()

    await house.tick()
    held = await house.rollout()
    for _ in range(40):
        await house.sampled(USUAL)
    await house.board.tick()
    await house.tick()
    await house.tick()

    assert (held.phase, held.reason.startswith("drift: version 1: amount: 100% of the last")) == (Phase.HOLD, True)
    assert (await house.rollout()).phase is Phase.STEP


async def test_drift_holds_no_rollout_whose_route_does_not_say_so(house: DriftHouse) -> None:
    await house.to_step(steps=[{"weight": 5, "for": "24h"}])
    await house.sampled(SHIFTED)
    await house.board.tick()

    await house.tick()

    assert (await house.rollout()).phase is Phase.STEP
