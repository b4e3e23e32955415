"""A worker's rollback: it only lowers, it is written once, and nobody can keep it from happening."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.control.reverter import StoreReverter
from gateway.core.errors import StoreUnavailable
from gateway.core.notification import Kind, read_notification
from gateway.core.phases import Event, Phase
from tests.control.rollout_house import RolloutHouse

if TYPE_CHECKING:
    from gateway.ports.evidence import Reverter
    from gateway.ports.routes import StoredRoute
    from gateway.ports.store import Store


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


def reverter(store: Store) -> Reverter:
    return StoreReverter(store, lambda _model, _version: "ab" * 32)


async def test_the_canary_goes_to_zero_in_one_write_that_names_the_guard(house: RolloutHouse) -> None:
    rollout = await house.to_step()

    assert await reverter(house.store).roll_back("fraud", rollout.id, 2, "E 300 of 100", "errors")

    held, newest = await house.held(), (await house.history())[0]
    assert held.rollout is not None
    assert (held.rollout.phase, dict(held.document.split)) == (Phase.ROLLED_BACK, {1: 100, 2: 0})
    assert (newest.who, newest.reason, newest.action) == ("gateway", "errors: E 300 of 100", "rollout")
    assert held.quarantine[0].version == 2


async def test_a_reason_that_names_its_guard_names_it_once(house: RolloutHouse) -> None:
    rollout = await house.to_step()

    await reverter(house.store).roll_back("fraud", rollout.id, 2, "errors: E 300", "errors")

    assert (await house.history())[0].reason == "errors: E 300"


async def test_two_workers_that_see_it_at_once_leave_one_entry(house: RolloutHouse) -> None:
    rollout = await house.to_step()
    before = len(await house.history())

    done = await asyncio.gather(
        *(reverter(house.store).roll_back("fraud", rollout.id, 2, "E 300", "errors") for _ in range(4))
    )

    assert sorted(done) == [False, False, False, True]
    assert len(await house.history()) == before + 1


async def test_a_rollout_that_is_over_or_another_one_is_left_alone(house: RolloutHouse) -> None:
    old = await house.to_step()
    await house.rollouts.move("fraud", Event.ABORT, expected=None, who="ann", reason="")
    over = await reverter(house.store).roll_back("fraud", old.id, 2, "E 300", "errors")
    await house.begin()
    await house.tick()
    other = await reverter(house.store).roll_back("fraud", old.id, 2, "E 300", "errors")

    assert (over, other, (await house.rollout()).phase) == (False, False, Phase.PREFLIGHT)
    assert await reverter(house.store).roll_back("ghost", old.id, 2, "E 300", "errors") is False


async def test_somebody_who_is_faster_does_not_stop_it(house: RolloutHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = await house.to_step()
    read = house.store.read

    async def read_then_lose(model: str) -> StoredRoute | None:
        found = await read(model)
        monkeypatch.setattr(house.store, "read", read)
        await house.operations.set_weights(model, {"1": 80, "2": 20}, expected=None, who="ann", reason="")
        return found

    monkeypatch.setattr(house.store, "read", read_then_lose)

    assert await reverter(house.store).roll_back("fraud", rollout.id, 2, "E 300", "errors")
    assert await house.split() == {1: 100, 2: 0}


async def test_without_the_store_it_says_so(house: RolloutHouse) -> None:
    rollout = await house.to_step()
    house.store.stop()

    with pytest.raises(StoreUnavailable):
        await reverter(house.store).roll_back("fraud", rollout.id, 2, "E 300", "errors")


async def test_a_worker_that_is_alone_with_its_finding_tells_and_changes_nothing(house: RolloutHouse) -> None:
    await house.to_step()
    before = await house.revision()

    await reverter(house.store).alarm("fraud", 2, before, "w1")

    told = read_notification(house.store._outboxes["fraud"][-1].payload)
    assert (told.kind, told.version, told.revision) == (Kind.ALERT, 2, before)
    assert "worker w1 alone" in told.reason
    assert await house.revision() == before
