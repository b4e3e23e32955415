"""A real haproxy before gateways: it probes readiness five times a second, tries nothing again, and counts."""

from __future__ import annotations

import csv
import shutil
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest

from load_tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

PATH = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
needs_haproxy = pytest.mark.skipif(PATH is None, reason="haproxy, of Debian's package haproxy, is not on PATH")

CONFIGURATION = """
global
  maxconn 4000
defaults
  mode http
  retries 0
  timeout connect 1s
  timeout client 30s
  timeout server 30s
listen counts
  bind 127.0.0.1:{counts}
  stats enable
  stats uri /
frontend in
  bind 127.0.0.1:{port}
  default_backend gateways
backend gateways
  balance roundrobin
  option httpchk GET /v2/health/ready
  http-check expect status 200
  default-server inter 200ms fall 2 rise 1
"""
"""Without ``retries`` and ``redispatch``, which would hide what a gateway loses."""


class Balancer:
    """One haproxy before the gateways at *ports* of loopback."""

    def __init__(self, directory: Path, ports: Sequence[int]) -> None:
        self.port = free_port()
        self._counts = free_port()
        self._file = directory / "haproxy.cfg"
        servers = "".join(f"  server g{port} 127.0.0.1:{port} check\n" for port in ports)
        self._file.write_text(CONFIGURATION.format(port=self.port, counts=self._counts).lstrip() + servers)
        self._process: subprocess.Popen[bytes] | None = None

    def answered(self) -> int:
        """Return how many answers of 200 to 299 it passed on to callers."""
        (count,) = (row["hrsp_2xx"] for row in self._rows() if (row["pxname"], row["svname"]) == ("in", "FRONTEND"))
        return int(count)

    def sends_to_all(self) -> bool:
        """Say whether it found every gateway ready at its last probe, and knows its own ports by now."""
        try:
            states = [
                row["status"] for row in self._rows() if row["pxname"] == "gateways" and row["svname"] != "BACKEND"
            ]
        except OSError:
            return False
        return bool(states) and all(state == "UP" for state in states)

    def _rows(self) -> list[dict[str, str]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._counts}/;csv", timeout=5) as response:
            return list(csv.DictReader(response.read().decode().removeprefix("# ").splitlines()))

    def __enter__(self) -> Balancer:
        assert PATH is not None
        self._process = subprocess.Popen([PATH, "-db", "-f", str(self._file)], stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
