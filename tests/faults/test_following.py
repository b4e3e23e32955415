"""Weights change: every worker of every replica follows soon, and one request sees one revision."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import inside, thresholds
from tests.faults.store_server import StoreServer, needs_redis, network, store, url
from tests.flows.gateway_process import COMMAND, eventually
from tests.flows.load import Connection, Load
from tests.flows.models import MODEL, request
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.load import Outcome
    from tests.flows.proxy import Network

__all__ = ["network", "store"]
pytestmark = [pytest.mark.fault, needs_redis]

ROUTE: Final = 'split: {"1": 1, "2": 0}\nassign: {by: random}\nbaseline: "1"'
FIRST: Final = {"1": 1, "2": 0}
SECOND: Final = {"1": 0, "2": 1}
"""Where the weights are these in turn, an answer shows which of the two it was decided by."""
PATH: Final = f"/v2/models/{MODEL}/infer"
BODY: Final = json.dumps(request([1, 2])).encode()

CHANGES: Final = 500
CONTROL_CHANGES: Final = 10
EVERY_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 0.01
"""Between two requests to a worker; what is measured is short by no more."""
SETTLED_SECONDS: Final = 3.0
"""After the last change; longer than any worker may take."""
RESTART_SECONDS: Final = 1.5
FLIP_SECONDS: Final = 0.05
FLIPS: Final = 1400
"""Under these some ten thousand requests."""
CONTROL_FLIPS: Final = 40
FLIPPING_RATE: Final = 150.0
LINES: Final = 64
"""Connections that are opened at most until each worker has one."""


@dataclass(slots=True)
class Followed:
    """When changes were accepted, and by which revision each worker answered when; monotonic seconds.

    looks: for each worker, when a request was sent and the revision of its answer. outages: when the store was gone and
    back again; a change that it took right before can be read from then on only.
    """

    made: dict[int, float] = field(default_factory=dict)
    looks: list[list[tuple[float, int]]] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0

    def percentile(self, percent: int) -> float:
        """Return a percentile over changes, ms: how long after a change some worker was sent what it answered by the
        revision before; infinite where it never followed."""
        lags = sorted(
            1000 * max(_stale(looks, revision, self._readable(at)) for looks in self.looks)
            for revision, at in self.made.items()
        )
        return lags[min(len(lags) * percent // 100, len(lags) - 1)]

    def _readable(self, made: float) -> float:
        soon = made + thresholds.FOLLOWED_BY_POLLING.most
        return max((back for gone, back in self.outages if made <= gone < soon), default=made)

    @property
    def missed(self) -> int:
        """Changes that some worker never followed."""
        reached = min(max((revision for _, revision in looks), default=0) for looks in self.looks)
        return sum(revision > reached for revision in self.made)


def _stale(looks: Sequence[tuple[float, int]], revision: int, made: float) -> float:
    """Return how long after *made* a request was sent that was answered by less than *revision*."""
    if all(answered < revision for _, answered in looks):
        return math.inf
    return max((sent - made for sent, answered in looks if answered < revision and sent > made), default=0.0)


@contextlib.asynccontextmanager
async def a_line_to_each_worker(gateway: Gateway) -> AsyncIterator[list[Connection]]:
    """Open connections until every worker has one; those that are too many are closed again."""
    found: dict[str, Connection] = {}
    async with contextlib.AsyncExitStack() as lines:
        for _ in range(LINES):
            line = await lines.enter_async_context(contextlib.aclosing(await Connection.open(gateway.port)))
            _, headers, _ = await line.post(PATH, BODY, {})
            found.setdefault(headers["x-request-id"].partition("-")[0], line)
            if len(found) == gateway.workers:
                break
        assert len(found) == gateway.workers, f"{LINES} connections, and all went to {len(found)} worker"
        yield list(found.values())


async def look(line: Connection, followed: Followed) -> None:
    """Ask one worker again and again which revision it answers by."""
    looks: list[tuple[float, int]] = []
    followed.looks.append(looks)
    while True:
        sent = time.monotonic()
        status, headers, _ = await line.post(PATH, BODY, {})
        followed.failed += status != 200
        looks.append((sent, int(headers.get("x-gateway-revision", -1))))
        await asyncio.sleep(LOOK_SECONDS)


async def change(gateway: Gateway, weights: Mapping[str, int]) -> int:
    """Set the weights, again while the store is away, and return the revision that this made."""
    async with asyncio.timeout(SETTLED_SECONDS):
        while True:
            answer = await asyncio.to_thread(gateway.set_weights, MODEL, weights)
            if answer.status == 200:
                return int(answer.headers["etag"].strip('"'))
            assert answer.status == 503, answer.body
            await asyncio.sleep(LOOK_SECONDS)


async def make_changes(replicas: Sequence[Gateway], count: int) -> Followed:
    """Make *count* changes at the replicas in turn, at a steady pace, and ask every worker until all have followed."""
    followed = Followed()
    async with contextlib.AsyncExitStack() as stack:
        for replica in replicas:
            lines = await stack.enter_async_context(a_line_to_each_worker(replica))
            stack.enter_context(ended([asyncio.create_task(look(line, followed)) for line in lines]))
        began = time.monotonic()
        for turn in range(count):
            await asyncio.sleep(began + turn * EVERY_SECONDS - time.monotonic())
            revision = await change(replicas[turn % len(replicas)], SECOND if turn % 2 == 0 else FIRST)
            followed.made[revision] = time.monotonic()
        with contextlib.suppress(AssertionError):  # what is missed then is what is counted
            await asyncio.to_thread(eventually, lambda: not followed.missed, SETTLED_SECONDS, "all have followed")
    return followed


@contextlib.contextmanager
def ended(tasks: Sequence[asyncio.Task[None]]) -> Iterator[None]:
    """Cancel the *tasks* at the end; one that failed before has said so already, and fails the test."""
    yield
    for task in tasks:
        assert not task.done() or task.result()
        task.cancel()


def two_replicas(begin: Callable[..., Gateway], where: str, command: Sequence[str] = COMMAND) -> Sequence[Gateway]:
    """Start two replicas of two workers each that share the store at *where*."""
    return [begin(f"replica-{name}", route=ROUTE, flags=("--redis-url", where), command=command) for name in "ab"]


def directly(store: StoreServer) -> str:
    """Return the address of the store without a network between, which a busy machine makes slow."""
    return f"unix://{store.socket}"


@contextlib.asynccontextmanager
async def publish_suppressed(store: StoreServer) -> AsyncIterator[list[tuple[float, float]]]:
    store.ask("ACL", "SETUSER", "default", "-publish")
    yield []
    store.ask("ACL", "SETUSER", "default", "+@all")


@contextlib.asynccontextmanager
async def restarted(store: StoreServer) -> AsyncIterator[list[tuple[float, float]]]:
    outages: list[tuple[float, float]] = []

    async def restart_for_ever() -> None:
        while True:
            await asyncio.sleep(RESTART_SECONDS)
            gone = time.monotonic()
            await asyncio.to_thread(store.kill)
            await asyncio.to_thread(store.start)
            outages.append((gone, time.monotonic()))

    with ended([restarting := asyncio.create_task(restart_for_ever())]):
        yield outages
    await asyncio.gather(restarting, return_exceptions=True)


LOSSES: Final = {
    "PUBLISH suppressed (ACL)": publish_suppressed,
    f"the store killed every {RESTART_SECONDS:g} s": restarted,
}


def judge(table: Table, followed: Followed, how: str, *, is_heard: bool = False) -> None:
    """Compare how changes were *followed* with what is promised; *is_heard*: every publication arrived."""
    with table.promise("R4", f"{len(followed.made)} changes of weights, {how}") as found:
        if is_heard:
            found("p99 of the slowest of 4 workers", followed.percentile(99), thresholds.FOLLOWED)
        found("slowest worker, at worst", followed.percentile(100) / 1000, thresholds.FOLLOWED_BY_POLLING)
        found("changes that a worker missed", followed.missed, thresholds.NONE)
        found("requests not answered with 200", followed.failed, thresholds.NONE)


@pytest.mark.timeout(600)
async def test_a_change_of_weights_reaches_every_worker_whatever_becomes_of_its_publication(
    begin: Callable[..., Gateway], store: StoreServer, table: Table
) -> None:
    replicas = two_replicas(begin, directly(store))

    judge(table, await make_changes(replicas, CHANGES), "2 replicas of 2 workers", is_heard=True)
    for name, lose in LOSSES.items():
        async with lose(store) as outages:
            followed = await make_changes(replicas, CHANGES)
        followed.outages += outages
        judge(table, followed, name)


@pytest.mark.timeout(300)
async def test_a_change_of_weights_reaches_every_worker_whose_subscription_is_half_open(
    begin: Callable[..., Gateway], network: Network, table: Table
) -> None:
    network.deafen()
    replicas = two_replicas(begin, url(network))

    followed = await make_changes(replicas, CHANGES)

    judge(table, followed, "every subscription half open")


async def test_control_a_watcher_that_ignores_publications_follows_late(
    begin: Callable[..., Gateway], store: StoreServer, table: Table
) -> None:
    replicas = two_replicas(begin, directly(store), inside.command("ignore-nudges"))

    followed = await make_changes(replicas, CONTROL_CHANGES)

    with table.control("R4", "publications are ignored") as found:
        found("p99 of the slowest of 4 workers", followed.percentile(99), thresholds.FOLLOWED)


async def test_control_a_watcher_that_trusts_in_publications_misses_changes(
    begin: Callable[..., Gateway], store: StoreServer, table: Table
) -> None:
    replicas = two_replicas(begin, directly(store), inside.command("poll-when-nudged"))

    async with publish_suppressed(store):
        followed = await make_changes(replicas, CONTROL_CHANGES)

    with table.control("R4", "no polls, and PUBLISH suppressed (ACL)") as found:
        found("changes that a worker missed", followed.missed, thresholds.NONE)


# ---- one request sees one revision


async def flip(gateway: Gateway, times: int) -> tuple[Load, dict[int, Mapping[str, int]]]:
    """Exchange the weights *times* times under load; return the load, and the weights of every revision."""
    splits: dict[int, Mapping[str, int]] = {1: FIRST}
    async with Load(gateway.port, rate=FLIPPING_RATE) as load:
        began = time.monotonic()
        for turn in range(times):
            await asyncio.sleep(began + turn * FLIP_SECONDS - time.monotonic())
            weights = SECOND if turn % 2 == 0 else FIRST
            splits[await change(gateway, weights)] = weights
    return load, splits


def illegal(outcomes: Sequence[Outcome], splits: Mapping[int, Mapping[str, int]]) -> int:
    """Return how many answers name a version without weight at their revision, or another than the model names."""
    return sum(
        not splits.get(each.revision, {}).get(each.version) or each.version != each.said
        for each in outcomes
        if each.status == 200
    )


@pytest.mark.timeout(300)
async def test_one_request_sees_one_revision_while_weights_flip(begin: Callable[..., Gateway], table: Table) -> None:
    gateway = begin(route=ROUTE, command=inside.command("wait"))

    load, splits = await flip(gateway, FLIPS)

    answered = {(each.revision, each.version) for each in load.outcomes}
    with table.promise("R5", f"{FLIPS} flips of weights, {len(load.outcomes)} requests of 50 ms") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("answers of no revision and version that were legal", illegal(load.outcomes, splits), thresholds.NONE)
        found("revisions that answered", len({revision for revision, _ in answered}), thresholds.SOME)
    assert_counts_agree(gateway, [load], before={})


async def test_control_a_request_that_reads_the_table_twice_sees_two_revisions(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE, command=inside.command("wait", "read-twice"))

    load, splits = await flip(gateway, CONTROL_FLIPS)

    with table.control("R5", "each request reads the table twice") as found:
        found("answers of no revision and version that were legal", illegal(load.outcomes, splits), thresholds.NONE)
