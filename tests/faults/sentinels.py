"""A primary, its replica and three Sentinels, each a real server on a port of its own, with the shipped user."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis.exceptions import RedisError

from tests.store.servers import USER, Server, acl_file, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE: Final = "main"
SENTINELS: Final = 3
RULES: Final = f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 3000\n"


class Watched:
    """The pair and the Sentinels. The primary of the start is *primary*, whatever it becomes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        users = ("--aclfile", str(acl_file(directory)))
        self.primary = Server(directory, *users).wait()
        self.replica = Server(directory, *users, "--replicaof", f"127.0.0.1 {self.primary.port}").wait()
        self.sentinels: list[Server] = []

    def start(self) -> Watched:
        """Return when the replica has everything and every Sentinel knows all others and the replica."""
        until(lambda: self.replica.ask("INFO", "replication")["master_link_status"] == "up")
        for number in range(SENTINELS):
            conf = self._directory / f"{number}.conf"
            conf.write_text(f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} 2\n{RULES}")
            self.sentinels.append(Server(self._directory, str(conf), "--sentinel").wait())
        for sentinel in self.sentinels:
            until(lambda sentinel=sentinel: _knows(sentinel) == (str(SENTINELS - 1), "1"))
        return self

    @property
    def url(self) -> str:
        """The address of whoever is the primary."""
        return f"redis+sentinel://{USER}@{','.join(f'127.0.0.1:{each.port}' for each in self.sentinels)}/{SERVICE}"

    @property
    def url_of_first(self) -> str:
        """The address of the primary of the start, past the Sentinels."""
        return f"redis://{USER}@127.0.0.1:{self.primary.port}/0"

    def freeze_primary(self) -> None:
        """Let the primary stand still, as a machine that hangs: its connections stay open."""
        os.kill(self.primary.process.pid, signal.SIGSTOP)

    def thaw_primary(self) -> None:
        """Let it go on; return when the Sentinels have made a replica of it."""
        os.kill(self.primary.process.pid, signal.SIGCONT)
        until(lambda: self.primary.ask("ROLE")[0] == b"slave", 30)

    def has_failed_over(self) -> bool:
        """Say whether the replica of the start is the primary."""
        with suppress(RedisError):
            return bool(self.replica.ask("ROLE")[0] == b"master")
        return False

    def close(self) -> None:
        """End all of them."""
        for server in (*self.sentinels, self.replica, self.primary):
            server.stop()


def _knows(sentinel: Server) -> tuple[Any, Any]:
    """Return how many Sentinels and replicas one Sentinel knows beside itself and the primary."""
    said: Mapping[str, Any] | list[bytes] = sentinel.ask("SENTINEL", "MASTER", SERVICE)
    if isinstance(said, list):
        words = [each.decode() for each in said]
        said = dict(zip(words[::2], words[1::2], strict=True))
    return str(said["num-other-sentinels"]), str(said["num-slaves"])


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A pair that is watched; its directory is gone with the test."""
    with tempfile.TemporaryDirectory(prefix="sentinels-", ignore_cleanup_errors=True) as directory:
        pair = Watched(Path(directory))
        try:
            yield pair.start()
        finally:
            pair.close()
