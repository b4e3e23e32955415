"""The pages behind links: opening one changes nothing, its button acts once, and each other case has its answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.control.links import Links, State
from gateway.core.links import Act, Offer
from gateway.core.notification import Kind, read_notification
from gateway.core.phases import Event, Phase
from gateway.notifications.links import LinkMaker
from gateway.ports.notifications import LINK_SECONDS, digest_of_link
from tests.control.fakes import FakeDoor, no_metrics
from tests.control.rollout_house import PLAN, RolloutHouse

if TYPE_CHECKING:
    from gateway.core.rollout import Rollout

GATED = {"steps": [{**PLAN["steps"][0], "approve": True}, PLAN["steps"][1]]}


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


def client_of(house: RolloutHouse, *, has_links: bool = True) -> TestClient:
    """Somebody far away, without a token for anything."""
    links = Links(house.operations, house.store) if has_links else None
    app = create_admin(house.operations, house.workers, FakeDoor(), no_metrics, {}, links=links)
    return TestClient(app, base_url="https://gateway.example.com", client=("203.0.113.9", 5))


async def to_the_gate(house: RolloutHouse) -> Rollout:
    await house.to_step(2, **GATED)
    await house.count(1_000, baseline=1_000)
    await house.tick(11)
    return await house.rollout()


async def links_told(house: RolloutHouse, kind: Kind = Kind.PAUSED) -> dict[str, str]:
    """Return the links, without the address, that the last notification of *kind* carries to the target ``ops``."""
    told = [read_notification(each.payload) for each in house.store._outboxes["fraud"]]
    newest = [each for each in told if each.kind is kind][-1]
    links = await LinkMaker(house.store, "https://gateway.example.com/").links(newest, "ops")
    return {act: address.removeprefix("https://gateway.example.com") for act, address in links.items()}


async def test_a_link_asks_and_its_button_opens_the_gate_in_its_own_name(house: RolloutHouse) -> None:
    assert (await to_the_gate(house)).gate
    link, client = (await links_told(house))["approve"], client_of(house)
    before = await house.revision()

    asked = [client.get(link), client.head(link), client.get(link)]
    assert [each.status_code for each in asked] == [200] * 3
    assert '<form method="post"><button>Approve</button></form>' in asked[0].text
    assert "let the rollout of version 2 of model &#x27;fraud&#x27; go on to what follows step 1" in asked[0].text
    assert await house.revision() == before

    done = client.post(link)

    entry = (await house.history())[0]
    assert (done.status_code, "Done" in done.text) == (200, True)
    await house.tick()
    assert ((await house.rollout()).phase, (await house.rollout()).step) == (Phase.STEP, 1)
    assert (entry.who, "resume: approve by link sent to ops" in entry.reason) == ("link:ops", True)


async def test_the_other_link_rolls_back_and_then_neither_does_anything(house: RolloutHouse) -> None:
    await to_the_gate(house)
    links, client = await links_told(house), client_of(house)

    assert client.post(links["roll_back"]).status_code == 200

    assert (await house.rollout()).phase is Phase.ABORTED
    assert await house.split() == {1: 100, 2: 0}
    revision = await house.revision()
    for act, status in (("roll_back", 410), ("approve", 409)):
        for page in (client.get(links[act]), client.post(links[act])):
            assert (page.status_code, "<form" in page.text) == (status, False)
    assert await house.revision() == revision


async def test_what_is_held_is_promoted_by_an_approval(house: RolloutHouse) -> None:
    await house.to_step(2)
    await house.tick(11)
    assert (await house.rollout()).phase is Phase.HOLD

    done = client_of(house).post((await links_told(house, Kind.HELD))["approve"])

    assert (done.status_code, (await house.rollout()).phase) == (200, Phase.BAKE)


async def test_a_link_to_one_gate_does_not_open_the_next_rollouts(house: RolloutHouse) -> None:
    await to_the_gate(house)
    link = (await links_told(house))["approve"]
    await house.rollouts.move("fraud", Event.ABORT, expected=None, who="ann", reason="")
    await house.rollouts.move("fraud", Event.RETRY, expected=None, who="ann", reason="")

    page = client_of(house).post(link)

    assert (page.status_code, "Another rollout took its place" in page.text) == (409, True)


async def test_a_link_of_another_model_and_a_guess_are_unknown(house: RolloutHouse) -> None:
    await to_the_gate(house)
    link, client = (await links_told(house))["approve"], client_of(house)

    for foreign in (link.replace("/fraud/", "/other/"), "/links/fraud/guess", "/links/fraud/%ff%3Cscript%3E"):
        for page in (client.get(foreign), client.post(foreign)):
            assert (page.status_code, "not known here" in page.text, "<script" in page.text) == (404, True, False)


async def test_a_link_is_good_for_a_day(house: RolloutHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    await to_the_gate(house)
    link, client, began = (await links_told(house))["approve"], client_of(house), time.time()

    def status(later: float) -> int:
        monkeypatch.setattr("time.time", lambda: began + later)
        return client.post(link).status_code

    assert [status(LINK_SECONDS + 1), status(2 * LINK_SECONDS + 1)] == [410, 404]
    assert status(LINK_SECONDS - 1) == 200


async def test_where_the_move_is_refused_the_link_is_not_used_up(house: RolloutHouse) -> None:
    """Held while it shadows, a rollout cannot be promoted."""
    await house.begin(2, shadow={"share": "10%", "for": "1s"})
    await house.tick()
    await house.tick()
    await house.tick(5)
    assert (await house.rollout()).phase is Phase.HOLD
    link, client = (await links_told(house, Kind.HELD))["approve"], client_of(house)

    pages = [client.post(link), client.get(link)]

    assert [page.status_code for page in pages] == [409, 200]
    assert "Nothing was done" in pages[0].text


async def test_a_store_that_is_away_uses_no_link_up(house: RolloutHouse) -> None:
    await to_the_gate(house)
    link, client = (await links_told(house))["approve"], client_of(house)
    house.store.stop()

    assert client.post(link).status_code == 503

    house.store.start()
    assert client.post(link).status_code == 200


async def test_what_the_store_holds_may_be_nonsense(house: RolloutHouse) -> None:
    await house.store.keep_link("fraud", digest_of_link("odd"), b"{")
    gone = Offer("fraud", "r1", "2", "hold", 0, Act.ROLL_BACK, "<b>")
    await house.store.keep_link("fraud", digest_of_link("gone"), gone.encoded())
    client = client_of(house)

    assert client.get("/links/fraud/odd").status_code == 404
    assert (client.get("/links/fraud/gone").status_code, "no rollout" in client.get("/links/fraud/gone").text) == (
        409, True,
    )  # fmt: skip


async def test_without_a_public_address_there_are_no_links(house: RolloutHouse) -> None:
    client = client_of(house, has_links=False)

    for page in (client.get("/links/fraud/x"), client.post("/links/fraud/x")):
        assert (page.status_code, "--public-url" in page.json()["detail"]) == (404, True)


async def test_of_two_clicks_at_once_one_acts(house: RolloutHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    await to_the_gate(house)
    token, links = (await links_told(house))["approve"].rpartition("/")[2], Links(house.operations, house.store)
    take = house.store.take_link

    async def slowly(model: str, digest: str) -> bool:
        await asyncio.sleep(0.01)  # both have looked by then
        return await take(model, digest)

    monkeypatch.setattr(house.store, "take_link", slowly)

    came = await asyncio.gather(*(links.act("fraud", token) for _ in range(2)))

    assert sorted(each.state for each in came) == [State.DONE, State.USED]


async def test_no_token_is_in_the_store(house: RolloutHouse) -> None:
    await to_the_gate(house)

    tokens = [link.rpartition("/")[2] for link in (await links_told(house)).values()]

    assert [len(token) >= 43 for token in tokens] == [True, True]
    assert not [token for token in tokens if token in repr(house.store._links)]
