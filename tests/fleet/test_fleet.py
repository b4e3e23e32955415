"""Three gateways of two workers on hosts of their own, one store, a balancer in front: what is promised of a fleet.

Callers come through the balancer, in open loop, beside everything that is done to the fleet; none may see a failure.
The tests share the fleet, and each sets the split that it needs.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from math import ceil, exp
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.core.eprocess import ln_absolute, ln_relative
from gateway.core.evidence import Stratum
from tests.fleet.conftest import Figure
from tests.fleet.hosts import CANARY, FAILS_EVERY, HOSTS, PORT, WORKERS, Fleet
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fleet.hosts import Host
    from tests.flows.load import Outcome

pytestmark = pytest.mark.timeout(300)

RATE: Final = 120.0
SECOND: Final = int(RATE)
"""So many requests leave in one."""

USERS: Final = 200
CHANGES: Final = 20
CHANGE_SECONDS: Final = 1.0
RETURN_SECONDS: Final = 3.0
FOLLOW_SECONDS: Final = 10.0
JUDGED_SECONDS: Final = 60.0
ROLLOUTS: Final = f"/api/v1/models/{MODEL}/rollouts"
TOLERATED: Final = 0.01
"""The failure rate that the rollout lets be: near enough to the canary's that a handful of failures is not enough."""

ENOUGH: Final = 100.0
"""The E-value from which a canary is taken back: 1 / alpha."""


@asynccontextmanager
async def callers(fleet: Fleet, figures: list[Figure], beside: str) -> AsyncIterator[Load]:
    """Send requests through the balancer, and fail where one of them failed."""
    async with Load(PORT, host=fleet.network.balancer, rate=RATE) as load:
        await load.answered(SECOND)
        yield load
        await load.answered(SECOND)
    figures.append(Figure(f"failed requests beside {beside}", f"{len(load.faults)} of {len(load.outcomes)}", "0"))
    assert load.faults == []
    assert [each for each in load.outcomes if each.version != each.said] == []


def change(host: Host, weights: dict[str, int]) -> int:
    """Change the split through *host* and return the revision that says so."""
    answer = host.set_weights(MODEL, weights)
    assert answer.status == 200, answer.body
    return int(answer.headers["etag"].strip('"'))


def follow(hosts: list[Host], revision: int) -> None:
    """Return when every worker of these hosts follows *revision*."""
    followed = lambda: all((metrics.adopted(host) or 0) >= revision for host in hosts)  # noqa: E731
    eventually(followed, FOLLOW_SECONDS, f"every worker follows revision {revision}")


def last_before(outcomes: list[Outcome], revision: int) -> float:
    """Return when the last answer under an older revision had arrived."""
    return max(each.due + each.latency for each in outcomes if each.revision < revision)


def test_a_user_has_one_version_on_every_worker_of_every_host(fleet: Fleet, figures: list[Figure]) -> None:
    hosts = list(fleet.hosts.values())
    torn, workers = 0, set()

    for place, weights in enumerate(({"1": 50, "2": 50}, {"1": 90, "2": 10})):
        follow(hosts, change(hosts[place], weights))
        answers = [[host.infer(f"user-{number}") for host in hosts for _ in range(2)] for number in range(USERS)]
        versions = [{each.headers["x-gateway-version"] for each in row} for row in answers]
        torn += sum(len(each) > 1 for each in versions)
        workers |= {each.headers["x-request-id"].partition("-")[0] for row in answers for each in row}
        assert set.union(*versions) == {"1", "2"}

    figures.append(Figure("users with two versions", f"{torn} of {2 * USERS}", "0"))
    assert (torn, len(workers)) == (0, len(HOSTS) * WORKERS)


async def test_a_change_of_weight_is_everywhere_within_a_second(fleet: Fleet, figures: list[Figure]) -> None:
    hosts = list(fleet.hosts.values())
    ordered: dict[int, float] = {}

    async with callers(fleet, figures, f"{CHANGES} changes of weight") as load:
        for number in range(CHANGES):
            weights = {"1": 60 + number, "2": 40 - number}
            sent = time.monotonic()
            ordered[await asyncio.to_thread(change, hosts[number % len(hosts)], weights)] = sent
            await load.answered(SECOND)

    took = sorted(last_before(load.outcomes, revision) - sent for revision, sent in ordered.items())
    newest = {each.worker for each in load.outcomes if each.revision == max(ordered)}
    p95 = took[ceil(0.95 * CHANGES) - 1]
    text = f"{p95:.3f} s, p50 {took[CHANGES // 2]:.3f} s"
    figures.append(Figure("order to the last answer under the old weights, p95", text, f"{CHANGE_SECONDS} s"))
    assert p95 < CHANGE_SECONDS, took
    assert len(newest) == len(HOSTS) * WORKERS


async def test_a_host_cut_off_from_the_store_serves_on_and_follows_when_it_is_back(
    fleet: Fleet, figures: list[Figure]
) -> None:
    cut, others = fleet.hosts["c"], [fleet.hosts["a"], fleet.hosts["b"]]
    before = change(others[0], {"1": 100, "2": 0})
    follow([cut, *others], before)
    workers = fleet.workers()

    async with callers(fleet, figures, "a host without its store") as load:
        fleet.network.cut("c")
        try:
            await load.answered(SECOND)
            changed = await asyncio.to_thread(change, others[1], {"1": 0, "2": 100})
            await asyncio.to_thread(follow, others, changed)
            followed = time.monotonic()
            await load.answered(2 * SECOND)
            is_up = await asyncio.to_thread(metrics.gauge, cut, "gateway_store_up")
        finally:
            mended = time.monotonic()
            fleet.network.mend("c")
        await asyncio.to_thread(follow, [cut], changed)

    of_cut = [each for each in load.outcomes if workers[each.worker] == "c"]
    meanwhile = [each for each in load.outcomes if followed < each.due < mended - 0.1]
    back = last_before(of_cut, changed) - mended
    what = "return of a host to the last answer under the old weights"
    figures.append(Figure(what, f"{back:.3f} s", f"{RETURN_SECONDS} s"))
    assert is_up == 0
    served = {(workers[each.worker], each.revision) for each in meanwhile}
    assert served == {("a", changed), ("b", changed), ("c", before)}
    assert back < RETURN_SECONDS


async def test_a_host_that_is_replaced_behind_the_balancer_loses_no_request(
    fleet: Fleet, figures: list[Figure]
) -> None:
    host = fleet.hosts["b"]

    async with callers(fleet, figures, "a host that is replaced") as load:
        code = await asyncio.to_thread(host.stop)
        await load.answered(SECOND)
        await asyncio.to_thread(host.close)
        await asyncio.to_thread(host.start)
        started = time.monotonic()
        await load.answered(3 * SECOND)

    new = await asyncio.to_thread(host.workers_seen)
    assert code == 0
    assert new <= {each.worker for each in load.outcomes if each.due > started}


async def test_a_canary_is_taken_back_by_what_the_hosts_saw_together(fleet: Fleet, figures: list[Figure]) -> None:
    hosts = list(fleet.hosts.values())
    follow(hosts, change(hosts[0], {"1": 100, "2": 0}))
    workers = fleet.workers()
    guards = {"errors": {"tolerate": f"{TOLERATED:.0%}"}}
    plan = {"candidate": str(CANARY), "steps": [{"weight": 50, "for": "10m"}], "guards": guards}

    async with callers(fleet, figures, "a canary that fails rarely") as load:
        started = await asyncio.to_thread(hosts[1].ask_admin, "POST", ROLLOUTS, plan, if_match="*")
        assert started.status == 201, started.body
        newest = await asyncio.to_thread(taken_back, hosts[2])
        await asyncio.to_thread(follow, hosts, newest["revision"])

    chosen = [each for each in load.outcomes if str(CANARY) in {each.version, each.fallback_from}]
    failed = [each for each in chosen if each.fallback_from]
    alone = {name: evidence([each for each in chosen if workers[each.worker] == name]) for name in HOSTS}
    shown = f"{evidence(chosen):.0f}, alone " + ", ".join(f"{value:.1f}" for value in alone.values())
    what = f"E of all hosts, of a canary that failed {len(failed)} of {len(chosen)}"
    figures.append(Figure(what, shown, f"alone below {ENOUGH:g}"))
    assert newest["reason"].startswith("errors: "), newest["reason"]
    assert max(alone.values()) < ENOUGH


def evidence(chosen: list[Outcome]) -> float:
    """Return the most that the guard of errors could say of these requests to the canary, the other half being well."""
    failed = sum(bool(each.fallback_from) for each in chosen)
    return exp(min(ln_relative([Stratum(failed, 0, odds=1.0)]), ln_absolute(failed, len(chosen), TOLERATED)))


def taken_back(host: Host) -> dict[str, Any]:
    """Return the entry of the history that took the canary back."""

    def newest() -> dict[str, Any]:
        entries: list[dict[str, Any]] = host.ask_admin("GET", f"/api/v1/models/{MODEL}/history").json()
        return entries[0]

    rolled_back = lambda: host.ask_admin("GET", f"{ROLLOUTS}/current").json()["phase"] == "rolled_back"  # noqa: E731
    eventually(rolled_back, JUDGED_SECONDS, f"a canary that fails one request in {FAILS_EVERY} is taken back")
    return newest()
