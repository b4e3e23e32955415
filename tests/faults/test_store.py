"""The store is frozen, slow, gone, wiped, set back or full, or refuses: requests are answered as before."""

from __future__ import annotations

import asyncio
import itertools
import math
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import inside, thresholds
from tests.faults.store_server import StoreServer, needs_redis, network, store, url
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.load import Outcome
    from tests.flows.proxy import Network

__all__ = ["network", "store"]
pytestmark = [pytest.mark.fault, needs_redis]

ROUTE: Final = 'split: {"1": 95, "2": 5}\nassign: {by: random}\nbaseline: "1"'
KEY: Final = f"gateway:{{{MODEL}}}:route"
RESTORE: Final = f"/api/v1/models/{MODEL}/route/restore"
QUIET: Final = 300
"""Requests before the fault, which say what is ordinary here."""
EVENTUALLY_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Fault:
    """How the store is broken and mended; *reaches* says whether it still answers reads meanwhile."""

    strike: Callable[[StoreServer, Network], object]
    mend: Callable[[StoreServer, Network], object]
    reaches: bool = False


def refuse_password(store: StoreServer) -> None:
    store.ask("CONFIG", "SET", "requirepass", "another")
    store.ask("CLIENT", "KILL", "TYPE", "normal", password="another")


def accept_all(store: StoreServer) -> None:
    store.ask("CONFIG", "SET", "requirepass", "", password="another")


FAULTS: Final = {
    "frozen (SIGSTOP)": Fault(
        lambda store, _: store.signal(signal.SIGSTOP), lambda store, _: store.signal(signal.SIGCONT)
    ),
    "unreachable (packets vanish)": Fault(lambda _, network: network.cut(), lambda _, network: network.mend()),
    "slow (2 s each way)": Fault(lambda _, network: network.slow_down(2.0), lambda _, network: network.mend()),
    "connections reset": Fault(lambda _, network: network.reset(), lambda _, network: network.mend()),
    "killed (SIGKILL)": Fault(lambda store, _: store.kill(), lambda store, _: store.start()),
    "another password": Fault(lambda store, _: refuse_password(store), lambda store, _: accept_all(store)),
    "rights revoked (ACL)": Fault(
        lambda store, _: store.ask("ACL", "SETUSER", "default", "-eval", "-evalsha", "-hmget"),
        lambda store, _: store.ask("ACL", "SETUSER", "default", "+@all"),
    ),
    "read-only (REPLICAOF)": Fault(
        lambda store, _: store.ask("REPLICAOF", "127.0.0.1", "1"),
        lambda store, _: store.ask("REPLICAOF", "NO", "ONE"),
        reaches=True,
    ),
    "out of memory": Fault(
        lambda store, _: store.ask("CONFIG", "SET", "maxmemory", "1"),
        lambda store, _: store.ask("CONFIG", "SET", "maxmemory", "0"),
        reaches=True,
    ),
}


@dataclass(slots=True)
class Seen:
    """What callers and operators saw before, during and after a fault."""

    before: list[Outcome] = field(default_factory=list)
    during: list[Outcome] = field(default_factory=list)
    unready: int = 0
    refused: list[int] = field(default_factory=list)
    slowest_write: float = 0.0
    told: float = math.nan
    back: float = math.nan

    @property
    def failed(self) -> int:
        return sum(bool(outcome.fault) for outcome in (*self.before, *self.during))

    @property
    def off_revision(self) -> int:
        """Answers during the fault that are not of the one revision that was recorded before it."""
        recorded = self.before[-1].revision
        return sum(outcome.revision != recorded for outcome in self.during if not outcome.fault)

    @property
    def slower_ms(self) -> float:
        return grown_ms(self.before, self.during, 50)


def grown_ms(before: Sequence[Outcome], during: Sequence[Outcome], percent: int) -> float:
    """Return by how many milliseconds a percentile of the latencies is larger than before."""
    late, ordinary = (
        sorted(outcome.latency for outcome in each)[len(each) * percent // 100] for each in (during, before)
    )
    return 1000 * (late - ordinary)


def store_up(gateway: Gateway) -> bool:
    return metrics.gauge(gateway, "gateway_store_up") == 1


async def go_through(
    gateway: Gateway, break_it: Callable[[], object], mend: Callable[[], object], last: float, *, reaches: bool = False
) -> Seen:
    """Send L before, during and after a fault that lasts *last* seconds, ask for a change each second, and count.

    A store that still *reaches* readers is up; nobody waits until the gateway says otherwise.
    """
    seen = Seen()
    async with Load(gateway.port) as load:
        await load.answered(QUIET)
        seen.before = list(load.outcomes)
        await asyncio.to_thread(break_it)
        struck = time.monotonic()
        watching = None if reaches else asyncio.create_task(asyncio.to_thread(_until_told, gateway))
        while time.monotonic() < struck + last:
            answer = await asyncio.to_thread(gateway.set_weights, MODEL, {"1": 50, "2": 50})
            seen.refused.append(answer.status)
            seen.slowest_write = max(seen.slowest_write, answer.seconds)
            seen.unready += not await asyncio.to_thread(gateway.is_ready)
            await asyncio.sleep(1.0)
        if watching is not None:
            seen.told = await watching
        seen.during = [outcome for outcome in load.outcomes if outcome.due > struck]
        mended = time.monotonic()
        await asyncio.to_thread(mend)
        takes = lambda: gateway.set_weights(MODEL, {"1": 90, "2": 10}).status == 200  # noqa: E731 - asked once
        await asyncio.to_thread(eventually, takes, EVENTUALLY_SECONDS, "a change is taken again")
        seen.back = time.monotonic() - mended
        await load.answered(100)
    assert_counts_agree(gateway, [load], before={})
    return seen


def _until_told(gateway: Gateway) -> float:
    """Return the seconds until ``store_up`` is 0; NaN where it stays 1."""
    began = time.monotonic()
    while time.monotonic() < began + thresholds.TOLD.most:
        if not store_up(gateway):
            return time.monotonic() - began
        time.sleep(0.25)  # reading metrics more often would slow down the load, which is sent from this process
    return math.nan


def judge(table: Table, name: str, seen: Seen, *, reaches: bool = False) -> None:
    """Compare what was *seen* with what is promised of a store that fails by *name*."""
    with table.promise("R1 R2", f"store {name}") as found:
        found("requests not answered with 200", seen.failed, thresholds.NONE)
        found("answers off the recorded revision", seen.off_revision, thresholds.NONE)
        found("median grows by", seen.slower_ms, thresholds.SLOWER)
        found("p99 grows by", grown_ms(seen.before, seen.during, 99), thresholds.SLOWER)
        found("slowest refusal of a change", seen.slowest_write, thresholds.WRITE)
        found("changes not refused with 503", sum(status != 503 for status in seen.refused), thresholds.NONE)
        found("probes not ready", seen.unready, thresholds.NONE)
        found("until the next change is taken", seen.back, thresholds.BACK)
        if not reaches:
            found("until store_up is 0", seen.told, thresholds.TOLD)


@pytest.mark.parametrize("name", FAULTS)
async def test_a_broken_store_is_noticed_by_operators_only(
    begin: Callable[..., Gateway],
    store: StoreServer,
    network: Network,
    table: Table,
    fault_seconds: float,
    name: str,
) -> None:
    fault = FAULTS[name]
    gateway = begin(route=ROUTE, flags=("--redis-url", url(network)))

    seen = await go_through(
        gateway,
        lambda: fault.strike(store, network),
        lambda: fault.mend(store, network),
        fault_seconds,
        reaches=fault.reaches,
    )

    judge(table, name, seen, reaches=fault.reaches)


async def test_control_requests_that_ask_the_store_wait_for_it(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    gateway = begin(
        route=ROUTE,
        flags=("--redis-url", url(network)),
        command=inside.command("ask-the-store"),
        environment={inside.STORE_URL: url(network)},
    )

    async with Load(gateway.port) as load:
        await load.answered(QUIET)
        before = list(load.outcomes)
        store.signal(signal.SIGSTOP)
        struck = time.monotonic()
        await load.answered(20)
        store.signal(signal.SIGCONT)
        during = [outcome for outcome in load.outcomes if outcome.due > struck]

    with table.control("R1", "each request asks the store, which is frozen") as found:
        found("median grows by", grown_ms(before, during, 50), thresholds.SLOWER)


async def wipe(gateway: Gateway, store: StoreServer) -> tuple[Load, float]:
    """Empty the store under load for three seconds; return the load, and how many workers said that it is empty."""
    async with Load(gateway.port) as load:
        await load.answered(QUIET)
        store.ask("FLUSHALL")
        await load.answered(QUIET)
        alarms = metrics.gauge(gateway, "gateway_route_documents_refused_total", reason="absent") or 0
    return load, alarms


async def test_a_wiped_store_empties_no_route_and_an_operator_writes_it_back(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", url(network)))

    load, alarms = await wipe(gateway, store)
    restored = gateway.ask_admin("POST", RESTORE, {"reason": "wiped"}, if_match="*")
    agreed = eventually(lambda: metrics.adopted(gateway) == 1, EVENTUALLY_SECONDS, "every worker follows")

    with table.promise("R2 R10", "store wiped (FLUSHALL)") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("answers off the recorded revision", sum(o.revision != 1 for o in load.outcomes), thresholds.NONE)
        found("workers that raise the alarm", alarms / gateway.workers, thresholds.ALL)
        found("restores refused", restored.status != 200, thresholds.NONE)
        found("until all workers serve what was restored", agreed, thresholds.AGREED)
    assert_counts_agree(gateway, [load], before={})


async def test_control_a_watcher_that_takes_absence_for_an_order_serves_nobody(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", url(network)), command=inside.command("obey-absence"))

    load, _ = await wipe(gateway, store)

    with table.control("R2 R10", "absence is an order, and the store is wiped") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)


async def test_a_store_set_back_to_an_older_copy_is_followed_by_all_workers_and_told(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", url(network)))
    older = store.copy()
    for weight in (6, 7, 8):
        assert gateway.set_weights(MODEL, {"1": 95, "2": weight}).status == 200
    eventually(lambda: metrics.adopted(gateway) == 4, EVENTUALLY_SECONDS, "every worker follows")

    async with Load(gateway.port) as load:
        await load.answered(100)
        await asyncio.to_thread(store.put_back, older)
        agreed = await asyncio.to_thread(
            eventually, lambda: metrics.adopted(gateway) == 1, EVENTUALLY_SECONDS, "every worker follows back"
        )
        await load.answered(100)
        alarms = metrics.gauge(gateway, "gateway_route_documents_refused_total", reason="rewritten") or 0

    with table.promise("R10", "store set back to an older copy") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("answers that no revision allows", sum(o.revision not in {1, 4} for o in load.outcomes), thresholds.NONE)
        found("until all workers agree with it", agreed, thresholds.AGREED)
        found("workers that raise the alarm", alarms / gateway.workers, thresholds.ALL)
    assert_counts_agree(gateway, [load], before={})


async def test_poison_in_the_store_is_counted_and_never_served(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", url(network)))
    pids = gateway.worker_pids()
    whole = store.ask("HGETALL", KEY)
    fields = dict(zip(whole[::2], whole[1::2], strict=True)) if isinstance(whole, list) else whole
    poisons = itertools.islice(itertools.cycle((b"", b"{", b"null", b"\xff\xfe", b"[" * 9000, b'{"model":"other"}')),
                               thresholds.POISONED)  # fmt: skip

    def refused() -> float:
        return sum(metrics.scrape(gateway).get("gateway_route_documents_refused_total", {}).values())

    async with Load(gateway.port) as load:
        await load.answered(100)
        for turn, poison in enumerate(poisons, 1):
            store.ask("HSET", KEY, "revision", 100 + turn, "digest", f"{turn:064x}", "document", poison)
            counted = lambda turn=turn: refused() == turn * gateway.workers  # noqa: E731
            await asyncio.to_thread(eventually, counted, EVENTUALLY_SECONDS, f"each worker counted poison {turn}")
        store.ask("HSET", KEY, *itertools.chain.from_iterable(fields.items()))
        await load.answered(100)

    with table.promise("R8", f"{thresholds.POISONED} poisoned documents") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("answers off the recorded revision", sum(o.revision != 1 for o in load.outcomes), thresholds.NONE)
        found("workers that are another process", len(set(pids) - set(gateway.worker_pids())), thresholds.NONE)
        found("counted by each worker", refused() / gateway.workers / thresholds.POISONED, thresholds.ALL)
    assert_counts_agree(gateway, [load], before={})


async def test_a_store_that_comes_after_the_start_is_followed(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    network.reset()
    gateway = begin(route=ROUTE, has_store=False, flags=("--redis-url", url(network)))
    async with Load(gateway.port) as load:
        await load.answered(200)
        network.mend()
        after = await asyncio.to_thread(
            eventually, lambda: metrics.adopted(gateway) == 1, EVENTUALLY_SECONDS, "it is followed"
        )
        await load.answered(100)

    with table.promise("R3", "no store at the start, which comes later") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("until its routes are served by all", after, thresholds.READY_AFTER_STORE)
    assert_counts_agree(gateway, [load], before={})
