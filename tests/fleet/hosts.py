"""Gateways on hosts of their own, the one store that they share, and the balancer in front of them."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING, Any, Final

from gateway.store.server_binary import find_server
from tests.fleet.network import SWITCH, Network
from tests.flows.conftest import close_all
from tests.flows.gateway_process import Answer, Gateway, eventually
from tests.flows.models import failing_every, publish, repository, request, route_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOSTS: Final = ("a", "b", "c")
WORKERS: Final = 2
PORT, ADMIN_PORT, STORE_PORT = 8080, 9090, 6379
TOKEN: Final = "between-hosts"
CANARY: Final = 3
FAILS_EVERY: Final = 20

ROUTE: Final = 'split: {"1": 50, "2": 50}\nassign: {by: "header:x-user-id", missing: random, salt: echo}\nbaseline: "1"'

BALANCER: Final = """
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  option redispatch
  option http-server-close
frontend callers
  bind {balancer}:{port}
  default_backend gateways
backend gateways
  balance roundrobin
  option httpchk GET /v2/health/ready
  default-server check inter 200ms fall 2 rise 2
{servers}
"""
"""Each request gets a connection of its own to a gateway, so that every worker has its share of them."""

INFER: Final = "/v2/models/echo/infer"
STARTED_SECONDS: Final = 15.0


class Host(Gateway):
    """A gateway that is asked from another machine, so its admin port wants a token."""

    __slots__ = ()

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, *, base: str = ""
    ) -> Answer:
        """Send one request, to the admin port with the token."""
        token = {"authorization": f"Bearer {TOKEN}"} if base == self.admin and base else {}
        return super().ask(method, path, body, {**token, **(headers or {})}, base=base)

    def workers_seen(self) -> set[str]:
        """Return what the request ids of each worker begin with, once all have answered."""
        seen: set[str] = set()

        def all_answered() -> bool:
            seen.add(self.infer().headers["x-request-id"].partition("-")[0])
            return len(seen) == WORKERS

        eventually(all_answered, STARTED_SECONDS, f"{WORKERS} workers of {self.inference} answer")
        return seen

    def infer(self, user: str = "") -> Answer:
        """Send one request to the echo model, as *user* where one is named."""
        return self.ask("POST", INFER, request([1.0, 2.0]), {"x-user-id": user} if user else {})


class Fleet:
    """Three hosts of two workers; versions 1 and 2 are well, and the third fails one request in FAILS_EVERY."""

    def __init__(self, root: Path) -> None:
        self.network = Network(HOSTS)
        self._root = root
        self._others: list[subprocess.Popen[bytes]] = []
        self.hosts = {name: self._host(name) for name in HOSTS}

    def start(self) -> None:
        """Build the network, then start the store, the gateways and the balancer, and wait until all serve."""
        self.network.build()
        publish(repository(self._root / "models", (1, 2)), CANARY, failing_every(CANARY, FAILS_EVERY))
        route_file(self._root / "routes", ROUTE)
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        (self._root / "tokens.yaml").write_text(f"tokens: [{{name: fleet, role: admin, sha256: {digest}}}]\n")
        where = ("--bind", self.network.store, "--port", str(STORE_PORT))
        self._run(str(find_server(None)), *where, "--save", "", "--protected-mode", "no", "--dir", str(self._root))
        for host in self.hosts.values():
            host.start()
        servers = "\n".join(f"  server {name} {at}:{PORT}" for name, at in self.network.addresses.items())
        text = BALANCER.format(balancer=self.network.balancer, port=PORT, servers=servers)
        configuration = self._root / "haproxy.cfg"
        configuration.write_text(text)
        self._run("haproxy", "-db", "-f", str(configuration))
        eventually(self._answers, STARTED_SECONDS, "the balancer has a gateway that is ready")

    def close(self) -> None:
        """End every process and remove the network, also when ending one fails."""
        try:
            close_all(list(self.hosts.values()))
        finally:
            for process in self._others:
                process.kill()
                process.wait()
            self.network.close()

    def workers(self) -> dict[str, str]:
        """Return worker → host, of all that live now."""
        return {worker: name for name, host in self.hosts.items() for worker in host.workers_seen()}

    def _host(self, name: str) -> Host:
        address = self.network.addresses[name]
        flags: dict[str, Any] = {
            "host": address, "port": PORT, "admin-host": address, "admin-port": ADMIN_PORT,
            "admin-token-file": self._root / "tokens.yaml", "drain-delay": "2s",
            "redis-url": f"redis://{self.network.store}:{STORE_PORT}",
        }  # fmt: skip
        given = [part for flag, value in flags.items() for part in (f"--{flag}", str(value))]
        prefix = self.network.inside(name)
        directories = (self._root / name, self._root / "models", self._root / "routes")
        return Host(*directories, workers=WORKERS, flags=given, prefix=prefix)

    def _run(self, *words: str) -> None:
        command = [*self.network.inside(SWITCH), *words]
        self._others.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))

    def _answers(self) -> bool:
        try:
            answer = self.hosts[HOSTS[0]].ask("POST", INFER, request([1.0, 2.0]), base=self.entrance)
        except OSError:
            return False
        return answer.status == 200

    @property
    def entrance(self) -> str:
        """Where callers find the balancer."""
        return f"http://{self.network.balancer}:{PORT}"
