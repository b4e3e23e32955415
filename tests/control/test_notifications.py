"""What each door writes into the outbox, and what the admin API shows and does about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.reverter import StoreReverter
from gateway.control.watching_answers import look
from gateway.core.errors import RevisionConflict
from gateway.core.notification import Notification, read_notification
from gateway.core.phases import Event
from gateway.notifications.courier import Courier
from gateway.notifications.post import Reply
from gateway.notifications.targets import Target
from tests.control.fakes import FakeDoor, no_metrics
from tests.control.rollout_house import RolloutHouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPS = Target("ops", "https://hooks.example.com/very/secret", secrets=(b"k" * 24,))


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


def told(house: RolloutHouse) -> list[Notification]:
    return [read_notification(each.payload) for each in house.store._outboxes.get("fraud", ())]


def kinds(house: RolloutHouse) -> list[str]:
    return [each.kind.value for each in told(house)]


async def test_a_rollout_is_told_from_its_start_to_its_end(house: RolloutHouse) -> None:
    await house.to_step()
    await house.rollouts.move("fraud", Event.PAUSE, expected=None, who="ann", reason="lunch")
    await house.rollouts.move("fraud", Event.RESUME, expected=None, who="ann", reason="")
    await house.rollouts.move("fraud", Event.ABORT, expected=None, who="bob", reason="enough")

    assert kinds(house) == [
        "route.changed", "rollout.started", "rollout.advanced", "rollout.paused", "rollout.resumed", "rollout.aborted",
    ]  # fmt: skip
    last = told(house)[-1]
    assert (last.actor, last.version, dict(last.before), dict(last.after)) == ("bob", 2, {1: 95, 2: 5}, {1: 100, 2: 0})
    assert "enough" in last.reason
    assert last.revision == await house.revision()


async def test_a_workers_rollback_is_told_with_its_guard_in_the_write_that_made_it(house: RolloutHouse) -> None:
    rollout = await house.to_step()
    digest = "02" * 32

    reverter = StoreReverter(house.store, lambda _model, _version: digest)
    await reverter.roll_back("fraud", rollout.id, 2, "E 300", "errors")

    back, quarantined = told(house)[-2:]
    assert (back.kind.value, quarantined.kind.value) == ("rollout.rolled_back", "version.quarantined")
    assert back.reason == quarantined.reason == "errors: E 300"
    assert back.revision == quarantined.revision == await house.revision()


async def test_a_change_of_weights_under_a_rollout_tells_both(house: RolloutHouse) -> None:
    await house.to_step()

    await house.operations.set_weights("fraud", {"1": 50, "2": 50}, expected=None, who="ann", reason="half")

    assert kinds(house)[-2:] == ["route.changed", "rollout.paused"]
    assert told(house)[-1].reason == "ann changed the weights"


async def test_what_changes_nothing_or_is_refused_tells_nothing(house: RolloutHouse) -> None:
    await house.route({"1": 100})
    before = kinds(house)

    await house.route({"1": 100})
    with pytest.raises(RevisionConflict):
        await house.operations.set_weights("fraud", {"1": 1}, expected=7, who="ann", reason="")

    assert kinds(house) == before


async def test_a_restore_after_a_wipe_is_told(house: RolloutHouse) -> None:
    house.snapshot.keep("fraud", {"1": 100})

    await house.operations.restore("fraud", None, expected=None, who="ann", reason="wiped")

    assert [(each.kind.value, each.reason) for each in told(house)] == [("route.changed", "wiped")]


async def test_the_stream_of_events_shows_a_rollback_with_its_reason(house: RolloutHouse) -> None:
    rollout = await house.to_step()
    await StoreReverter(house.store, lambda *_: "").roll_back("fraud", rollout.id, 2, "E 300 of 100", "errors")

    view = (await look(house.operations, house.workers))["model fraud"]

    assert (view["rollout"]["phase"], view["rollout"]["reason"]) == ("rolled_back", "errors: E 300 of 100")
    assert view["route"]["split"] == {"1": 100, "2": 0}


class Desk:
    """An admin API over a courier whose target says what *status* says."""

    def __init__(self, house: RolloutHouse, client: TestClient) -> None:
        self.house = house
        self.client = client
        self.status = 410
        self.courier = Courier(house.store, lambda: ["fraud"], [OPS], deliver=self.deliver)

    async def deliver(self, _url: str, _headers: Mapping[str, str], _body: bytes) -> Reply:
        return Reply(self.status)

    def tick(self) -> None:
        async def look_and_wait() -> None:
            await self.courier.tick()
            await asyncio.gather(*self.courier._rounds.values())

        asyncio.run(look_and_wait())

    def show(self) -> Any:
        answer = self.client.get("/api/v1/notifications", headers={"authorization": "Bearer viewer"})
        assert answer.status_code == 200
        return answer.json()

    def retry(self, role: str = "operator", **body: Any) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {role}"}
        answer = self.client.post("/api/v1/notifications/retry", json=body, headers=headers)
        return answer.status_code, answer.json()


@pytest.fixture
def desk(house: RolloutHouse) -> Iterator[Desk]:
    made = Desk(house, TestClient(None))  # type: ignore[arg-type]  # replaced at once: the two know each other
    app = create_admin(
        house.operations, house.workers, FakeDoor(), no_metrics, {}, notifications=made.courier
    )  # fmt: skip
    with TestClient(app, base_url="http://127.0.0.1:9090") as client:
        made.client = client
        yield made


def test_what_was_given_up_is_shown_with_its_reason_and_no_secret(house: RolloutHouse, desk: Desk) -> None:
    asyncio.run(house.route({"1": 100}))
    desk.tick()

    shown = desk.show()

    (target,), (given_up,) = shown["targets"], shown["given_up"]
    assert (target["name"], target["host"], target["given_up"]) == ("ops", "hooks.example.com", 1)
    assert "secret" not in str(target)
    assert (given_up["model"], given_up["target"], given_up["type"]) == ("fraud", "ops", "route.changed")
    assert given_up["reason"] == "answered 410"


def test_what_was_given_up_is_tried_again_by_an_operator_all_or_one(house: RolloutHouse, desk: Desk) -> None:
    for weight in (1, 2):
        asyncio.run(house.route({"1": 100, "2": weight}))
    desk.tick()
    keys = [each["key"] for each in desk.show()["given_up"]]
    desk.status = 204

    assert desk.retry("viewer", model="fraud")[0] == 403
    assert desk.retry(model="fraud", key=keys[1]) == (202, {"model": "fraud", "again": [keys[1]]})
    assert desk.retry(model="fraud") == (202, {"model": "fraud", "again": [keys[0]]})
    desk.tick()
    assert (desk.show()["given_up"], desk.show()["targets"][0]["delivered"]) == ([], 2)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422), ({"model": "nobody"}, 404), ({"model": "fraud", "key": "x"}, 422),
        ({"model": "fraud", "key": "7-0"}, 404), ({"model": "fraud"}, 202), ({"model": "fraud", "all": True}, 422),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_again_is_refused(desk: Desk, body: dict[str, Any], status: int) -> None:
    assert desk.retry(**body)[0] == status


def test_what_cannot_be_read_is_shown_without_its_kind(house: RolloutHouse, desk: Desk) -> None:
    house.store._append("fraud", "id-1", b"garbage", 0)
    desk.tick()

    assert [each["type"] for each in desk.show()["given_up"]] == [None]


def test_where_nobody_is_told_the_list_is_empty(house: RolloutHouse) -> None:
    app = create_admin(house.operations, house.workers, FakeDoor(), no_metrics, {})
    with TestClient(app, base_url="http://127.0.0.1:9090") as client:
        shown = client.get("/api/v1/notifications", headers={"authorization": "Bearer viewer"}).json()
        asked = client.post(
            "/api/v1/notifications/retry",
            json={"model": "fraud", "key": "7-0"},
            headers={"authorization": "Bearer operator"},
        )

    assert shown == {"targets": [], "given_up": []}
    assert asked.status_code == 404
