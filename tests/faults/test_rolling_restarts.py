"""Two replicas behind haproxy are restarted in turns, as for a new release: no request fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from load_tests.servers import free_port
from tests.faults import thresholds
from tests.faults.balancer import Balancer, needs_haproxy
from tests.faults.store_server import needs_redis, network, store, url
from tests.flows.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.proxy import Network

__all__ = ["network", "store"]
pytestmark = [pytest.mark.fault, needs_haproxy, needs_redis]

ROUTE: Final = 'split: {"1": 95, "2": 5}\nassign: {by: random}\nbaseline: "1"'
ROUNDS: Final = 2
NOTICED: Final = 100
"""Requests until the balancer surely sends to a gateway that is back: a second."""


async def restart_in_turns(
    begin: Callable[..., Gateway], directory: Path, network: Network, drain: str, rounds: int
) -> tuple[list[Load], list[int]]:
    """Restart each of two replicas *rounds* times under load; return the loads and the exit codes."""
    ports = [free_port(), free_port()]
    replicas = [
        begin(
            f"replica-{place}",
            route=ROUTE,
            workers=1,
            flags=("--redis-url", url(network), "--port", str(port), "--drain-delay", drain),
        )
        for place, port in enumerate(ports)
    ]
    codes = []
    with Balancer(directory, ports) as balancer:
        await asyncio.sleep(1.0)  # its first probes
        async with Load(balancer.port, rate=50) as kept, Load(balancer.port, rate=50, keep_alive=False) as fresh:
            for replica in replicas * rounds:
                await kept.answered(NOTICED)
                codes.append(await asyncio.to_thread(replica.stop))
                await asyncio.to_thread(replica.close)
                await asyncio.to_thread(replica.start)
            await kept.answered(NOTICED)
    return [kept, fresh], codes


async def test_rolling_restarts_behind_a_balancer_lose_nothing(
    begin: Callable[..., Gateway], tmp_path: Path, network: Network, table: Table
) -> None:
    loads, codes = await restart_in_turns(begin, tmp_path, network, "2s", ROUNDS)

    with table.promise("R16", f"{len(codes)} restarts behind haproxy, --drain-delay 2s") as found:
        found("requests not answered with 200", sum(len(load.faults) for load in loads), thresholds.NONE)
        found("answers by another version than they name",
              sum(o.version != o.said for load in loads for o in load.outcomes), thresholds.NONE)  # fmt: skip
        found("exit codes other than 0", sum(code != 0 for code in codes), thresholds.NONE)


async def test_control_restarts_without_a_drain_delay_lose_requests(
    begin: Callable[..., Gateway], tmp_path: Path, network: Network, table: Table
) -> None:
    loads, codes = await restart_in_turns(begin, tmp_path, network, "0s", 1)

    with table.control("R16", f"{len(codes)} restarts behind haproxy, --drain-delay 0s") as found:
        found("requests not answered with 200", sum(len(load.faults) for load in loads), thresholds.NONE)
