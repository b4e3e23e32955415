"""Versions that appear, are broken, are unloaded and loaded again, under load that must not notice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tests.flows.conftest import close_all, prepare
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, publish, request, tagged
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Answer, Gateway

ROUTE: Final = 'split: {"1": 1, "2": 1}\nassign: {by: random}\nbaseline: "1"'
BODY: Final = request([1, 2])
FOUND_SECONDS: Final = 5.0
ASKED: Final = 8
"""Connections per question to the inference port, so that each worker is among those who are asked."""

REFUSED: Final = {409, 422}


def states(gateway: Gateway, version: int, *, model: str = MODEL) -> set[str | None]:
    """Return what the workers' indexes say of a version; None where one does not know it."""
    found = (gateway.index().get((model, str(version))) for _ in range(ASKED))
    return {row["state"] if row else None for row in found}


def order(gateway: Gateway, version: int, verb: str) -> Answer:
    return gateway.ask_admin("POST", f"/api/v1/models/{MODEL}/versions/{version}/{verb}")


def pinned(gateway: Gateway, version: int) -> Answer:
    return gateway.ask("POST", f"/v2/models/{MODEL}/versions/{version}/infer", BODY)


async def reach(gateway: Gateway, version: int, state: str) -> float:
    """Return the seconds until all workers that are asked have *version* in *state*."""
    return await asyncio.to_thread(
        eventually, lambda: states(gateway, version) == {state}, FOUND_SECONDS, f"version {version} is {state}"
    )


async def taken(gateway: Gateway, version: int, verb: str) -> None:
    """Give an order until it is taken: the control process hears of a version up to half a second after its callers."""
    await asyncio.to_thread(
        eventually, lambda: order(gateway, version, verb).status == 202, FOUND_SECONDS, f"the order to {verb} is taken"
    )


async def test_a_version_that_appears_is_found_in_5_seconds_and_gets_no_traffic(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)

    async with Load(gateway.port) as load:
        await load.answered(20)
        publish(gateway.models, 3)
        await reach(gateway, 3, "READY")
        await load.answered(200)

    assert load.faults == []
    assert set(load.by_model()) == {"1", "2"}
    assert gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/route").headers["etag"] == '"1"'
    assert_counts_agree(gateway, [load], before={})
    assert pinned(gateway, 3).headers["x-gateway-version"] == "3"
    assert gateway.set_weights(MODEL, {"3": 1}).status == 200
    eventually(
        lambda: gateway.ask("POST", f"/v2/models/{MODEL}/infer", BODY).headers["x-gateway-version"] == "3", 3, "3"
    )


async def test_a_corrupt_version_is_unavailable_with_its_reason_and_hurts_nobody(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)
    workers = gateway.worker_pids()

    async with Load(gateway.port) as load:
        await load.answered(20)
        publish(gateway.models, 3, tagged(3)[:60])
        publish(gateway.models, 1, b"not a model at all", model="lonely")
        await reach(gateway, 3, "UNAVAILABLE")
        found = lambda: "FAILED" in gateway.ask_admin("GET", "/api/v1/models/lonely").body.decode()  # noqa: E731 - a question, asked once
        await asyncio.to_thread(eventually, found, FOUND_SECONDS, "the lonely version has failed")
        weights = [await asyncio.to_thread(gateway.set_weights, MODEL, {"1": 1, each: 1}) for each in ("3", "99")]
        await load.answered(100)

    assert load.faults == []
    assert gateway.worker_pids() == workers
    reason = gateway.index()[MODEL, "3"]["reason"]
    assert reason.startswith("bad_model")
    assert str(gateway.directory) not in reason
    assert {answer.status for answer in weights} <= REFUSED
    assert "3" in weights[0].json()["detail"]
    assert pinned(gateway, 3).status == 503
    assert gateway.ask_admin("GET", "/api/v1/models/lonely/route").status == 404
    assert gateway.ask("POST", "/v2/models/lonely/infer", BODY).status == 503
    assert gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/route").headers["etag"] == '"1"'
    assert all(gateway.is_ready() for _ in range(ASKED))
    assert_counts_agree(gateway, [load], before={})


async def test_versions_are_unloaded_and_loaded_under_load_and_what_the_route_needs_stays(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(route=ROUTE, versions=(1, 2, 3))

    async with Load(gateway.port) as load:
        await load.answered(20)
        for _ in range(3):
            await taken(gateway, 3, "unload")
            await reach(gateway, 3, "UNAVAILABLE")
            assert pinned(gateway, 3).status == 503
            await taken(gateway, 3, "load")
            await reach(gateway, 3, "READY")
            assert pinned(gateway, 3).status == 200
        needed = [await asyncio.to_thread(order, gateway, version, "unload") for version in (1, 2)]
        unknown = await asyncio.to_thread(order, gateway, 99, "unload")
        await load.answered(50)

    assert load.faults == []
    assert [answer.status for answer in needed] == [409, 409]
    assert unknown.status == 404
    assert states(gateway, 1) == states(gateway, 2) == {"READY"}
    assert set(load.by_model()) == {"1", "2"}


def test_a_start_that_cannot_get_ready_says_what_it_waits_for(tmp_path: Path) -> None:
    file = tmp_path / "gateway" / "models" / "echo" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no model")
    gateway = prepare(tmp_path, route='split: {"1": 1}')
    try:
        gateway.spawn()

        eventually(lambda: "still starting" in gateway.stderr(), 10, "a word about the start")
        eventually(lambda: "echo/1: bad_model" in gateway.stderr(), 10, "the reason")

        assert gateway.stdout() == ""
    finally:
        close_all([gateway])
