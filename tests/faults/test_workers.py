"""Workers die, hang or grow, the launcher and the control process die: little is lost, and all of it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from gateway.models.memory import anonymous_bytes
from tests.faults import inside, thresholds
from tests.faults.new_channels import NewChannels
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, request
from tests.flows.reconcile import assert_counts_agree
from tests.flows.test_grpc import free_port
from tests.flows.test_worker_faults import BODY, PATH, connection_that_answers, is_whole
from tests.machine import starved_seconds

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tests.faults.table import Found, Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.load import Connection

pytestmark = pytest.mark.fault

ROUTE: Final = 'split: {"1": 95, "2": 5}\nassign: {by: random}\nbaseline: "1"'
KILLS: Final = 50
PATIENCE_SECONDS: Final = 20.0
PACE_SECONDS: Final = 0.05
LATE_SECONDS: Final = 1.0
"""Longer than any answer takes that has a processor, and far shorter than a hang."""
WORKER_MIB: Final = 200


def seconds_until(holds: Callable[[], object], what: str) -> float:
    """Return how long it took; a fault that is never mended took all the patience there is."""
    try:
        return eventually(holds, PATIENCE_SECONDS, what)
    except AssertionError:
        return PATIENCE_SECONDS


async def kill_workers(gateway: Gateway) -> tuple[list[Load], list[float], list[Counter[str]]]:
    """Kill a worker KILLS times under load; return the loads, the seconds to each replacement, and what was scraped."""
    seen: list[Counter[str]] = []
    back: list[float] = []
    async with Load(gateway.port, rate=50) as kept, Load(gateway.port, rate=50, keep_alive=False) as fresh:
        for turn in range(KILLS):
            await kept.answered(100)  # a worker that lived for less than 2 s is replaced later
            seen.append(await asyncio.to_thread(metrics.requests, gateway))
            victim = gateway.worker_pids()[turn % gateway.workers]
            os.kill(victim, signal.SIGKILL)
            whole = lambda victim=victim: is_whole(gateway, without=victim)  # noqa: E731 - asked here
            back.append(await asyncio.to_thread(seconds_until, whole, "the worker is replaced"))
        await kept.answered(100)
    seen.append(metrics.requests(gateway))
    return [kept, fresh], back, seen


@pytest.mark.timeout(400)
async def test_a_killed_worker_takes_what_it_was_answering_and_no_more(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE)

    loads, back, seen = await kill_workers(gateway)

    lost = [outcome for load in loads for outcome in load.faults]
    answered = sum((load.by_model().total() for load in loads), 0)
    counted = seen[-1].total()
    fell = sum(later[version] < count for before, later in pairwise(seen) for version, count in before.items())
    with table.promise("R15 R23", f"a worker killed (SIGKILL) {KILLS} times") as found:
        found("requests lost", len(lost) / KILLS, thresholds.IN_FLIGHT)
        found("until it is replaced, at worst", max(back), thresholds.REPLACED)
        found("answers that no metric counts", max(0, answered - counted), thresholds.NONE)
        found("counted, and neither answered nor lost", max(0, counted - answered - len(lost)), thresholds.NONE)
        found("counters that fell", fell, thresholds.NONE)


async def test_control_a_launcher_that_notices_late_replaces_late(begin: Callable[..., Gateway], table: Table) -> None:
    gateway = begin(route=ROUTE, command=inside.command("replace-late"))
    victim = gateway.worker_pids()[0]

    os.kill(victim, signal.SIGKILL)
    back = seconds_until(lambda: is_whole(gateway, without=victim), "the worker is replaced")

    with table.control("R15", "a launcher that notices a death 8 s late") as found:
        found("until it is replaced", back, thresholds.REPLACED)


@dataclass(frozen=True, slots=True)
class Wedged:
    """What callers saw while a worker hung: *seconds* until it was replaced, how many requests the other one did not
    answer at once, and how it went on *new* connections, which the kernel spreads over both, and new *channels*."""

    seconds: float
    failed: int
    new: Load
    channels: NewChannels


async def wedge(gateway: Gateway, victim: int, grpc_port: int) -> Wedged:
    """Ask the other worker until *victim* is replaced, and whoever answers on new connections."""
    [other] = set(gateway.worker_pids()) - {victim}
    began, failed, late = time.monotonic(), 0, PATIENCE_SECONDS
    async with (
        Load(gateway.port, rate=20, keep_alive=False) as new,
        NewChannels(grpc_port) as channels,
        contextlib.aclosing(await connection_that_answers(gateway)) as line,
    ):
        await asyncio.wait_for(line.post(PATH, BODY, {}), LATE_SECONDS)  # so it did not answer just before it hung
        while (passed := time.monotonic() - began) < late:
            if await asyncio.to_thread(is_whole, gateway, without=victim):
                break
            failed += not await answers_at_once(line, other)
            await asyncio.sleep(PACE_SECONDS)
    return Wedged(passed, failed, new, channels)


async def answers_at_once(line: Connection, worker: int) -> bool:
    """Say whether an answer comes within LATE_SECONDS, not counting those in which this process, or *worker*, was ready
    and had no processor: a busy machine is late for reasons of its own."""
    began, starved = time.monotonic(), starved_seconds() + starved_seconds(str(worker))
    try:
        status, _, _ = await asyncio.wait_for(line.post(PATH, BODY, {}), PATIENCE_SECONDS)
    except (OSError, EOFError, TimeoutError):
        return False
    waited = starved_seconds() + starved_seconds(str(worker)) - starved
    return status == 200 and time.monotonic() - began - waited < LATE_SECONDS


def tell_of_new(found: Found, new: Load) -> None:
    """Note what callers with a connection of their own for each request saw."""
    found("requests on new connections that were lost", len(new.faults), thresholds.IN_FLIGHT)
    found("slowest answer on a new connection", max(each.latency for each in new.outcomes), thresholds.ANSWERED)


def tell_of_channels(found: Found, channels: NewChannels) -> None:
    """Note the same of gRPC."""
    found("calls over gRPC on new channels that were lost", len(channels.faults), thresholds.IN_FLIGHT)
    found("slowest answer over gRPC on a new channel", max(channels.waited), thresholds.ANSWERED)


WEDGES: Final = {
    "stopped (SIGSTOP)": ("", signal.SIGSTOP),
    "with its event loop blocked": ("block", inside.BEGIN),
    "with the interpreter's lock held": ("gil", inside.BEGIN),
}


@pytest.mark.parametrize("name", WEDGES)
async def test_a_wedged_worker_is_replaced_and_the_other_answers_on(
    begin: Callable[..., Gateway], table: Table, name: str
) -> None:
    broken, number = WEDGES[name]
    command, port = {"command": inside.command(broken)} if broken else {}, free_port()
    gateway = begin(route=ROUTE, flags=("--grpc-port", str(port)), **command)
    victim = gateway.worker_pids()[0]

    os.kill(victim, number)
    seen = await wedge(gateway, victim, port)

    with table.promise("R25", f"a worker {name}") as found:
        found("until it is replaced", seen.seconds, thresholds.RECYCLED)
        found("requests that the other worker failed", seen.failed, thresholds.NONE)
        tell_of_new(found, seen.new)
        tell_of_channels(found, seen.channels)


async def test_control_a_launcher_that_only_waits_for_ends_keeps_a_wedged_worker(
    begin: Callable[..., Gateway], table: Table
) -> None:
    port = free_port()
    gateway = begin(route=ROUTE, flags=("--grpc-port", str(port)), command=inside.command("ignore-heartbeats"))
    victim = gateway.worker_pids()[0]

    os.kill(victim, signal.SIGSTOP)
    seen = await wedge(gateway, victim, port)
    os.kill(victim, signal.SIGCONT)

    with table.control("R25", "heartbeats ignored, a worker stopped (SIGSTOP)") as found:
        found("until it is replaced", seen.seconds, thresholds.RECYCLED)


async def test_control_a_launcher_that_relieves_nobody_lets_new_connections_wait(
    begin: Callable[..., Gateway], table: Table
) -> None:
    port = free_port()
    gateway = begin(route=ROUTE, flags=("--grpc-port", str(port)), command=inside.command("relieve-nobody"))
    victim = gateway.worker_pids()[0]

    os.kill(victim, signal.SIGSTOP)
    seen = await wedge(gateway, victim, port)

    with table.control("R25", "new connections are left to a worker that is stopped (SIGSTOP)") as found:
        tell_of_new(found, seen.new)
    with table.control("R25", "new channels are left to a worker that is stopped (SIGSTOP)") as found:
        tell_of_channels(found, seen.channels)


async def grow(gateway: Gateway, victim: int) -> tuple[list[Load], float]:
    """Let *victim* leak under load until it is replaced; return the loads and the seconds since it was too large."""
    async with Load(gateway.port, rate=50) as kept, Load(gateway.port, rate=50, keep_alive=False) as fresh:
        await kept.answered(50)
        os.kill(victim, inside.BEGIN)
        large = lambda: anonymous_bytes(victim) > WORKER_MIB << 20  # noqa: E731 - asked once
        await asyncio.to_thread(eventually, large, PATIENCE_SECONDS, "the worker is too large")
        gone = lambda: victim not in gateway.worker_pids()  # noqa: E731 - asked once
        replaced = await asyncio.to_thread(seconds_until, gone, "it is replaced")
        await kept.answered(50)
    return [kept, fresh], replaced


async def test_a_worker_that_grows_is_replaced_and_nothing_is_lost(begin: Callable[..., Gateway], table: Table) -> None:
    gateway = begin(route=ROUTE, command=inside.command("leak"), flags=("--worker-memory", f"{WORKER_MIB}m"))

    loads, replaced = await grow(gateway, gateway.worker_pids()[0])

    with table.promise("R19", f"a worker that leaks, over --worker-memory {WORKER_MIB}m") as found:
        found("requests not answered with 200", sum(len(load.faults) for load in loads), thresholds.NONE)
        found("until it is replaced", replaced, thresholds.LIGHTER)
    assert_counts_agree(gateway, loads, before={})


async def test_control_without_a_limit_a_leaking_worker_grows_on(begin: Callable[..., Gateway], table: Table) -> None:
    gateway = begin(route=ROUTE, command=inside.command("leak"))

    _, replaced = await grow(gateway, gateway.worker_pids()[0])

    with table.control("R19", "a worker that leaks, without --worker-memory") as found:
        found("until it is replaced", replaced, thresholds.Limit(most=PATIENCE_SECONDS - 1, unit="s"))


async def test_a_killed_control_process_is_noticed_by_operators_only(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE)
    workers, victim = gateway.worker_pids(), gateway.control_pid()

    def answers() -> bool:
        try:
            return gateway.set_weights(MODEL, {"1": 90, "2": 10}).status == 200
        except OSError:
            return False

    async with Load(gateway.port) as load:
        await load.answered(100)
        os.kill(victim, signal.SIGKILL)
        back = await asyncio.to_thread(seconds_until, answers, "changes are taken again")
        await load.answered(100)

    with table.promise("R15", "the control process killed (SIGKILL)") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("until a change is taken", back, thresholds.REPLACED)
        found("workers that are another process", len(set(workers) - set(gateway.worker_pids())), thresholds.NONE)
    assert_counts_agree(gateway, [load], before={})


def test_a_killed_launcher_leaves_nothing_behind_and_its_state_is_served_again(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE)
    assert gateway.set_weights(MODEL, {"1": 0, "2": 1}).status == 200
    eventually(lambda: metrics.adopted(gateway) == 2, PATIENCE_SECONDS, "both workers follow")
    time.sleep(1.2)  # the journal is synced every second: what is younger may be lost by a kill, as documented

    gateway.signal(signal.SIGKILL)
    gateway.wait()
    gone = seconds_until(lambda: not gateway.left(), "every child is gone")
    left = len(gateway.left())
    gateway.close()
    gateway.start()
    answers = [gateway.ask("POST", PATH, request([1, 2])) for _ in range(20)]

    with table.promise("R15", "the launcher killed (SIGKILL), and started again") as found:
        found("until its children are gone", gone, thresholds.ORPHANED)
        found("processes left", left, thresholds.NONE)
        found("answers off the recorded route", sum(a.headers["x-gateway-version"] != "2" for a in answers),
              thresholds.NONE)  # fmt: skip
