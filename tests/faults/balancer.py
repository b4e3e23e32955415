"""A real haproxy before gateways: it probes readiness five times a second, and tries nothing again."""

from __future__ import annotations

import shutil
import subprocess
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
        self._file = directory / "haproxy.cfg"
        servers = "".join(f"  server g{port} 127.0.0.1:{port} check\n" for port in ports)
        self._file.write_text(CONFIGURATION.format(port=self.port).lstrip() + servers)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Balancer:
        assert PATH is not None
        self._process = subprocess.Popen([PATH, "-db", "-f", str(self._file)], stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
