"""Orders from the inference ports: who may, which versions are meant, and that the answer waits for every worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.auth import LoopbackDoor
from gateway.control.inference_orders import ClosedDoor, InferenceOrders
from gateway.core.errors import (
    Forbidden,
    LoadFailed,
    StoreUnavailable,
    Unauthenticated,
    UnknownModel,
    UnknownVersion,
    VersionInUse,
    VersionUnavailable,
)
from gateway.core.versions import WHOLE_MODEL
from gateway.ports.workers import Caller
from tests.control.fakes import FAILED, LOADING, READY, UNAVAILABLE, UNLOADING, FakeDoor, House

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.control.auth import Door

LOCAL = Caller("127.0.0.1", {"host": "127.0.0.1:8080"})


def orders(house: House, door: Door | None = None, rescan: Callable[[], None] = lambda: None) -> InferenceOrders:
    """Return the orders of a worker of *house*, which wait for a quarter of a second."""

    async def look() -> None:
        rescan()

    seconds: dict[str, Any] = {"load_seconds": 0.25, "unload_seconds": 0.25, "stale_seconds": 0.1}
    return InferenceOrders(house.operations, house.workers, door or LoopbackDoor(), look, **seconds)


async def ordered(house: House) -> Mapping[int, str]:
    head = (await house.store.heads(["fraud"])).get("fraud")
    return head.orders if head else {}


async def soon(house: House, making: Awaitable[None], *said: tuple[int, Any], worker: int | None = None) -> None:
    """Have the workers say what came of an order, once it was given."""
    task = asyncio.ensure_future(making)
    await asyncio.sleep(0.02)
    assert not task.done(), "the answer did not wait for the workers"
    for version, state in said:
        house.workers.say("fraud", version, state, worker=worker)
    await task


# Who may


def test_without_the_setting_nobody_may_and_is_told_what_to_do(house: House) -> None:
    with pytest.raises(Forbidden, match="--repository-control"):
        orders(house, ClosedDoor()).admit(LOCAL, "fraud")


def test_without_tokens_only_this_machine_may(house: House) -> None:
    assert orders(house).admit(LOCAL, "fraud") == "local"
    with pytest.raises(Unauthenticated):
        orders(house).admit(Caller("10.0.0.9", {"host": "10.0.0.1"}), "fraud")


@pytest.mark.parametrize("role", ["operator", "admin"])
def test_with_tokens_an_operator_may(house: House, role: str) -> None:
    assert orders(house, FakeDoor()).admit(Caller("10.0.0.9", {"authorization": f"Bearer {role}"}), "fraud") == role


def test_with_tokens_a_viewer_may_not(house: House) -> None:
    with pytest.raises(Forbidden, match="operator"):
        orders(house, FakeDoor()).admit(Caller("10.0.0.9", {"authorization": "Bearer viewer"}), "fraud")


@pytest.mark.parametrize("header", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_a_page_of_another_site_may_not(house: House, header: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match="another site"):
        orders(house).admit(Caller("127.0.0.1", {"host": "localhost:8080", **header}), "fraud")


# Loading


async def test_a_load_is_in_the_store_and_the_audit_and_answers_when_every_worker_is_ready(house: House) -> None:
    await house.route({"1": 1})
    house.workers.say("fraud", 3, UNAVAILABLE)

    making = orders(house).load("fraud", 3, who="ann")
    house.workers.say("fraud", 3, READY, worker=0)
    await soon(house, making, (3, READY))

    newest = (await house.history())[0]
    assert await ordered(house) == {3: "load"}
    assert (newest.action, newest.who, newest.reason) == ("load", "ann", "inference port: load version 3")


async def test_a_model_without_a_version_loads_what_its_route_names(house: House) -> None:
    await house.route({"1": 1, "2": 0})

    await orders(house).load("fraud", None, who="ann")

    assert await ordered(house) == {1: "load", 2: "load"}


async def test_a_version_that_is_gone_at_weight_0_does_not_keep_a_model_from_loading(house: House) -> None:
    await house.route({"1": 1, "2": 0})
    house.on_disk["fraud"].discard(2)
    for states in house.workers.states:
        del states["fraud", 2]

    await orders(house).load("fraud", None, who="ann")

    assert await ordered(house) == {1: "load"}


async def test_a_model_without_a_route_loads_its_highest_version_that_a_new_look_finds(house: House) -> None:
    def appear() -> None:
        house.on_disk["fraud"].add(11)
        house.workers.say("fraud", 11, READY)

    await orders(house, rescan=appear).load("fraud", None, who="ann")

    assert await ordered(house) == {11: "load"}


async def test_what_is_not_there_is_unknown(house: House) -> None:
    house.on_disk["empty"] = set()

    for model in ("ghost", "empty"):
        with pytest.raises(UnknownModel):
            await orders(house).load(model, None, who="ann")
    with pytest.raises(UnknownModel):
        await orders(house).unload("ghost", None, who="ann")
    for making in (orders(house).load("fraud", 9, who="ann"), orders(house).unload("fraud", 9, who="ann")):
        with pytest.raises(UnknownVersion):
            await making


async def test_a_load_that_fails_on_one_worker_failed_with_its_reason(house: House) -> None:
    house.workers.say("fraud", 3, LOADING)

    making = asyncio.ensure_future(orders(house).load("fraud", 3, who="ann"))
    await asyncio.sleep(0.02)
    house.workers.say("fraud", 3, FAILED, "bad_model: no graph", worker=1)

    with pytest.raises(LoadFailed, match="bad_model: no graph"):
        await making


async def test_a_failure_from_before_counts_once_the_workers_have_had_time_to_try_again(house: House) -> None:
    house.workers.say("fraud", 3, FAILED, "bad_model: no graph")

    with pytest.raises(LoadFailed):
        await orders(house).load("fraud", 3, who="ann")
    await soon(house, orders(house).load("fraud", 3, who="ann"), (3, READY))


async def test_a_load_that_takes_too_long_says_that_the_order_stands(house: House) -> None:
    house.workers.say("fraud", 3, LOADING)

    with pytest.raises(VersionUnavailable, match="the order stands"):
        await orders(house).load("fraud", 3, who="ann")

    assert await ordered(house) == {3: "load"}


# Unloading


async def test_an_unload_answers_when_no_worker_holds_the_version(house: House) -> None:
    await house.route({"1": 1})

    making = asyncio.ensure_future(orders(house).unload("fraud", 3, who="ann"))
    for state, worker in ((UNLOADING, None), (UNAVAILABLE, 0)):
        await asyncio.sleep(0.02)
        house.workers.say("fraud", 3, state, worker=worker)
    await soon(house, making, (3, UNAVAILABLE))

    assert await ordered(house) == {3: "unload"}


@pytest.mark.parametrize("version", [1, 2])
async def test_what_the_route_needs_is_not_unloaded(house: House, version: int) -> None:
    await house.route({"2": 1}, baseline="1")

    with pytest.raises(VersionInUse, match="fraud"):
        await orders(house).unload("fraud", version, who="ann")

    assert await ordered(house) == {}


async def test_a_whole_model_leaves_whatever_its_route_says_and_any_load_brings_it_back(house: House) -> None:
    await house.route({"1": 1})

    await soon(house, orders(house).unload("fraud", None, who="ann"), *((v, UNAVAILABLE) for v in (1, 2, 3)))
    assert await ordered(house) == {WHOLE_MODEL: "unload"}
    assert (await house.history())[0].reason == "inference port: unload the whole model"
    await soon(house, orders(house).load("fraud", None, who="ann"), (1, READY))

    assert await ordered(house) == {WHOLE_MODEL: "load", 1: "load"}


async def test_an_unload_that_takes_too_long_says_that_the_order_stands(house: House) -> None:
    with pytest.raises(VersionUnavailable, match="the order stands"):
        await orders(house).unload("fraud", None, who="ann")


# The store


async def test_without_the_store_an_order_is_refused_without_the_stores_own_words(house: House) -> None:
    house.store.stop()

    for making in (orders(house).load("fraud", 3, who="ann"), orders(house).unload("fraud", 3, who="ann")):
        with pytest.raises(StoreUnavailable, match="give it again") as caught:
            await making
        assert "memory" not in str(caught.value)
