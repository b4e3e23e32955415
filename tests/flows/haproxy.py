"""A real haproxy that hands the connections of one caller's requests to the next, and logs each request it read.

Two doors lead to the gateway: ``strict`` is haproxy as it comes, ``lax`` lets by what it may be told to let by.
``control`` leads to another upstream. Requests go out one at a time, so that all callers of an upstream share one
connection as long as nobody breaks it.
"""

from __future__ import annotations

import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from load_tests.servers import free_port
from tests.faults.balancer import PATH
from tests.flows.gateway_process import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

START_SECONDS: Final = 5.0
REFUSED: Final = "<NOSRV>"
"""What haproxy writes for the server of a request that it sent nowhere."""

CONFIGURATION: Final = """
global
  nbthread 1
  log stdout format raw local0
defaults
  mode http
  log global
  retries 0
  http-reuse always
  timeout connect 1s
  timeout client 2s
  timeout server 2s
  timeout queue 2s
  log-format "%cp %s %bp %ST %[capture.req.hdr(0)] %[capture.res.hdr(0)] %HPO"
backend gateway
  server gateway 127.0.0.1:{gateway} maxconn 1
backend other
  server other 127.0.0.1:{other} maxconn 1
"""

DOOR: Final = """
frontend {name}
  bind 127.0.0.1:{port}
  {option}
  capture request header x-request-id len 40
  capture response header x-request-id len 40
  default_backend {backend}
"""

DOORS: Final = {
    "strict": ("no option accept-invalid-http-request", "gateway"),
    "lax": ("option accept-invalid-http-request", "gateway"),
    "control": ("option accept-invalid-http-request", "other"),
}


@dataclass(frozen=True, slots=True)
class Logged:
    """One request as haproxy read it.

    caller: the port it came from. link: our port on the connection to the upstream, "-" where it went nowhere.
    asked, answered: x-request-id of the request and of the answer, "-" without one.
    """

    caller: int
    server: str
    link: str
    status: int
    asked: str
    answered: str
    path: str

    @classmethod
    def read(cls, line: str) -> Logged:
        """Return what a line of the log says."""
        caller, server, link, status, asked, answered, path = line.split(" ", 6)
        return cls(int(caller), server, link, int(status), asked, answered, path)

    @property
    def is_forwarded(self) -> bool:
        """Whether the upstream got it."""
        return self.server != REFUSED


class Haproxy:
    """One haproxy before the *gateway*'s port of loopback and the *other* upstream's."""

    def __init__(self, directory: Path, *, gateway: int, other: int) -> None:
        self.ports = {name: free_port() for name in DOORS}
        self._file = directory / "haproxy.cfg"
        self._log = directory / "haproxy.log"
        doors = "".join(
            DOOR.format(name=name, port=self.ports[name], option=option, backend=backend)
            for name, (option, backend) in DOORS.items()
        )
        self._file.write_text(CONFIGURATION.format(gateway=gateway, other=other).lstrip() + doors.lstrip())
        self._process: subprocess.Popen[bytes] | None = None

    def logged(self) -> list[Logged]:
        """Return every request that it has logged, in the order in which they ended."""
        whole = self._log.read_text(errors="replace").rpartition("\n")[0]
        return [Logged.read(line) for line in whole.splitlines() if line[:1].isdigit()]

    def __enter__(self) -> Haproxy:
        assert PATH is not None
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([PATH, "-db", "-f", str(self._file)], stdout=log, stderr=log)
        eventually(self._listens, START_SECONDS, "haproxy listens")
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")
        try:
            for port in self.ports.values():
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True
