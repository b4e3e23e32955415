"""The kernel kills a worker that grows past the limit of its container: it is replaced, and the others answer on."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import inside, thresholds
from tests.faults.memory_limit import MemoryLimit, limited
from tests.faults.test_workers import ROUTE, seconds_until
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.test_worker_faults import is_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

__all__ = ["limited"]
pytestmark = pytest.mark.fault

LIMIT_BYTES: Final = 450 << 20
"""Half as much again as two workers, the control process, the store and the prober take together."""
LEAK_SECONDS: Final = 60.0
"""So long a leak of 40 MiB a second may take to that limit."""


async def leak_to_the_limit(gateway: Gateway, limited: MemoryLimit) -> tuple[list[Load], float]:
    """Let a worker leak under load until the kernel kills it; return the loads and the seconds to its replacement."""
    victim = gateway.worker_pids()[0]
    async with Load(gateway.port, rate=50) as kept, Load(gateway.port, rate=50, keep_alive=False) as fresh:
        await kept.answered(50)
        os.kill(victim, inside.BEGIN)
        killed = lambda: limited.kills > 0  # noqa: E731 - asked once
        await asyncio.to_thread(eventually, killed, LEAK_SECONDS, "the kernel kills")
        whole = lambda: is_whole(gateway, without=victim)  # noqa: E731 - asked once
        back = await asyncio.to_thread(seconds_until, whole, "the worker is replaced")
        await kept.answered(100)
    return [kept, fresh], back


@pytest.mark.parametrize("limited", [LIMIT_BYTES], indirect=True)
async def test_a_worker_that_the_kernel_kills_for_its_memory_is_replaced_and_takes_no_more_with_it(
    limited: MemoryLimit, begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE, command=inside.command("leak"), prefix=limited.prefix)
    control = gateway.control_pid()

    loads, back = await leak_to_the_limit(gateway, limited)

    lost = sum(len(load.faults) for load in loads)
    answered = sum(load.by_model().total() for load in loads)
    counted = metrics.requests(gateway).total()
    with table.promise("R15 R19", f"the kernel's own kill, under a limit of {LIMIT_BYTES >> 20} MiB") as found:
        found("workers that the kernel killed", limited.kills, thresholds.SOME)
        found("requests lost", lost, thresholds.STALLED)
        found("until it is replaced", back, thresholds.REPLACED)
        found("other processes that are gone", control != gateway.control_pid(), thresholds.NONE)
        found("answers that no metric counts", max(0, answered - counted), thresholds.NONE)
        found("counted, and neither answered nor lost", max(0, counted - answered - lost), thresholds.NONE)


@pytest.mark.parametrize("limited", [LIMIT_BYTES], indirect=True)
async def test_control_a_launcher_that_notices_the_kernels_kill_late_replaces_late(
    limited: MemoryLimit, begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE, command=inside.command("leak", "replace-late"), prefix=limited.prefix)

    _, back = await leak_to_the_limit(gateway, limited)

    with table.control("R15 R19", f"the kernel's own kill under {LIMIT_BYTES >> 20} MiB, noticed 8 s late") as found:
        found("until it is replaced", back, thresholds.REPLACED)
