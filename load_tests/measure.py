"""One load on one server, measured: what callers saw and what it cost.

The load runs as a process of its own, pinned away from the server.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from load_tests import work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from load_tests.servers import Server

SCRIPT: Final = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Measurement:
    """A closed loop on *server*. *cpu_us* is user and system time of its whole tree per request, in microseconds.

    *system_us*: of that, what the system took.
    """

    server: str
    connections: int
    requests: int
    errors: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    system_us: float = 0.0

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Load:
    """How load is made: with wrk where *wrk* is its path, otherwise with `load_tests.generator`, on *cores*."""

    cores: tuple[int, ...]
    body: Path
    wrk: str | None
    path: str = work.PATH
    json_bytes: int | None = None
    """How much of the body is JSON, where binary tensors are behind it."""
    users: int = 0
    """How many values of ``x-user-id`` take turns; with none the header is not sent."""

    @classmethod
    def of(
        cls, body: Path, cores: tuple[int, ...], path: str = work.PATH, json_bytes: int | None = None, users: int = 0
    ) -> Load:
        """Return a load that sends the request body in the file *body* to *path*."""
        return cls(cores, body, shutil.which("wrk"), path, json_bytes, users)

    @property
    def name(self) -> str:
        return "wrk" if self.wrk else "load_tests.generator"

    def on(self, server: Server, connections: int, seconds: int) -> Measurement:
        """Send requests over *connections* for *seconds* and return what was measured. Raises NotMeasurable."""
        sent = {"WRK_BODY": str(self.body), "WRK_USERS": str(self.users)}
        if self.json_bytes is not None:
            sent["WRK_JSON_BYTES"] = str(self.json_bytes)
        command = self._command(server.port, connections, seconds)
        return _measured(server, command, self.cores, connections, seconds, sent)

    def _command(self, port: int, connections: int, seconds: int) -> list[str]:
        if self.wrk:
            return [self.wrk, f"-t{len(self.cores)}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
                    "-s", str(SCRIPT), f"http://127.0.0.1:{port}{self.path}"]  # fmt: skip
        return [sys.executable, "-m", "load_tests.generator", "--port", str(port), "--path", self.path,
                "--body", str(self.body), "--connections", str(connections), "--seconds", str(seconds),
                "--users", str(self.users)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class GrpcLoad:
    """Load over gRPC, on *port* instead of the server's HTTP port, with `load_tests.grpc_generator`."""

    core: int
    model: str
    port: int

    def on(self, server: Server, connections: int, seconds: int) -> Measurement:
        """Keep so many calls under way for *seconds* and return what was measured. Raises NotMeasurable."""
        asked = {"port": self.port, "model": self.model, "connections": connections, "seconds": seconds}
        flags = [part for name, value in asked.items() for part in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "load_tests.grpc_generator", *flags]
        return _measured(server, command, (self.core,), connections, seconds, {})


def _measured(
    server: Server, command: Sequence[str], cores: Sequence[int], connections: int, seconds: int,
    sent: Mapping[str, str],
) -> Measurement:  # fmt: skip
    """Run *command*, which loads *server* for *seconds*, on *cores*, and return what it and the server's tree say."""
    before = server.cpu_times()
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
    run = subprocess.run(
        pinned, cwd=work.ROOT, env={**os.environ, **sent}, capture_output=True,
        text=True, timeout=seconds + 60, check=False,
    )  # fmt: skip
    user, system = (now - then for now, then in zip(server.cpu_times(), before, strict=True))
    line = next((line for line in run.stdout.splitlines() if line.startswith("@@")), None)
    if line is None:
        raise work.NotMeasurable(f"the load printed no result: {run.stdout[-500:]}{run.stderr[-500:]}")
    seen = json.loads(line.removeprefix("@@"))
    requests = max(1, seen["requests"])
    return Measurement(
        server.name, connections, seen["requests"], seen["errors"], seen["requests"] / seen["seconds"],
        seen["p50_ms"], seen["p99_ms"], (user + system) / requests * 1e6, system / requests * 1e6,
    )  # fmt: skip


def median(measurements: Sequence[Measurement], member: str) -> float:
    """Return the median of one member over *measurements*, which must not be empty."""
    return float(statistics.median(getattr(measurement, member) for measurement in measurements))


def paired_ratio(subject: Sequence[Measurement], reference: Sequence[Measurement], member: str) -> float:
    """Return the median of subject / reference, each pair measured one right after the other.

    The machine may drift between pairs; within one it hardly does.
    """
    pairs = zip(subject, reference, strict=True)
    return float(
        statistics.median(getattr(mine, member) / max(getattr(theirs, member), 1e-9) for mine, theirs in pairs)
    )
