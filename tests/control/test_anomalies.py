"""A version that leaves its own ordinary is told of once, and what is shown of it and of drift by the admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.anomalies import AnomalyBoard
from gateway.control.drift import DriftBoard
from gateway.control.drift_answers import Boards
from gateway.core.anomalies import LEAST_HISTORY, NEWEST, WINDOW_SECONDS
from gateway.core.drift_counts import Sample
from gateway.core.notification import Kind, Notification, read_notification
from gateway.core.reference import Column, Reference
from gateway.ports.metrics import Window
from tests.control.fakes import House, no_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGEST = "ab" * 32
REFERENCE = Reference(
    (Column("amount", "numbers", (0, 900, 100, 0, 0), (0.0, 1.0, 2.0)),), 1000, "rows.csv", "now", DIGEST
)
USUAL = Window(1000, 0, 0.010)
SLOW = Window(1000, 0, 0.041)


class WatchedHouse(House):
    """A house whose workers count what a test says; *now* is its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.window = USUAL
        self.anomalies = AnomalyBoard(self.operations, self.store, self, "one", clock=lambda: self.now)
        drift = DriftBoard(self.operations, self.store, lambda *_: REFERENCE, "one", clock=lambda: self.now)
        self.boards = Boards(drift, self.anomalies)

    def take(self) -> Mapping[tuple[str, str], Window]:
        return {("fraud", "3"): self.window, ("_unknown", ""): self.window}

    async def pass_windows(self, many: int, window: Window = USUAL) -> None:
        for _ in range(many):
            self.now += WINDOW_SECONDS
            self.window = window
            await self.boards.tick()

    async def told(self) -> list[Notification]:
        found = []
        while (claimed := await self.store.claim("fraud", "ops", seconds=30)) is not None:
            found.append(read_notification(claimed.payload))
            await self.store.settle("fraud", "ops", claimed)
        return [each for each in found if each.kind is Kind.UNUSUAL]


@pytest.fixture
async def house() -> WatchedHouse:
    house = WatchedHouse()
    await house.route({"1": 1})
    await house.store.backlogs({"fraud": ["ops"]})
    await house.boards.tick()
    return house


async def test_a_version_that_became_slow_is_told_of_once(house: WatchedHouse) -> None:
    await house.pass_windows(LEAST_HISTORY + NEWEST)
    assert await house.told() == []

    await house.pass_windows(NEWEST + 5, SLOW)

    (told,) = await house.told()
    assert (told.version, told.reason) == (3, "p95 of fraud/3 is 41 ms, usually 10-10 ms")
    await house.pass_windows(NEWEST)
    assert house.anomalies.anomalies() == {"fraud": {3: []}}


async def test_a_look_that_comes_early_takes_no_window(house: WatchedHouse) -> None:
    await house.pass_windows(LEAST_HISTORY + NEWEST)
    house.window = SLOW
    for _ in range(20):
        house.now += 0.1
        await house.boards.tick()

    assert await house.told() == []


async def test_another_process_that_leads_tells_and_this_one_does_not(house: WatchedHouse) -> None:
    assert await house.store.lease("fraud", "two")

    await house.pass_windows(LEAST_HISTORY + NEWEST)
    await house.pass_windows(NEWEST, SLOW)

    assert await house.told() == []
    assert len(house.anomalies.anomalies()["fraud"][3]) == 1


async def test_without_the_store_anomalies_are_seen_and_nobody_is_told(house: WatchedHouse) -> None:
    await house.pass_windows(LEAST_HISTORY + NEWEST)
    house.store.stop()

    await house.pass_windows(NEWEST, SLOW)

    assert len(house.anomalies.anomalies()["fraud"][3]) == 1


async def test_the_admin_api_shows_both_with_reasons(house: WatchedHouse) -> None:
    shifted = {"amount": {3: 100}}
    await house.store.sampled("fraud", Sample(1, DIGEST, REFERENCE.id, 100, shifted).encoded())
    await house.pass_windows(LEAST_HISTORY + NEWEST)
    await house.pass_windows(NEWEST, SLOW)
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, drift=house.boards)

    with TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5)) as client:
        answer = client.get("/api/v1/models/fraud/drift").json()
        unknown = client.get("/api/v1/models/ghost/drift")

    one, three = answer["versions"]
    assert unknown.status_code == 404
    assert one["reference"] == {"source": "rows.csv", "rows": 1000, "created": "now", "digest": ""}
    assert (one["version"], one["drifted"], one["rows"]) == ("1", True, 100)
    assert one["reasons"] == [one["columns"][0]["reason"]]
    assert one["columns"][0]["column"] == "amount"
    assert (three["version"], three["reference"], three["drifted"]) == ("3", None, False)
    assert three["anomalies"][0]["series"] == "latency_p95"


def test_where_nobody_looks_nothing_is_known() -> None:
    house = House()
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {})

    with TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5)) as client:
        assert client.get("/api/v1/models/fraud/drift").json() == {"model": "fraud", "versions": []}
