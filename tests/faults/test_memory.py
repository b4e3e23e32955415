"""Versions come and go under load, and the memory that they took is given back."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

import pytest

from gateway.models.memory import anonymous_bytes
from tests.engine import graphs
from tests.faults import inside, thresholds
from tests.flows.conftest import seeded
from tests.flows.gateway_process import COMMAND, eventually
from tests.flows.load import Load
from tests.flows.models import publish
from tests.flows.reconcile import assert_counts_agree
from tests.flows.test_hot_life import order, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.table import Found, Table
    from tests.flows.gateway_process import Gateway

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and only glibc keeps what is freed"),
]

ROUTE: Final = 'split: {"1": 1}\nassign: {by: random}\nbaseline: "1"'
HEAVY: Final = "heavy"
MEGABYTES: Final = 30
"""Of weights. From 32 MiB on glibc gives back what is freed by itself, and the control would show nothing."""
CYCLES: Final = 10
CONTROL_CYCLES: Final = 5
SETTLED: Final = 3
"""Cycles that are not judged. Of the others the least is: malloc_trim does not reach the end of the heap of a thread,
which the next load uses again, so that some cycles end with the memory of a version that is gone, and not all may."""
PATIENCE_SECONDS: Final = 15.0


async def held(gateway: Gateway) -> list[float]:
    """Return the least that each worker has in memory of its own within a second, MiB: a version is said to be gone a
    moment before its memory is."""
    figures = []
    for _ in range(10):
        figures.append([anonymous_bytes(pid) / 2**20 for pid in gateway.worker_pids()])
        await asyncio.sleep(0.1)
    return [min(each) for each in zip(*figures, strict=True)]


async def come_and_go(
    begin: Callable[..., Gateway], cycles: int, command: Sequence[str] = COMMAND
) -> tuple[Gateway, Load, list[list[float]]]:
    """Load and unload a heavy version under load; return the gateway, the load, and what each worker holds, MiB,
    before and after each cycle."""
    gateway = begin(route=ROUTE, versions=(1,), command=command)
    publish(gateway.models, 1, graphs.heavy(1), model=HEAVY)
    await reach(gateway, "READY", 1, model=HEAVY)
    await asyncio.to_thread(eventually, lambda: seeded(gateway), PATIENCE_SECONDS, "the heavy model has its route")
    async with Load(gateway.port) as load:
        await load.answered(200)
        after = [await held(gateway)]
        publish(gateway.models, 2, graphs.heavy(MEGABYTES), model=HEAVY)
        for cycle in range(cycles):
            if cycle:
                await order(gateway, "load", 2, model=HEAVY)
            await reach(gateway, "READY", 2, model=HEAVY)
            await order(gateway, "unload", 2, model=HEAVY)
            await reach(gateway, "UNAVAILABLE", 2, model=HEAVY)
            after.append(await held(gateway))
    return gateway, load, after


def tell_of_memory(found: Found, after: Sequence[Sequence[float]]) -> None:
    """Note what the worker that kept more holds over what it held before, at least and at most."""
    workers = [[figure - each[0] for figure in each[1:]] for each in zip(*after, strict=True)]
    kept = max(min(each[SETTLED:]) for each in workers)
    found(f"held more at least, {len(after) - 1} cycles", kept, thresholds.KEPT)
    found("held more at most", max(map(max, workers)), thresholds.HEAPED)


async def test_versions_that_come_and_go_under_load_give_their_memory_back(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway, load, after = await come_and_go(begin, CYCLES)

    with table.promise("R14", f"{MEGABYTES} MB loaded and unloaded {CYCLES} times") as found:
        tell_of_memory(found, after)
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
    assert_counts_agree(gateway, [load], before={})


async def test_control_workers_that_keep_what_is_freed_hold_a_version_that_is_gone(
    begin: Callable[..., Gateway], table: Table
) -> None:
    _, _, after = await come_and_go(begin, CONTROL_CYCLES, inside.command("keep-memory"))

    with table.control("R14", "freed memory is kept") as found:
        tell_of_memory(found, after)
