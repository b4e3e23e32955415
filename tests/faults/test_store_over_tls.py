"""The store speaks TLS, and is frozen, cut off or reset: what is not answered may as well be half of a handshake."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import pytest

from load_tests.servers import free_port
from tests.faults.store_server import StoreServer, needs_redis
from tests.faults.test_store import ROUTE, Fault, go_through, judge
from tests.flows.proxy import Network
from tests.processes.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

pytestmark = [pytest.mark.fault, needs_redis]

FAULTS: Final = {
    "over TLS, frozen (SIGSTOP)": Fault(
        lambda store, _: store.signal(signal.SIGSTOP), lambda store, _: store.signal(signal.SIGCONT)
    ),
    "over TLS, unreachable (packets vanish)": Fault(
        lambda _, network: network.cut(), lambda _, network: network.mend()
    ),
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the store's certificate, and is trusted by the gateway."""
    return Authority(tmp_path)


@pytest.fixture
def port() -> int:
    """Where the store speaks TLS."""
    return free_port()


@pytest.fixture
def store(authority: Authority, port: int) -> Iterator[StoreServer]:
    """A server that speaks TLS only, but for the socket by which a test asks it."""
    certificate, key = authority.issue("store")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(authority.path))
    server = StoreServer("--tls-port", str(port), "--tls-auth-clients", "no", *files)
    yield server.start()
    server.close()


@pytest.fixture
def network(store: StoreServer, port: int) -> Iterator[Network]:
    """The network between the gateway and that server; it passes on what it cannot read."""
    with Network(port) as network:
        yield network


@pytest.mark.parametrize("name", FAULTS)
async def test_a_broken_store_that_speaks_tls_is_noticed_by_operators_only(
    begin: Callable[..., Gateway],
    store: StoreServer,
    network: Network,
    authority: Authority,
    table: Table,
    fault_seconds: float,
    name: str,
) -> None:
    fault = FAULTS[name]
    where = f"rediss://127.0.0.1:{network.port}/0?ssl_ca_certs={authority.path}"
    gateway = begin(route=ROUTE, flags=("--redis-url", where))

    seen = await go_through(
        gateway, lambda: fault.strike(store, network), lambda: fault.mend(store, network), fault_seconds
    )

    judge(table, name, seen)
