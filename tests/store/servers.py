"""Servers of the store's kind as operators run them: over TCP, with users, TLS, Sentinels and in a cluster."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis import Redis
from redis.exceptions import RedisError

from gateway.store.server_binary import find_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ACL_FILE: Final = Path(__file__).parents[2] / "deploy" / "redis" / "users.acl"
PASSWORD: Final = "correct-horse"
USER: Final = f"gateway:{PASSWORD}"

BINARIES: Final = {"embedded": str(find_server(None)), "redis-server": shutil.which("redis-server")}


def free_port() -> int:
    """Return a port whose cluster bus port, 10000 above it, exists as well."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


class Server:
    """One server process in a directory of its own."""

    def __init__(self, directory: Path, *options: str, binary: str = BINARIES["embedded"] or "", port: int = 0) -> None:
        self.port = port or free_port()
        self._directory = directory / str(self.port)
        self._directory.mkdir(parents=True, exist_ok=True)
        common = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._directory)]
        if "--tls-port" in options:
            common[1] = "0"
        words = [binary, *(options[:1] if options[:1] and options[0].endswith(".conf") else ())]
        words += [*common, *(each for each in options if not each.endswith(".conf"))]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def client(self, **options: Any) -> Redis:
        return Redis(port=self.port, protocol=2, socket_timeout=2, **options)

    def ask(self, *words: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*words)

    def wait(self) -> Server:
        until(lambda: self.ask("PING"))
        return self

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def until(holds: Any, seconds: float = 15) -> Any:
    """Ask again until what *holds* returns is true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RedisError, OSError):
            if found := holds():
                return found
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def acl_file(directory: Path) -> Path:
    """Return the shipped file with PASSWORD for its users, and a default user past whom nobody has to log in."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    text = ACL_FILE.read_text(encoding="utf-8").replace("0" * 64, digest)
    path = directory / "users.acl"
    path.write_text(text.replace("user default off", "user default on nopass ~* &* +@all"), encoding="utf-8")
    return path


def past_the_user(url: str) -> str:
    """Return the address at which a test may do what the gateway may not."""
    return url.replace(f"redis+cluster://{USER}@", "redis://")


@contextlib.contextmanager
def one_node_cluster(directory: Path, **options: Any) -> Iterator[Server]:
    """A cluster of a single node: it refuses whatever touches two slots, as a large one does."""
    server = Server(directory, "--cluster-enabled", "yes", "--aclfile", str(acl_file(directory)), **options).wait()
    try:
        server.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: b"cluster_state:ok" in raw(server.ask("CLUSTER", "INFO")))
        yield server
    finally:
        server.stop()


def raw(info: Any) -> bytes:
    """Return what INFO or CLUSTER INFO said, read by the library or not, as lines."""
    if isinstance(info, dict):
        return "\n".join(f"{name}:{value}" for name, value in info.items()).encode()
    return bytes(info)
