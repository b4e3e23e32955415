"""What lies in the store, or in the snapshot on the disk, is not what was written: it is not served."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import inside, thresholds
from tests.faults.store_server import StoreServer, needs_redis, network, store, url
from tests.flows import metrics
from tests.flows.doors import free_port
from tests.flows.gateway_process import COMMAND, eventually
from tests.flows.load import Load
from tests.flows.models import MODEL
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.proxy import Network

__all__ = ["network", "store"]
pytestmark = [pytest.mark.fault, needs_redis]

ROUTE: Final = 'split: {"1": 95, "2": 5}\nassign: {by: random}\nbaseline: "1"'
KEY: Final = f"gateway:{{{MODEL}}}:route"
COUNT: Final = 300
PATIENCE_SECONDS: Final = 15.0


async def test_control_a_watcher_that_compares_revisions_alone_never_follows_back(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", url(network)), command=inside.command("compare-revisions"))
    older = store.copy()
    assert gateway.set_weights(MODEL, {"1": 95, "2": 6}).status == 200
    eventually(lambda: metrics.adopted(gateway) == 2, PATIENCE_SECONDS, "every worker follows")

    await asyncio.to_thread(store.put_back, older)
    await asyncio.sleep(2 * thresholds.AGREED.most)

    with table.control("R10", "revisions are all that is compared, and the store is set back") as found:
        found("workers that do not agree with it", metrics.adopted(gateway) != 1, thresholds.NONE)


def forge(store: StoreServer) -> None:
    """Write a whole route under a revision that is ahead, beside the digest of another one."""
    store.ask("HSET", KEY, "revision", 100, "digest", "0" * 64)


async def test_a_route_beside_the_digest_of_another_one_is_not_served(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", url(network)))

    async with Load(gateway.port) as load:
        await load.answered(100)
        forge(store)
        await load.answered(COUNT)
    refused = metrics.gauge(gateway, "gateway_route_documents_refused_total", reason="digest_mismatch") or 0

    with table.promise("R8", "a forged route in the store") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("answers off the recorded revision", sum(o.revision != 1 for o in load.outcomes), thresholds.NONE)
        found("workers that refused it", refused / gateway.workers, thresholds.ALL)
    assert_counts_agree(gateway, [load], before={})


async def test_control_a_store_that_is_believed_serves_what_was_forged(
    begin: Callable[..., Gateway], store: StoreServer, network: Network, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", url(network)), command=inside.command("believe-the-store"))

    async with Load(gateway.port) as load:
        await load.answered(100)
        forge(store)
        await load.answered(COUNT)

    with table.control("R8", "digests are not looked at, and a route is forged") as found:
        found("answers off the recorded revision", sum(o.revision != 1 for o in load.outcomes), thresholds.NONE)


def alter(snapshot: Path) -> None:
    """Change one byte: the revision of what was served last, from 2 to 3."""
    content = snapshot.read_bytes()
    assert content.count(b'"revision":2') == 1
    snapshot.write_bytes(content.replace(b'"revision":2', b'"revision":3'))


async def serve_an_altered_snapshot(begin: Callable[..., Gateway], command: Sequence[str] = COMMAND) -> Load:
    """Stop a gateway, change a byte of its snapshot, start it without its store, and return a load on it."""
    gateway = begin(route=ROUTE, command=command)
    assert gateway.set_weights(MODEL, {"1": 95, "2": 6}).status == 200
    snapshot = gateway.state / "routes.snapshot"
    saved = lambda: b'"revision":2' in snapshot.read_bytes()  # noqa: E731 - asked once
    await asyncio.to_thread(eventually, saved, PATIENCE_SECONDS, "it is saved")
    gateway.stop()
    gateway.close()
    alter(snapshot)
    gateway.flags = ("--redis-url", f"redis://127.0.0.1:{free_port()}/0")
    await asyncio.to_thread(gateway.start)
    async with Load(gateway.port) as load:
        await load.answered(COUNT)
    return load


async def test_a_snapshot_of_which_a_byte_changed_is_not_served(begin: Callable[..., Gateway], table: Table) -> None:
    load = await serve_an_altered_snapshot(begin)

    with table.promise("R3", "no store at the start, and a byte of the snapshot changed") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("answers by what nobody wrote", sum(o.revision == 3 for o in load.outcomes), thresholds.NONE)


async def test_control_a_snapshot_that_is_believed_is_served_as_it_lies_there(
    begin: Callable[..., Gateway], table: Table
) -> None:
    load = await serve_an_altered_snapshot(begin, inside.command("believe-the-snapshot"))

    with table.control("R3", "the snapshot's digest is not looked at") as found:
        found("answers by what nobody wrote", sum(o.revision == 3 for o in load.outcomes), thresholds.NONE)
