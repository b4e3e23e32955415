"""The wall clock of one node steps by an hour, both ways: no routing, no deadline and no lease follows it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Final

import pytest

from gateway.ports.evidence import LEASE_SECONDS
from gateway.store.keys import lease_key
from tests.faults import inside, thresholds
from tests.faults.store_server import needs_redis, network, store, url
from tests.faults.wall_clock import WallClock, needs_compiler
from tests.flows import metrics
from tests.flows.gateway_process import COMMAND, eventually
from tests.flows.load import Connection, Load
from tests.flows.models import MODEL, hanging, publish, repository, request
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.faults.store_server import StoreServer
    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.proxy import Network

__all__ = ["network", "store"]
pytestmark = [pytest.mark.fault, needs_redis, needs_compiler]

ROUTE: Final = 'split: {"1": 1}\nassign: {by: random}\nbaseline: "1"'
HOUR: Final = 3600
JUMPS: Final = (HOUR, -HOUR, 0)
"""How far the clock is off, in turn: an hour ahead, two back, and right again."""
HANGING: Final = 3
HANG_PATH: Final = f"/v2/models/{MODEL}/versions/{HANGING}/infer"
HANG_BODY: Final = json.dumps(request([1000, 1])).encode()
DEADLINE_SECONDS: Final = 1.0
STEP_AFTER_SECONDS: Final = 0.3
"""A request of DEADLINE_SECONDS is under way for so long when the clock steps."""
PATIENCE_SECONDS: Final = 10.0
ROLLOUTS: Final = f"/api/v1/models/{MODEL}/rollouts"
PLAN: Final = {"candidate": "2", "steps": [{"weight": 5, "for": "30m"}], "guards": {"errors": {}, "invalid": {}}}
"""A step that ends by itself within the hour by which the clock steps."""


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """The clock of the node whose time is wrong."""
    (tmp_path / "clock").mkdir()
    return WallClock(tmp_path / "clock")


def node(
    begin: Callable[..., Gateway], tmp_path: Path, clock: WallClock, network: Network, command: Sequence[str] = COMMAND
) -> Gateway:
    """Start the gateway that reads *clock*; its third version hangs where the request says so."""
    models = repository(tmp_path / "models", (1, 2))
    publish(models, HANGING, hanging(HANGING))
    flags = ("--redis-url", url(network), "--request-timeout", f"{DEADLINE_SECONDS:g}s")
    gateway = begin(
        "node", models=models, route=ROUTE, workers=1, flags=flags, environment=clock.environment, command=command
    )
    eventually(lambda: is_everywhere(gateway, HANGING), PATIENCE_SECONDS, "the version that hangs is on every worker")
    return gateway


def is_everywhere(gateway: Gateway, version: int) -> bool:
    """Say whether a version is ready on every worker."""
    rows = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/versions").json()["versions"]
    workers = next(row["workers"] for row in rows if row["version"] == str(version))
    return bool(workers["ready"] == workers["total"] == gateway.workers)


async def off_by(gateway: Gateway, clock: WallClock, seconds: int) -> float:
    """Step the clock to be *seconds* off while a request hangs; return how much that missed its deadline, seconds."""
    async with contextlib.aclosing(await Connection.open(gateway.port)) as line:
        began = time.monotonic()
        asking = asyncio.create_task(line.post(HANG_PATH, HANG_BODY, {}))
        await asyncio.sleep(STEP_AFTER_SECONDS)
        clock.step(seconds)
        with contextlib.suppress(TimeoutError):
            status, _, body = await asyncio.wait_for(asking, PATIENCE_SECONDS)
            assert status == 504, body
        return abs(time.monotonic() - began - DEADLINE_SECONDS)


def phase(gateway: Gateway) -> str:
    """Return where the rollout is."""
    return str(gateway.ask_admin("GET", f"{ROLLOUTS}/current").json()["phase"])


def lease_is_odd(store: StoreServer) -> bool:
    """Say whether somebody holds the lease of the rollout for longer than a lease lasts."""
    left_ms: int = store.ask("PTTL", lease_key(MODEL))
    return left_ms == -1 or left_ms > 1000 * LEASE_SECONDS


async def test_a_wall_clock_that_steps_by_an_hour_moves_no_routing_deadline_or_lease(
    begin: Callable[..., Gateway], tmp_path: Path, clock: WallClock, store: StoreServer, network: Network, table: Table
) -> None:
    gateway = node(begin, tmp_path, clock, network)
    steady = begin("steady", route=ROUTE, flags=("--redis-url", url(network)))
    assert gateway.ask_admin("POST", ROLLOUTS, PLAN, if_match="*").status == 201
    eventually(lambda: phase(steady) == "step", PATIENCE_SECONDS, "the rollout has its step")
    revision = int(steady.ask_admin("GET", f"/api/v1/models/{MODEL}/route").headers["etag"].strip('"'))
    eventually(lambda: metrics.adopted(gateway) == revision, PATIENCE_SECONDS, "the node follows")
    before = metrics.requests(gateway)

    misses, moved, odd = [], 0, 0
    await off_by(gateway, clock, 0)  # after which it is known to be slow, and runs on a thread
    async with Load(gateway.port) as load:
        for jump in JUMPS:
            misses.append(await off_by(gateway, clock, jump))
            await load.answered(100)
            moved += phase(steady) != "step"
            odd += lease_is_odd(store)

    with table.promise("R24", f"the wall clock of one node {HOUR} s ahead, then behind, then right") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("answers off the recorded revision", sum(o.revision != revision for o in load.outcomes), thresholds.NONE)
        found(f"a deadline of {DEADLINE_SECONDS:g} s missed by, at worst", max(misses), thresholds.DEADLINE)
        found("looks at a rollout that had moved", moved, thresholds.NONE)
        found("looks at a lease longer than leases are", odd, thresholds.NONE)
    assert_counts_agree(gateway, [load], before=before)


async def test_control_deadlines_of_the_wall_clock_are_met_at_once_when_it_steps(
    begin: Callable[..., Gateway], tmp_path: Path, clock: WallClock, network: Network, table: Table
) -> None:
    gateway = node(begin, tmp_path, clock, network, inside.command("wall-time"))

    await off_by(gateway, clock, 0)  # after which it is known to be slow, and runs on a thread
    missed = await off_by(gateway, clock, HOUR)

    with table.control("R24", f"deadlines are of the wall clock, which steps {HOUR} s ahead") as found:
        found(f"a deadline of {DEADLINE_SECONDS:g} s missed by", missed, thresholds.DEADLINE)
