"""Stopping and rolling: an idle gateway ends at once, a busy one loses nothing that it may not lose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from gateway.processes.state import StateDirectory
from tests.flows.gateway_process import eventually
from tests.flows.load import Connection, Load
from tests.flows.models import MODEL, request
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.flows.gateway_process import Gateway

ROUTE: Final = 'split: {"1": 1, "2": 1}\nassign: {by: random}\nbaseline: "1"'
IDLE_SECONDS: Final = 4.0
PROBE_SECONDS: Final = 0.2
FAILED_PROBES: Final = 2
"""So many in a row and a balancer sends no more, as Kubernetes and nginx do it."""

DRAIN: Final = 1.5
IDLE_CONNECTIONS: Final = 10
INFER: Final = f"/v2/models/{MODEL}/infer"


class Balancer:
    """Sends to a gateway until some probes in a row were not answered with 200, as a load balancer does."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.is_open = True
        self.closed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def probing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._probe())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _probe(self) -> None:
        failed = 0
        while failed < FAILED_PROBES:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                ready = await asyncio.to_thread(self._gateway.is_ready)
            except OSError:
                ready = False
            failed = 0 if ready else failed + 1
        self.is_open = False
        self.closed.set()


def test_an_idle_gateway_stops_at_once_and_leaves_nothing(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE, flags=("--drain-delay", "5s"))
    slabs = StateDirectory(gateway.state).slabs
    began = time.monotonic()

    code = gateway.stop()

    assert code == 0
    assert time.monotonic() - began < IDLE_SECONDS
    assert gateway.left() == set()
    assert gateway.runtime_files() == []
    assert not (gateway.state / "run").exists()
    assert not slabs.exists()


def test_ctrl_c_stops_an_idle_gateway_too(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)

    gateway.signal(signal.SIGINT)

    assert gateway.wait(IDLE_SECONDS) == 0
    assert "Traceback" not in gateway.stderr()


async def test_a_stop_under_load_loses_nothing_behind_a_balancer_that_honours_readiness(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(route=ROUTE, flags=("--drain-delay", f"{DRAIN}s"))

    kept, fresh, stopped_at = await stop_under_load(gateway)

    assert gateway.exit_code() == 0
    assert kept.faults == fresh.faults == []
    assert [o for o in (*kept.outcomes, *fresh.outcomes) if o.due > stopped_at], "nothing was served while draining"


async def test_a_stop_without_a_drain_delay_does_lose_requests(begin: Callable[..., Gateway]) -> None:
    """The negative control: what the delay is for."""
    gateway = begin(route=ROUTE, flags=("--drain-delay", "0s"))

    kept, fresh, _ = await stop_under_load(gateway)

    assert gateway.exit_code() == 0
    assert len(kept.faults) + len(fresh.faults) > 0


async def stop_under_load(gateway: Gateway) -> tuple[Load, Load, float]:
    """Send SIGTERM under load on kept and on new connections; return both loads, and when it was sent."""
    balancer = Balancer(gateway)

    def may_send() -> bool:
        return balancer.is_open

    kept = Load(gateway.port, rate=150, may_send=may_send)
    fresh = Load(gateway.port, rate=50, keep_alive=False, may_send=may_send)
    async with balancer.probing(), kept, fresh:
        await kept.answered(150)
        stopped_at = time.monotonic()
        gateway.signal(signal.SIGTERM)
        await asyncio.gather(asyncio.to_thread(gateway.wait), balancer.closed.wait())
    return kept, fresh, stopped_at


async def test_workers_are_rolled_one_by_one_and_no_request_fails(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)
    idle = [await Connection.open(gateway.port) for _ in range(IDLE_CONNECTIONS)]
    before_the_roll = [await ask(connection) for connection in idle]

    async with Load(gateway.port, rate=150) as kept, Load(gateway.port, rate=100, keep_alive=False) as fresh:
        for _ in range(2):
            await kept.answered(100)
            before = set(gateway.worker_pids())
            gateway.signal(signal.SIGHUP)
            await asyncio.to_thread(eventually, lambda: is_rolled(gateway, before), 30, "every worker is another one")  # noqa: B023 - awaited here
        await kept.answered(100)

    assert kept.faults == fresh.faults == []
    assert_counts_agree(gateway, [kept, fresh], before=Counter(before_the_roll))
    assert all([await ask(connection) for connection in idle]), "what was idle is still open, with another worker"
    for connection in idle:
        await connection.aclose()


async def ask(connection: Connection) -> str:
    """Return the version that answered."""
    status, headers, _ = await connection.post(INFER, json.dumps(request([1.0, 2.0])).encode(), {})
    assert status == 200
    return headers["x-gateway-version"]


def is_rolled(gateway: Gateway, before: set[int]) -> bool:
    pids = gateway.worker_pids()
    return len(pids) == gateway.workers and not before & set(pids)
