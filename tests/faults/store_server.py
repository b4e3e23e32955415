"""A real redis-server of its own, behind a network that can be broken."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.flows.gateway_process import eventually
from tests.flows.proxy import Network

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_SECONDS = 10.0
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server, of Debian's package redis-server, is not on PATH"
)


class StoreServer:
    """One server with its data in a directory of its own; it keeps a journal, unless it is told otherwise."""

    def __init__(self, *flags: str) -> None:
        """*flags* come after the server's own, and win."""
        self.directory = Path(tempfile.mkdtemp(prefix="st-"))  # short: a unix socket's path lies in it
        self.socket = str(self.directory / "s")
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> StoreServer:
        """Start, on the data of before, and return when it answers."""
        own = ("--port", "0", "--unixsocket", self.socket, "--dir", str(self.directory), "--appendonly", "yes",
               "--save", "", "--appendfsync", "everysec")  # fmt: skip
        self._process = subprocess.Popen(
            ["redis-server", *own, *self._flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers, START_SECONDS, "the store's server answers")
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send the server a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and return when it is gone."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(START_SECONDS)

    def close(self) -> None:
        """End it and remove its data."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def ask(self, *words: Any, password: str | None = None) -> Any:
        """Send one command past the broken network, and return its answer; with *password* where one is needed."""
        with redis.Redis(unix_socket_path=self.socket, socket_timeout=5, password=password) as client:
            return client.execute_command(*words)

    def copy(self) -> bytes:
        """Return a dump of every key, as ``put_back`` takes it; an older copy of the store."""
        return self._rewritten().read_bytes()

    def _rewritten(self) -> Path:
        before = self.ask("LASTSAVE")
        time.sleep(1.0)  # LASTSAVE counts whole seconds
        self.ask("BGSAVE")
        eventually(lambda: self.ask("LASTSAVE") != before, START_SECONDS, "a copy is saved")
        return self.directory / "dump.rdb"

    def put_back(self, content: bytes) -> None:
        """Kill the server and start it on an older copy, without the journal of what came after."""
        self.kill()
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        (self.directory / "appendonly.aof").unlink(missing_ok=True)
        (self.directory / "dump.rdb").write_bytes(content)
        self._flags = (*self._flags, "--appendonly", "no")
        self.start()

    def _answers(self) -> bool:
        try:
            self.ask("PING")
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False
        return True


@pytest.fixture
def store() -> Iterator[StoreServer]:
    """A server that has begun."""
    server = StoreServer()
    yield server.start()
    server.close()


@pytest.fixture
def network(store: StoreServer) -> Iterator[Network]:
    """The network between the gateway and that server."""
    with Network(store.socket) as network:
        yield network


def url(network: Network, *, user: Sequence[str] = ()) -> str:
    """Return the address of the store as a gateway takes it; *user* is a name and a password."""
    who = f"{':'.join(user)}@" if user else ""
    return f"redis://{who}127.0.0.1:{network.port}/0"
