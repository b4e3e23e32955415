"""Processes that are killed or hang: the others answer on, they come back, and no count is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from tests.flows import metrics
from tests.flows.gateway_process import Gateway, eventually
from tests.flows.load import Connection, Load
from tests.flows.models import MODEL, request
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

ROUTE: Final = 'split: {"1": 1, "2": 1}\nassign: {by: random}\nbaseline: "1"'
PATH: Final = f"/v2/models/{MODEL}/infer"

REPLACED_SECONDS: Final = 4.0
WEDGED_SECONDS: Final = 15.0
CHILDREN_GONE_SECONDS: Final = 5.0
QUICK_SECONDS: Final = 1.0
"""Longer than any answer of a gateway on a busy test machine takes, and far shorter than a hang."""


def is_whole(gateway: Gateway, *, without: int) -> bool:
    """Say whether all workers are there, with their versions ready, and *without* the one that was killed."""
    pids = gateway.worker_pids()
    ready = metrics.gauge(gateway, "gateway_version_loaded", model=MODEL, version="1")
    return without not in pids and len(pids) == gateway.workers == ready


def kill(pid: int) -> float:
    """Kill a process of a gateway and return when."""
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


async def test_a_killed_worker_is_replaced_and_what_it_counted_stays_counted(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)
    async with Load(gateway.port, keep_alive=False) as before:
        await before.answered(200)
    assert len({outcome.worker for outcome in before.outcomes}) == 2
    assert_counts_agree(gateway, [before], before={})
    victim = gateway.worker_pids()[0]

    kill(victim)
    eventually(lambda: is_whole(gateway, without=victim), REPLACED_SECONDS, "the worker is replaced")
    assert_counts_agree(gateway, [before], before={})
    async with Load(gateway.port, keep_alive=False) as after:
        await after.answered(200)

    assert before.faults == after.faults == []
    assert_counts_agree(gateway, [before, after], before={})
    assert not metrics.requests(gateway, "gateway_error")
    assert metrics.gauge(gateway, "gateway_worker_deaths_total") == 1


async def test_a_worker_killed_under_load_loses_only_what_it_was_answering_and_no_counter_falls(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(route=ROUTE)
    victim = gateway.worker_pids()[0]
    seen: list[Counter[str]] = []

    async def watch() -> None:
        while True:
            seen.append(await asyncio.to_thread(metrics.requests, gateway))

    async with Load(gateway.port) as kept, Load(gateway.port, keep_alive=False) as fresh:
        watching = asyncio.create_task(watch())
        await kept.answered(100)
        killed_at = kill(victim)
        await asyncio.to_thread(eventually, lambda: is_whole(gateway, without=victim), REPLACED_SECONDS, "replaced")
        await kept.answered(100)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    lost = [*kept.faults, *fresh.faults]
    assert len(lost) <= 4, lost
    assert all(killed_at - QUICK_SECONDS < outcome.due < killed_at + 0.1 for outcome in lost), lost
    for earlier, later in pairwise(seen):
        assert all(later[version] >= count for version, count in earlier.items()), (earlier, later)
    answered = (kept.by_model() + fresh.by_model()).total()
    counted = metrics.requests(gateway).total()
    assert answered <= counted <= answered + len(lost)


async def test_the_control_process_may_die_and_no_request_notices(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)
    workers, victim = gateway.worker_pids(), gateway.control_pid()

    async with Load(gateway.port) as load:
        await load.answered(50)
        kill(victim)
        back = lambda: gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/route").status == 200  # noqa: E731 - asked once
        await asyncio.to_thread(eventually, lambda: _holds(back), REPLACED_SECONDS, "the admin API answers again")
        await load.answered(100)

    assert load.faults == []
    assert gateway.worker_pids() == workers
    assert gateway.control_pid() != victim
    assert gateway.set_weights(MODEL, {"2": 1}).status == 200
    assert_counts_agree(gateway, [load], before={})


def _holds(question: Callable[[], bool]) -> bool:
    """Ask a process that may be away."""
    try:
        return question()
    except OSError:
        return False


@pytest.mark.long
async def test_a_wedged_worker_is_replaced_and_the_other_answers_on(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)
    victim = gateway.worker_pids()[0]
    os.kill(victim, signal.SIGSTOP)
    slowest, began = 0.0, time.monotonic()

    async with contextlib.aclosing(await connection_that_answers(gateway)) as line:
        while not await asyncio.to_thread(is_whole, gateway, without=victim):
            asked = time.monotonic()
            status, _, _ = await asyncio.wait_for(line.post(PATH, BODY, {}), QUICK_SECONDS)
            assert status == 200
            slowest = max(slowest, time.monotonic() - asked)
            assert time.monotonic() - began < WEDGED_SECONDS
            await asyncio.sleep(0.05)  # the pace of this caller, not a wait

    assert slowest < QUICK_SECONDS
    async with Load(gateway.port, keep_alive=False) as after:
        await after.answered(60)
    assert after.faults == []


async def connection_that_answers(gateway: Gateway) -> Connection:
    """Return a connection to a worker that is not stopped; those to the other one get no answer."""
    while True:
        line = await Connection.open(gateway.port)
        try:
            await asyncio.wait_for(line.post(PATH, BODY, {}), QUICK_SECONDS)
        except TimeoutError:
            await line.aclose()
        else:
            return line


BODY: Final = json.dumps(request([1, 2])).encode()


def test_a_killed_launcher_leaves_no_process_and_its_state_can_be_used_again(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)
    assert gateway.set_weights(MODEL, {"1": 0, "2": 1}).status == 200
    eventually(lambda: metrics.adopted(gateway) == 2, 3, "both workers follow")
    children = {*gateway.worker_pids(), gateway.control_pid(), gateway.store_pid()}
    assert len(children) == 4

    gateway.signal(signal.SIGKILL)
    gateway.wait()

    eventually(lambda: not gateway.left() & children, CHILDREN_GONE_SECONDS, "no child is left")
    gateway.close()
    gateway.start()
    answer = gateway.ask("POST", PATH, request([1, 2]))
    assert (answer.status, answer.headers["x-gateway-version"]) == (200, "2")
