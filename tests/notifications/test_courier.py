"""The courier: at least once, in order, never in the way of another, and what is given up is kept and told."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.notification import Kind, Notification
from gateway.notifications import courier as couriers
from gateway.notifications.courier import GIVE_UP_SECONDS, LONGEST_PAUSE_SECONDS, Courier, pause_seconds
from gateway.notifications.links import LinkMaker
from gateway.notifications.post import PostFailed, Reply
from gateway.notifications.targets import Target
from gateway.store.memory import MemoryRouteStore

if TYPE_CHECKING:
    from collections.abc import Mapping

OPS = Target("ops", "http://ops/", secrets=(b"k" * 24,))
CHAT = Target("chat", "http://chat/", format="slack", events=frozenset({Kind.ROLLED_BACK}))
EU = Target("eu", "http://eu/", models=("eu-",), secrets=(b"k" * 24,))


class Post:
    """Remembers what was sent to whom; *answers* has what a target says next, 204 where nothing is left."""

    def __init__(self, **answers: list[Reply | PostFailed]) -> None:
        self.answers = answers
        self.sent: list[tuple[str, Mapping[str, str], Any]] = []
        self.slow: dict[str, asyncio.Event] = {}

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        name = url.removeprefix("http://").rstrip("/")
        self.sent.append((name, headers, json.loads(body)))
        if name in self.slow:
            await self.slow[name].wait()
        left = self.answers.get(name, [])
        answer = left.pop(0) if left else Reply(204)
        if isinstance(answer, PostFailed):
            raise answer
        return answer

    def reasons(self, name: str) -> list[str]:
        return [body["data"]["reason"] for target, _, body in self.sent if target == name]

    def ids(self, name: str) -> list[str]:
        return [headers["webhook-id"] for target, headers, _ in self.sent if target == name]


class House:
    """A store, a courier and those that it serves."""

    def __init__(self, *targets: Target, **answers: list[Reply | PostFailed]) -> None:
        self.store = MemoryRouteStore()
        self.post = Post(**answers)
        self.targets = targets or (OPS,)
        self.courier = self.new_courier()

    def new_courier(self) -> Courier:
        return Courier(self.store, lambda: ["fraud", "eu-fraud"], self.targets, deliver=self.post, chance=lambda: 1.0)

    async def tell(self, reason: str, kind: Kind = Kind.HELD, model: str = "fraud") -> None:
        await self.store.tell(Notification(kind, model, 3, "ann", reason, {}, {1: 100}))

    async def tick(self, courier: Courier | None = None) -> None:
        """Look once, and let what that started come to its end or to a slow target."""
        await (courier or self.courier).tick()
        for _ in range(50):
            await asyncio.sleep(0)

    def pass_time(self, seconds: float) -> None:
        """Let what waits be older by *seconds*, and its next attempt nearer."""
        for place in self.store._places.values():
            place.due -= seconds
            place.begins -= seconds
            place.held_until -= seconds
        for outbox in self.store._outboxes.values():
            for each in outbox:
                each.put_at -= seconds

    def outcomes(self, name: str = "ops") -> dict[str, int]:
        return {outcome: count for outcome, count in self.courier.figures()[name].outcomes.items() if count}


async def test_what_waits_is_brought_in_its_order_signed_and_once() -> None:
    house = House()
    for number in range(5):
        await house.tell(str(number))

    await house.tick()
    await house.tick()

    assert house.post.reasons("ops") == ["0", "1", "2", "3", "4"]
    assert len(set(house.post.ids("ops"))) == 5
    assert all("webhook-signature" in headers for _, headers, _ in house.post.sent)
    assert house.outcomes() == {"delivered": 5}


async def test_a_target_is_told_what_it_wants_only() -> None:
    house = House(CHAT, EU)
    await house.tell("held")
    await house.tell("back", Kind.ROLLED_BACK)
    await house.tell("eu held", model="eu-fraud")

    await house.tick()

    about_all, about_eu = sorted(house.post.sent, key=lambda sent: sent[0])
    assert (about_eu[0], about_eu[2]["data"]["reason"]) == ("eu", "eu held")
    assert (about_all[0], "blocks" in about_all[2], dict(about_all[1])) == ("chat", True, {})
    assert (house.outcomes("chat"), house.outcomes("eu")) == ({"delivered": 1}, {"delivered": 1})


async def test_a_target_that_comes_to_want_a_model_is_not_told_of_its_past() -> None:
    house = House(EU)
    await house.tick()
    for number in range(3):
        await house.tell(str(number))
    house.pass_time(3_600)

    house.targets = (Target("eu", "http://eu/", secrets=(b"k" * 24,)),)
    house.courier = house.new_courier()
    await house.tell("new")
    await house.tick()

    assert house.post.reasons("eu") == ["new"]


async def test_what_failed_is_tried_again_under_its_id_before_what_follows() -> None:
    house = House(ops=[PostFailed("nobody there"), Reply(500), Reply(302)])
    await house.tell("one")
    await house.tell("two")

    for _ in range(4):
        await house.tick()
        house.pass_time(10)

    assert house.post.reasons("ops") == ["one", "one", "one", "one", "two"]
    assert len(set(house.post.ids("ops"))) == 2
    assert house.outcomes() == {"failed": 3, "delivered": 2}


async def test_nothing_is_tried_again_before_its_time() -> None:
    house = House(ops=[Reply(503), Reply(429, "", 60.0), Reply(503)])
    await house.tell("one")

    tried = []
    for seconds in (0.0, 0.5, 0.6, 30.0, 31.0):
        house.pass_time(seconds)
        await house.tick()
        tried.append(len(house.post.sent))

    assert tried == [1, 1, 2, 2, 3]


async def test_the_other_models_of_a_target_do_not_wait_for_one_that_fails() -> None:
    house = House(ops=[Reply(500)])
    await house.tell("eu", model="eu-fraud")
    await house.tell("fraud")

    await house.tick()

    assert sorted(house.post.reasons("ops")) == ["eu", "fraud"]


async def test_a_slow_target_holds_up_no_other() -> None:
    house = House(OPS, Target("slow", "http://slow/", secrets=(b"k" * 24,)))
    house.post.slow["slow"] = asyncio.Event()
    for number in range(3):
        await house.tell(str(number))

    await house.tick()
    await house.tick()

    assert house.post.reasons("ops") == ["0", "1", "2"]
    assert house.post.reasons("slow") == ["0"]
    await house.courier.close()


async def test_two_couriers_on_one_store_bring_each_notification_once() -> None:
    house = House()
    other = house.new_courier()
    for number in range(20):
        await house.tell(str(number))

    await asyncio.gather(house.tick(), house.tick(other))

    assert sorted(house.post.reasons("ops"), key=int) == [str(number) for number in range(20)]


async def test_what_a_killed_courier_held_is_brought_by_the_next() -> None:
    house = House()
    house.post.slow["ops"] = asyncio.Event()
    await house.tell("one")
    await house.tick()
    await house.courier.close()
    house.post.slow.clear()

    heir = house.new_courier()
    await house.tick(heir)
    while_claimed = len(house.post.sent)
    house.pass_time(couriers.CLAIM_SECONDS)
    await house.tick(heir)

    assert while_claimed == 1
    assert house.post.reasons("ops") == ["one", "one"]
    assert len(set(house.post.ids("ops"))) == 1


async def test_what_failed_for_a_day_is_given_up_and_the_next_follows(caplog: pytest.LogCaptureFixture) -> None:
    house = House(ops=[Reply(500, "no room")])
    await house.tell("one")
    await house.store.backlogs({"fraud": ["ops"]})  # so that the target has its place
    house.pass_time(GIVE_UP_SECONDS)
    await house.tell("two")

    await house.tick()

    (kept,) = (await house.courier.given_up())["fraud"]
    assert "answered 500: no room" in kept.reason
    assert house.post.reasons("ops") == ["one", "two"]
    assert house.outcomes() == {"failed": 1, "given_up": 1, "delivered": 1}
    assert "gateway notifications retry fraud" in caplog.text


@pytest.mark.parametrize("status", sorted(couriers.NEVER))
async def test_what_a_receiver_will_never_take_is_given_up_at_once(status: int) -> None:
    house = House(ops=[Reply(status)])
    await house.tell("one")
    await house.tell("two")

    await house.tick()

    assert house.post.reasons("ops") == ["one", "two"]
    assert house.outcomes() == {"given_up": 1, "delivered": 1}


async def test_what_was_given_up_is_told_again_to_its_target_only() -> None:
    house = House(OPS, Target("other", "http://other/", secrets=(b"k" * 24,)), ops=[Reply(410)])
    await house.tell("one")
    await house.tick()
    (kept,) = (await house.courier.given_up())["fraud"]

    assert await house.courier.again("fraud", kept.key)
    await house.tick()

    assert house.post.reasons("ops") == ["one", "one"]
    assert house.post.reasons("other") == ["one"]
    assert await house.courier.given_up() == {}


GOOD = Notification(Kind.HELD, "fraud", 3, "ann", "why", {}, {1: 100}).encoded()


@pytest.mark.parametrize(
    ("name", "payload", "at_ms"),
    [("id-1", b"garbage", 0), ("id\r\nx-evil: 1", GOOD, 0), ("", GOOD, 0), ("ü", GOOD, 0), ("id-1", GOOD, 10**15 - 1)],
)
async def test_what_cannot_be_read_is_given_up_and_holds_nobody_up(name: str, payload: bytes, at_ms: int) -> None:
    house = House()
    house.store._append("fraud", name, payload, at_ms)
    await house.tell("two")

    await house.tick()

    assert house.post.reasons("ops") == ["two"]
    assert "cannot be read" in (await house.courier.given_up())["fraud"][0].reason


async def test_what_fell_out_of_a_full_outbox_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    await house.tell("one")
    await house.tick()
    for number in range(4):
        await house.tell(str(number))
    del house.store._outboxes["fraud"][:3]

    await house.tick()

    assert house.outcomes() == {"delivered": 3, "lost": 2}
    assert "2 notifications of model 'fraud' fell out" in caplog.text


async def test_while_the_store_is_away_nothing_is_told_and_nothing_is_lost() -> None:
    house = House()
    await house.tell("one")
    house.store.stop()
    await house.tick()

    house.store.start()
    await house.tick()

    assert house.post.reasons("ops") == ["one"]


async def test_where_nobody_is_told_nobody_looks_at_the_models() -> None:
    def models() -> list[str]:
        raise AssertionError("the models were looked at")

    courier = Courier(MemoryRouteStore(), models, [])

    await courier.tick()

    assert courier.figures() == {}


async def test_what_was_taken_while_the_store_went_away_comes_again_under_its_id() -> None:
    house = House()
    house.post.slow["ops"] = asyncio.Event()
    await house.tell("one")
    await house.tick()
    house.store.stop()
    house.post.slow.pop("ops").set()
    await house.tick()

    house.store.start()
    house.pass_time(couriers.CLAIM_SECONDS)
    await house.tick()

    assert house.post.reasons("ops") == ["one", "one"]
    assert len(set(house.post.ids("ops"))) == 1


async def test_what_waits_is_shown_with_its_age() -> None:
    house = House(OPS, EU, ops=[Reply(500)])
    await house.tell("one")
    await house.tell("two")
    await house.tick()
    house.pass_time(0.5)
    await house.courier.tick()

    figures = house.courier.figures()
    assert figures["ops"].waiting == 2
    assert 0.5 <= figures["ops"].oldest_seconds < 5
    assert (figures["eu"].waiting, figures["eu"].oldest_seconds) == (0, 0.0)
    assert [target["name"] for target in house.courier.describe()] == ["ops", "eu"]


def test_pauses_double_up_to_an_hour_and_spread() -> None:
    assert [pause_seconds(attempts, 1.0) for attempts in range(5)] == [1, 2, 4, 8, 16]
    assert pause_seconds(0, 0.0) == 0.5
    assert pause_seconds(10_000, 1.0) == LONGEST_PAUSE_SECONDS


async def test_a_fault_of_the_courier_itself_ends_one_round_only(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    await house.tell("one")
    house.post.answers["ops"] = [None]  # type: ignore[list-item]  # what a fault looks like

    await house.tick()
    house.pass_time(couriers.CLAIM_SECONDS)
    await house.tick()

    assert house.post.reasons("ops") == ["one", "one"]
    assert "failed on model 'fraud'" in caplog.text


async def test_it_goes_by_the_clock_that_it_was_given() -> None:
    house = House()
    before = int(time.time())
    await house.tell("one")
    await house.tick()

    assert before <= int(house.post.sent[0][1]["webhook-timestamp"]) <= time.time()


GATE = {"id": "r1", "candidate": "2", "candidates": ["2"], "baseline": "1", "phase": "paused", "step": 1, "steps": 2,
        "gate": True}  # fmt: skip


async def test_each_target_gets_links_of_its_own_about_what_waits_and_none_about_what_it_is_not_told() -> None:
    house = House(OPS, CHAT, Target("two", "http://two/", secrets=(b"k" * 24,)))
    maker = LinkMaker(house.store, "https://gw")
    house.courier = Courier(house.store, lambda: ["fraud"], house.targets, maker, deliver=house.post)
    await house.store.tell(Notification(Kind.PAUSED, "fraud", 3, "gateway", "gate", {}, {1: 100}, rollout=GATE))
    await house.tell("held by hand", Kind.ADVANCED)

    await house.tick()

    links = {name: body["data"].get("links") for name, _, body in house.post.sent if body["type"] == "rollout.paused"}
    assert sorted(links) == ["ops", "two"]
    assert [list(each) for each in links.values()] == [["approve", "roll_back"]] * 2
    assert not set(links["ops"].values()) & set(links["two"].values())
    assert len(house.store._links) == 4
    assert all("links" not in body["data"] for _, _, body in house.post.sent if body["type"] == "rollout.advanced")
