"""Versions come and go, are large, or are bad: what serves goes on serving."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import inside, thresholds
from tests.faults.test_store import grown_ms
from tests.flows.gateway_process import COMMAND, eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, publish, tagged
from tests.flows.reconcile import assert_counts_agree
from tests.flows.test_hot_life import reach, workers
from tests.flows.test_large_load import large, put
from tests.verification import hurtful

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

pytestmark = pytest.mark.fault

ROUTE: Final = 'split: {"1": 1}\nassign: {by: random}\nbaseline: "1"'
RELOADS: Final = 10
CONTROL_RELOADS: Final = 1
PATIENCE_SECONDS: Final = 60.0
LARGE: Final = 640
"""Megabytes."""
LARGE_TIMES: Final = 10


def order(gateway: Gateway, verb: str, version: int) -> int:
    """Order a version to be loaded or unloaded; return the status."""
    return gateway.ask_admin("POST", f"/api/v1/models/{MODEL}/versions/{version}/{verb}").status


# ---- orders


async def reload(gateway: Gateway, times: int) -> tuple[Load, list[int], list[int]]:
    """Unload and load version 2 under load, and each time order to unload the one that serves.

    Return the load, and the statuses of the orders for version 2 and of those for version 1.
    """
    taken, refused = [], []
    async with Load(gateway.port) as load:
        await load.answered(50)
        for _ in range(times):
            taken.append(await asyncio.to_thread(order, gateway, "unload", 2))
            await reach(gateway, "UNAVAILABLE", 2)
            refused.append(await asyncio.to_thread(order, gateway, "unload", 1))
            taken.append(await asyncio.to_thread(order, gateway, "load", 2))
            await reach(gateway, "READY", 2)
        await load.answered(50)
    return load, taken, refused


async def test_what_serves_cannot_be_unloaded_and_does_not_notice_what_is(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE)

    load, taken, refused = await reload(gateway, RELOADS)

    with table.promise(
        "R11", f"a version unloaded and loaded {RELOADS} times, orders to unload the one needed"
    ) as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("orders for what is not needed that were refused", sum(s != 202 for s in taken), thresholds.NONE)
        found("orders for what is needed not refused with 409", sum(s != 409 for s in refused), thresholds.NONE)
    assert_counts_agree(gateway, [load], before={})


async def test_control_orders_that_are_followed_whatever_they_take_away_cost_answers(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE, command=inside.command("unload-what-is-needed"))

    async with Load(gateway.port) as load:
        await load.answered(50)
        assert await asyncio.to_thread(order, gateway, "unload", 1) == 202
        await load.answered(150)

    with table.control("R11", "orders are followed, whatever needs the version") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)


# ---- large versions


async def load_large(
    begin: Callable[..., Gateway], times: int, command: Sequence[str] = COMMAND
) -> tuple[Gateway, Load, float]:
    """Load and unload a large version under load; return the gateway, the load, and when (monotonic) that began."""
    gateway, content = begin(route=ROUTE, versions=(1,), command=command), large(LARGE)
    async with Load(gateway.port) as load:
        await load.answered(300)
        struck = time.monotonic()
        await asyncio.to_thread(put, gateway.models, 3, content)
        await until(gateway, 3, "READY")
        for _ in range(times - 1):
            for verb, state in (("unload", "UNAVAILABLE"), ("load", "READY")):
                assert await asyncio.to_thread(order, gateway, verb, 3) == 202
                await until(gateway, 3, state)
        await load.answered(50)
    return gateway, load, struck


async def until(gateway: Gateway, version: int, state: str) -> None:
    is_so = lambda: workers(gateway, state, version)  # noqa: E731 - asked once
    await asyncio.to_thread(eventually, is_so, PATIENCE_SECONDS, f"version {version} is {state} on both workers")


def longest(load: Load, since: float) -> float:
    """Return the longest that a request waited which was due *since* then, seconds."""
    return max(each.latency for each in load.outcomes if each.due >= since)


@pytest.mark.timeout(300)
async def test_requests_do_not_wait_for_a_large_version_that_is_loaded(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway, load, struck = await load_large(begin, LARGE_TIMES)

    before = [each for each in load.outcomes if each.due < struck]
    during = [each for each in load.outcomes if each.due >= struck]
    with table.promise("R12", f"{LARGE} MB loaded {LARGE_TIMES} times") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("the longest wait", longest(load, struck), thresholds.STALL)
        found("median grows by", grown_ms(before, during, 50), thresholds.SLOWER)
        found("p99 grows by", grown_ms(before, during, 99), thresholds.BESIDE)
    assert_counts_agree(gateway, [load], before={})


async def test_control_a_load_that_takes_the_event_loop_holds_requests_up(
    begin: Callable[..., Gateway], table: Table
) -> None:
    _, load, struck = await load_large(begin, 1, inside.command("load-on-the-loop"))

    with table.control("R12", "a version is loaded on the event loop") as found:
        found("the longest wait", longest(load, struck), thresholds.STALL)


# ---- bad versions

BAD: Final = {
    3: ("no model", b"not a model"),
    4: ("cut off", tagged(4)[:-40]),
    5: ("crashes while it is loaded", hurtful.crashing_at_load()),
    6: ("crashes when it is warmed", hurtful.crashing_in_warm_up()),
}


def state(gateway: Gateway, version: int) -> tuple[str, str]:
    """Return a version's state and the reason."""
    found = gateway.index().get((MODEL, str(version)), {})
    return found.get("state", ""), found.get("reason", "")


async def test_a_bad_version_is_failed_with_its_reason_and_nobody_else_notices(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway = begin(route=ROUTE, versions=(1, 2))
    pids = gateway.worker_pids()

    async with Load(gateway.port) as load:
        await load.answered(50)
        for version, (_, content) in BAD.items():
            publish(gateway.models, version, content)

        def told() -> bool:
            return all(state(gateway, version)[0] == "UNAVAILABLE" for version in BAD)

        await asyncio.to_thread(eventually, told, PATIENCE_SECONDS, "each has its reason")
        await load.answered(100)
    served = [gateway.set_weights(MODEL, {"1": 1, str(version): 1}).status for version in BAD]

    with table.promise("R13", f"{len(BAD)} versions: {', '.join(what for what, _ in BAD.values())}") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("bad versions that are ready", sum(state(gateway, v)[0] == "READY" for v in BAD), thresholds.NONE)
        found("weights for them that were taken", sum(status not in {409, 422} for status in served), thresholds.NONE)
        found("workers that are another process", len(set(pids) - set(gateway.worker_pids())), thresholds.NONE)
    assert_counts_agree(gateway, [load], before={})


async def test_control_a_file_that_is_trusted_takes_the_worker_with_it(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE, versions=(1, 2), command=inside.command("trust-every-file"))
    pids = gateway.worker_pids()

    publish(gateway.models, 5, hurtful.crashing_at_load())

    def gone() -> set[int]:
        return set(pids) - set(gateway.worker_pids())

    await asyncio.to_thread(eventually, gone, PATIENCE_SECONDS, "a worker dies")
    (gateway.models / MODEL / "5" / "model.onnx").unlink()

    with table.control("R13", "files are loaded as they come") as found:
        found("workers that are another process", len(gone()), thresholds.NONE)
