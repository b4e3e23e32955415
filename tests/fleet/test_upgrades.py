"""An older release and this one side by side: an upgrade in turns and back, under load, with changes through both.

The older release is real: its own code, out of the history of this repository, run beside the code that is tested.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.core.audit import follow, link_of
from gateway.store.redis_store import RedisRouteStore
from tests.faults.balancer import needs_haproxy
from tests.faults.store_server import needs_redis
from tests.fleet.conftest import Figure
from tests.fleet.pair import FOLLOW_SECONDS, HERE, Pair, entries, label
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL
from tests.store.released import before_this, source_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from gateway.core.audit import Chain
    from tests.flows.gateway_process import Gateway

pytestmark = [pytest.mark.timeout(300), needs_haproxy, needs_redis]

RATE: Final = 100.0
SECOND: Final = int(RATE)
USERS: Final = range(100)
ROUTE_PATH: Final = f"/api/v1/models/{MODEL}/route"
UNKNOWN: Final[dict[str, dict[str, Any]]] = {"0.3.0": {"drift": {"pause": True}}}
"""Release → a member of a route that it does not know."""


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[Path | None], Pair]]:
    """Start a pair of replicas, both of one release; they end with the test."""
    started: list[Pair] = []

    def start(source: Path | None) -> Pair:
        pair = Pair(tmp_path, source)
        started.append(pair.__enter__())
        return pair

    yield start
    for pair in started:
        pair.__exit__()


@asynccontextmanager
async def callers(pair: Pair, figures: list[Figure], beside: str) -> AsyncIterator[Load]:
    """Send requests through the balancer, half of them on connections of their own, and fail where one failed."""
    port = pair.balancer.port
    async with Load(port, rate=RATE / 2) as kept, Load(port, rate=RATE / 2, keep_alive=False) as fresh:
        await kept.answered(SECOND)
        yield kept
        await kept.answered(SECOND)
    outcomes = [*kept.outcomes, *fresh.outcomes]
    faults = [*kept.faults, *fresh.faults]
    figures.append(Figure(f"failed requests beside {beside}", f"{len(faults)} of {len(outcomes)}", "0"))
    assert faults == []
    assert [each for each in outcomes if each.version != each.said] == []


async def chain(pair: Pair) -> Chain:
    """Return what a walk along the stored history finds."""
    store = RedisRouteStore(pair.store_url)
    try:
        return follow(link_of(each) for each in await store.history(MODEL, limit=1000))
    finally:
        await store.close()


def walk_over(pair: Pair, source: Path | None, weights: tuple[int, int], canary: str) -> int:
    """Replace the replicas in turns, with changes, labels and a rollout; return how many users were torn.

    source: of the release that comes, HERE for this one. weights: of version 1, set through either replica in turn. The
    rollout of the *canary* is begun by the replica that goes last, and ended by what comes in its place.
    """
    pair.replace(pair.a, source)
    torn = 0
    for by, weight in zip((pair.b, pair.a), weights, strict=True):
        pair.weigh(by, {"1": weight, "2": 100 - weight})
        torn += len(pair.torn(USERS))
    assert_shown_alike(pair)
    label(pair.a, pair.b, f"a-before-{canary}")
    label(pair.b, pair.a, f"b-before-{canary}")
    pair.weigh(pair.b, {"1": 100, "2": 100, canary: 0})
    pair.begin_rollout(pair.b, canary)
    torn += len(pair.torn(USERS))
    pair.replace(pair.b, source)
    pair.end_rollout(pair.b)
    return torn


def assert_shown_alike(pair: Pair) -> None:
    """Fail unless each replica shows every entry of the history, and the same of it as far as both show it."""
    ours, theirs = entries(pair.a), entries(pair.b)
    shared = ours[0].keys() & theirs[0].keys()
    assert {"revision", "who", "reason", "action", "before", "after", "at_ms"} <= shared
    assert [{name: each[name] for name in shared} for each in ours] == [
        {name: each[name] for name in shared} for each in theirs
    ]


@pytest.mark.parametrize("release", before_this(2))
async def test_an_upgrade_in_turns_and_back_loses_no_request_no_user_and_no_entry(
    begin: Callable[[Path | None], Pair], release: str, tmp_path: Path, figures: list[Figure]
) -> None:
    older = source_of(release, tmp_path)
    pair = await asyncio.to_thread(begin, older)

    async with callers(pair, figures, f"an upgrade from {release} in turns, and back"):
        torn = await asyncio.to_thread(walk_over, pair, HERE, (70, 30), "2")
        upgraded = await chain(pair)
        torn += await asyncio.to_thread(walk_over, pair, older, (60, 20), "1")
        back = await chain(pair)

    revisions = [each["revision"] for each in entries(pair.a)]
    figures.append(Figure(f"users torn between {release} and this", f"{torn} of {6 * len(USERS)}", "0"))
    figures.append(Figure(f"breaks of the history beside {release}", f"{len(back.breaks)} of {back.entries}", "0"))
    assert torn == 0
    assert revisions == list(range(len(revisions), 0, -1))
    assert (upgraded.breaks, back.breaks) == ((), ())
    assert back.entries == len(revisions) > upgraded.entries


@pytest.mark.parametrize("release", [each for each in before_this(2) if each in UNKNOWN])
async def test_an_older_release_serves_its_last_good_route_on_until_what_it_does_not_know_is_taken_out(
    begin: Callable[[Path | None], Pair], release: str, tmp_path: Path, figures: list[Figure]
) -> None:
    older = source_of(release, tmp_path)
    pair = await asyncio.to_thread(begin, older)
    new, old = pair.a, pair.b

    async with callers(pair, figures, f"a route that {release} does not know") as load:
        await asyncio.to_thread(pair.replace, new, HERE)
        good = await asyncio.to_thread(pair.weigh, new, {"1": 70, "2": 30})
        plain = await asyncio.to_thread(lambda: new.ask_admin("GET", ROUTE_PATH).json())
        later = await asyncio.to_thread(put, new, {**plain, "split": {"1": 20, "2": 80}, **UNKNOWN[release]})
        await asyncio.to_thread(eventually, lambda: refused(old), FOLLOW_SECONDS, "the older release raises an alarm")
        await load.answered(SECOND)
        served = [await asyncio.to_thread(metrics.adopted, each) for each in (new, old)]
        is_ready = await asyncio.to_thread(old.is_ready)
        answer = await asyncio.to_thread(old.set_weights, MODEL, {"1": 1, "2": 1})
        await asyncio.to_thread(pair.replace, old, older)
        remembered = await asyncio.to_thread(metrics.adopted, old)
        mended = await asyncio.to_thread(put, new, plain)
        await asyncio.to_thread(pair.follow, mended)

    assert (served, is_ready, remembered) == ([later, good], True, good)
    assert (answer.status, answer.json()["type"].rpartition(":")[2]) == (409, "corrupt-route")
    assert pair.torn(USERS) == []


def put(by: Gateway, document: dict[str, Any]) -> int:
    """Write a whole route through the admin port of a replica, and return its revision."""
    answer = by.ask_admin("PUT", ROUTE_PATH, document, if_match="*")
    assert answer.status == 200, answer.body
    return int(answer.headers["etag"].strip('"'))


def refused(replica: Gateway) -> float:
    """Return how many stored routes a replica refused that it could not read."""
    return metrics.gauge(replica, "gateway_route_documents_refused_total", reason="invalid") or 0
