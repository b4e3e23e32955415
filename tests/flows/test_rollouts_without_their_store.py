"""The store is killed, or loses all it had, in the middle of a rollout: nobody is taken back wrongly, or promoted."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis

from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL
from tests.flows.test_rollouts import ROLLOUTS, ROUTE, is_in, now, store_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

PLAN: Final[dict[str, Any]] = {
    "candidate": "2",
    "steps": [{"weight": 20, "for": "15s"}, {"weight": 50, "for": "10m"}],
    "guards": {"errors": {}, "invalid": {}},
}
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


def is_up(gateway: Gateway) -> bool:
    return gateway.ask_admin("GET", f"{ROLLOUTS}/current").status == 200
