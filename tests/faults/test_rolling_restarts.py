"""Two replicas behind haproxy are restarted in turns, as for a new release: no request fails."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

import pytest

from load_tests.servers import free_port
from tests.faults import thresholds
from tests.faults.balancer import Balancer, needs_haproxy
from tests.faults.store_server import needs_redis, network, store, url
from tests.flows import metrics
from tests.flows.gateway_process import eventually
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
ROUNDS: Final = 10
RATE: Final = 100.0
"""On kept connections, and as many on new ones: with the rounds some 20,000 requests."""
BETWEEN: Final = 100
"""Requests on kept connections between two restarts: a second."""
PATIENCE_SECONDS: Final = 15.0
ASK_SECONDS: Final = 0.1


@dataclass(slots=True)
class Counts:
    """What each of those counted who had a part in it; *gateways* by version, summed over their processes' lives."""

    loads: list[Load]
    codes: list[int] = field(default_factory=list)
    balancer: int = 0
    gateways: Counter[str] = field(default_factory=Counter)

    @property
    def callers(self) -> int:
        return sum(load.by_header().total() for load in self.loads)

    @property
    def models(self) -> Counter[str]:
        return sum((load.by_model() for load in self.loads), Counter())


def stop_and_count(replica: Gateway) -> tuple[int, Counter[str]]:
    """Stop a gateway; return its exit code, and what it had counted when it last told, long after its last request."""
    counted: Counter[str] = Counter()
    replica.signal(signal.SIGTERM)
    with contextlib.suppress(OSError, HTTPException):  # it is asked until it does not answer any more
        while replica.exit_code() is None:
            counted = metrics.requests(replica)
            time.sleep(ASK_SECONDS)
    return replica.wait(), counted


async def restart_in_turns(
    begin: Callable[..., Gateway], directory: Path, network: Network, drain: str, rounds: int
) -> Counts:
    """Restart each of two replicas *rounds* times under load, and count."""
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
    with Balancer(directory, ports) as balancer:
        await asyncio.to_thread(eventually, balancer.sends_to_all, PATIENCE_SECONDS, "the balancer sends to both")
        async with Load(balancer.port, rate=RATE) as kept, Load(balancer.port, rate=RATE, keep_alive=False) as fresh:
            counts = Counts([kept, fresh])
            for replica in replicas * rounds:
                await kept.answered(BETWEEN)
                code, counted = await asyncio.to_thread(stop_and_count, replica)
                counts.codes.append(code)
                counts.gateways += counted
                await asyncio.to_thread(replica.close)
                await asyncio.to_thread(replica.start)
                await asyncio.to_thread(
                    eventually, balancer.sends_to_all, PATIENCE_SECONDS, "the balancer sends to both again"
                )
            await kept.answered(BETWEEN)
        counts.balancer = balancer.answered()
        counts.gateways += sum((metrics.requests(replica) for replica in replicas), Counter())
    return counts


@pytest.mark.timeout(600)
async def test_rolling_restarts_behind_a_balancer_lose_nothing_and_all_count_the_same(
    begin: Callable[..., Gateway], tmp_path: Path, network: Network, table: Table
) -> None:
    counts = await restart_in_turns(begin, tmp_path, network, "2s", ROUNDS)

    outcomes = [outcome for load in counts.loads for outcome in load.outcomes]
    with table.promise("R16", f"{len(counts.codes)} restarts behind haproxy, --drain-delay 2s") as found:
        found("requests not answered with 200", sum(bool(each.fault) for each in outcomes), thresholds.NONE)
        found("answers by another version than they name", sum(o.version != o.said for o in outcomes), thresholds.NONE)
        found("exit codes other than 0", sum(code != 0 for code in counts.codes), thresholds.NONE)
        found("answers that haproxy counts otherwise", abs(counts.balancer - counts.callers), thresholds.NONE)
        found("answers that gateways do not count", (counts.models - counts.gateways).total(), thresholds.NONE)
        found("counted by gateways, and not answered", (counts.gateways - counts.models).total(), thresholds.NONE)


async def test_control_restarts_without_a_drain_delay_lose_requests(
    begin: Callable[..., Gateway], tmp_path: Path, network: Network, table: Table
) -> None:
    counts = await restart_in_turns(begin, tmp_path, network, "0s", 1)

    with table.control("R16", f"{len(counts.codes)} restarts behind haproxy, --drain-delay 0s") as found:
        found("requests not answered with 200", sum(len(load.faults) for load in counts.loads), thresholds.NONE)
