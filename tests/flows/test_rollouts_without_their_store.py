"""The store is killed, loses all it had, or is cut off in the middle of a rollout: nobody is taken back wrongly.

Nobody is promoted for it either.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis

from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL
from tests.flows.proxy import Network
from tests.flows.test_rollouts import ROLLOUTS, ROUTE, is_in, now, store_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

PLAN: Final[dict[str, Any]] = {
    "candidate": "2",
    "steps": [{"weight": 20, "for": "15s"}, {"weight": 50, "for": "10m"}],
    "guards": {"errors": {}, "invalid": {}},
}
MODELS: Final = f"/api/v1/models/{MODEL}"
STARTED_SECONDS: Final = 15.0
WALK_SECONDS: Final = 60.0

pytestmark = pytest.mark.long


def begin_rollout(gateway: Gateway) -> None:
    answer = gateway.ask_admin("POST", ROLLOUTS, PLAN, if_match="*")
    assert answer.status == 201, answer.body
    eventually(is_in(gateway, "step", 1), STARTED_SECONDS, "the first step")


async def test_a_rollout_goes_on_after_its_store_was_killed(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)

    async with Load(gateway.port, rate=150) as load:
        await asyncio.to_thread(begin_rollout, gateway)
        await asyncio.sleep(1.5)  # the journal is synced every second
        started = now(gateway)["id"]
        os.kill(gateway.store_pid(), signal.SIGKILL)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(eventually, lambda: is_up(gateway), STARTED_SECONDS, "the store is back")
        await asyncio.to_thread(eventually, is_in(gateway, "step", 2), WALK_SECONDS, "the second step")

    assert load.faults == []
    assert now(gateway)["id"] == started


async def test_a_rollout_whose_store_was_emptied_is_restored_and_earns_its_certificate_again(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(route=ROUTE)

    async with Load(gateway.port, rate=150) as load:
        await asyncio.to_thread(begin_rollout, gateway)
        before = now(gateway)
        with Redis(unix_socket_path=store_url(gateway).removeprefix("unix://")) as store:
            store.flushall()
        await load.answered(150)
        path = f"/api/v1/models/{MODEL}/route/restore"
        answer = await asyncio.to_thread(gateway.ask_admin, "POST", path, {"reason": "wiped"}, if_match="*")
        assert answer.status == 200, answer.body
        began = time.monotonic()
        await asyncio.to_thread(eventually, is_in(gateway, "step", 2), WALK_SECONDS, "the second step")

    assert load.faults == []
    assert now(gateway)["id"] == before["id"]
    assert now(gateway)["split"] == {"1": 50, "2": 50}
    assert time.monotonic() - began > 394 / (150 * 0.2) / 2, "a certificate takes its requests"


async def test_a_gateway_that_is_cut_off_in_a_rollout_serves_on_and_follows_when_it_is_back(
    begin: Callable[..., Gateway],
) -> None:
    whole = begin("whole", route=ROUTE)
    with Network(store_url(whole).removeprefix("unix://")) as network:
        apart = begin("apart", models=whole.models, flags=("--redis-url", f"redis://127.0.0.1:{network.port}"))
        async with Load(whole.port, rate=100) as near, Load(apart.port, rate=100) as far:
            await asyncio.to_thread(begin_rollout, whole)
            started = now(whole)["id"]
            network.cut()
            await far.answered(400)
            refused = await asyncio.to_thread(apart.ask_admin, "POST", f"{ROLLOUTS}/current/promote", {}, if_match="*")
            network.mend()
            await asyncio.to_thread(eventually, is_in(whole, "step", 2), WALK_SECONDS, "the second step")
            await asyncio.to_thread(
                eventually, lambda: served(apart) == served(whole), STARTED_SECONDS, "it follows what the other serves"
            )

        assert (near.faults, far.faults) == ([], [])
        assert refused.status == 503
        assert now(whole)["id"] == now(apart)["id"] == started
        splits = [entry["after"]["split"] for entry in whole.ask_admin("GET", f"{MODELS}/history").json()]
        assert splits[:2] == [{"1": 50, "2": 50}, {"1": 80, "2": 20}]
        apart.stop()


def served(gateway: Gateway) -> float | None:
    """Return the lowest revision that a worker serves."""
    return metrics.gauge(gateway, "gateway_route_revision", model=MODEL)


def is_up(gateway: Gateway) -> bool:
    return gateway.ask_admin("GET", f"{ROLLOUTS}/current").status == 200
