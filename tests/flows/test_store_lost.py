"""The store may freeze, die, or never have been there: every request is still answered."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from typing import TYPE_CHECKING, Final

import pytest

from load_tests.servers import free_port
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, request
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

ROUTE: Final = 'split: {"1": 1, "2": 1}\nassign: {by: random}\nbaseline: "1"'
BODY: Final = request([1, 2])
WRITE_SECONDS: Final = 1.2
BACK_SECONDS: Final = 5.0
TOLD_SECONDS: Final = 4.0
"""So soon ``store_up`` tells of a store that froze, or is back."""


def store_up(gateway: Gateway) -> bool:
    return metrics.gauge(gateway, "gateway_store_up") == 1


async def test_with_the_store_frozen_requests_are_answered_and_writes_are_refused_at_once(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(route=ROUTE)
    assert gateway.set_weights(MODEL, {"1": 3, "2": 1}).status == 200
    eventually(lambda: metrics.adopted(gateway) == 2, 3, "both workers follow")
    assert store_up(gateway)
    store = gateway.store_pid()

    async with Load(gateway.port) as load:
        await load.answered(50)
        os.kill(store, signal.SIGSTOP)
        writes = [await asyncio.to_thread(gateway.set_weights, MODEL, {"1": 1, "2": weight}) for weight in (7, 8, 9)]
        order = await asyncio.to_thread(gateway.ask_admin, "POST", f"/api/v1/models/{MODEL}/versions/2/load")
        shown = await asyncio.to_thread(gateway.ask_admin, "GET", "/api/v1/models")
        await asyncio.to_thread(eventually, lambda: not store_up(gateway), TOLD_SECONDS, "store_up is 0")
        await load.answered(300)
        stale = metrics.gauge(gateway, "gateway_route_staleness_seconds")
        ready = [gateway.is_ready() for _ in range(6)]
        os.kill(store, signal.SIGCONT)
        await asyncio.to_thread(eventually, lambda: store_up(gateway), TOLD_SECONDS, "store_up is 1 again")
        after = await asyncio.to_thread(gateway.set_weights, MODEL, {"1": 1, "2": 3})
        await load.answered(150)

    assert load.faults == []
    assert [answer.status for answer in (*writes, order)] == [503] * 4
    assert max(answer.seconds for answer in (*writes, order)) <= WRITE_SECONDS
    assert (shown.status, shown.json()["store"]) == (200, "unavailable")
    assert stale is not None
    assert stale > 2
    assert all(ready)
    assert after.status == 200
    # A refused write may have landed: the store answers what it had read before it froze.
    thawed = int(after.headers["etag"].strip('"'))
    assert {outcome.revision for outcome in load.outcomes} <= set(range(2, thawed + 1))
    assert load.outcomes[-1].revision == thawed
    assert_counts_agree(gateway, [load], before={})


@pytest.mark.long
async def test_a_store_that_is_killed_comes_back_with_its_routes_and_no_request_notices(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(route=ROUTE)
    assert gateway.set_weights(MODEL, {"1": 3, "2": 1}).status == 200
    await asyncio.sleep(1.2)  # the journal is synced every second: what is younger may be lost by a kill, as documented
    store = gateway.store_pid()

    async with Load(gateway.port) as load:
        await load.answered(50)
        os.kill(store, signal.SIGKILL)
        written = lambda: gateway.set_weights(MODEL, {"1": 1, "2": 3}, '"2"').status == 200  # noqa: E731 - asked once
        await asyncio.to_thread(eventually, written, BACK_SECONDS, "a write is taken again, on top of the last one")
        await asyncio.to_thread(eventually, lambda: store_up(gateway), TOLD_SECONDS, "store_up is 1 again")
        await load.answered(150)

    assert load.faults == []
    assert gateway.store_pid() != store
    assert load.outcomes[0].revision == 2
    assert load.outcomes[-1].revision == 3
    assert_counts_agree(gateway, [load], before={})


@pytest.mark.long
def test_without_a_store_at_start_the_routes_served_last_are_served(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)
    assert gateway.set_weights(MODEL, {"1": 0, "2": 1}).status == 200
    snapshot = gateway.state / "routes.snapshot"
    eventually(lambda: json.loads(snapshot.read_bytes().partition(b"\n")[2])[MODEL]["revision"] == 2, 5, "it is saved")
    assert gateway.stop() == 0
    gateway.close()

    gateway.flags = ("--redis-url", f"redis://127.0.0.1:{free_port()}/0")
    gateway.start()

    answers = [gateway.ask("POST", f"/v2/models/{MODEL}/infer", BODY) for _ in range(20)]
    write = gateway.set_weights(MODEL, {"1": 1})
    assert {(a.status, a.headers["x-gateway-version"], a.headers["x-gateway-revision"]) for a in answers} == {
        (200, "2", "2")
    }
    assert (write.status, write.seconds <= WRITE_SECONDS) == (503, True)
    assert not store_up(gateway)

    assert gateway.stop() == 0
    gateway.close()
    damage(snapshot)
    (gateway.state / "routes.snapshot.prev").unlink(missing_ok=True)
    gateway.start()

    answer = gateway.ask("POST", f"/v2/models/{MODEL}/infer", BODY)
    assert (answer.status, answer.headers["x-gateway-revision"]) == (200, "0")
    assert "its digest does not match" in gateway.stderr()


@pytest.mark.long
def test_without_a_store_and_without_a_snapshot_the_route_files_are_served(begin: Callable[..., Gateway]) -> None:
    address = f"redis://127.0.0.1:{free_port()}/0"
    gateway = begin(route='split: {"1": 1, "2": 0}\nbaseline: "1"', has_store=False, flags=("--redis-url", address))

    answers = [gateway.ask("POST", f"/v2/models/{MODEL}/infer", BODY) for _ in range(20)]

    taken = re.search(r"ready after ([0-9.]+) s", gateway.stdout())
    assert taken
    assert float(taken[1]) < 7  # five seconds, and the start of Python and the models
    assert {(a.status, a.headers["x-gateway-version"], a.headers["x-gateway-revision"]) for a in answers} == {
        (200, "1", "0")
    }
    assert all(gateway.is_ready() for _ in range(6))
    assert not store_up(gateway)
    assert gateway.set_weights(MODEL, {"2": 1}).status == 503


def damage(snapshot: Path) -> None:
    """Flip one bit in the middle of the file."""
    content = bytearray(snapshot.read_bytes())
    content[len(content) // 2] ^= 1
    snapshot.write_bytes(content)
