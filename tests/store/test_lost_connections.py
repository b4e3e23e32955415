"""A connection that was reset under uvloop, which has its own error for it: tried again, then the store is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from gateway.core.errors import StoreUnavailable
from gateway.store.embedded import EmbeddedServer
from gateway.store.redis_store import RedisRouteStore
from gateway.store.server_binary import find_server
from tests.flows.proxy import Network

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path
    from typing import Any

NOTICED_SECONDS = 0.1
"""Until the event loop has heard of a reset."""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    server = EmbeddedServer(tmp_path, find_server(None))
    with Network(server.start().removeprefix("unix://")) as network:
        yield network
    server.stop()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on the loop that the gateway's processes have."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def ask_after_reset(network: Network, *, mended: bool) -> None:
    store = RedisRouteStore(f"redis://127.0.0.1:{network.port}/0")
    try:
        await store.heads(["fraud"])
        network.reset()
        await asyncio.sleep(NOTICED_SECONDS)
        if mended:
            network.mend()
        await store.heads(["fraud"])
    finally:
        await store.close()


def test_a_store_whose_connections_are_reset_is_away(network: Network) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        run(ask_after_reset(network, mended=False))


def test_the_first_question_after_a_reset_is_asked_again_on_a_new_connection(network: Network) -> None:
    run(ask_after_reset(network, mended=True))
