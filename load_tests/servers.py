"""The servers that the benchmark starts, asks whether they are ready, weighs and stops.

Each is the leader of a session of its own, and only members of that session are ever ended.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from load_tests import proc, work

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

READY_PATHS: Final = ("/v2/health/ready",)
START_TIMEOUT_SECONDS: Final = 60.0
STOP_TIMEOUT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.01
SETTLED_SECONDS: Final = 5.0
"""After a start, until what looks at new files rests."""
PORTS: Final = (20_000, 32_000)

ROUTE: Final = 'model: breast-cancer\nsplit: {"1": 100}\nassign: {by: "header:x-user-id"}\nbaseline: "1"\n'


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers. *start_seconds* is the time from its first instruction to its first ready answer."""

    name: str
    port: int
    pid: int
    start_seconds: float

    def cpu_seconds(self) -> float:
        """Return the processor time that its whole tree has used."""
        return sum(self.cpu_times())

    def cpu_times(self) -> tuple[float, float]:
        """Return that apart: in programs, and in the system for them."""
        return proc.cpu_seconds(proc.tree(self.pid))

    def pss_bytes(self) -> int:
        """Return the memory of its whole tree."""
        return proc.pss_bytes(proc.tree(self.pid))


def reference_command(port: int) -> list[str]:
    """Return what starts raw uvicorn with a constant answer, in one process."""
    return [sys.executable, "-m", "uvicorn", "load_tests.reference:app", "--port", str(port), "--loop", "uvloop",
            "--http", "httptools", "--no-access-log", "--log-level", "warning"]  # fmt: skip


def gateway_command(
    port: int,
    workers: int,
    directory: Path,
    *,
    models: Path = work.MODELS,
    route: str = ROUTE,
    grpc_port: int = 0,
    flags: Sequence[str] = (),
) -> list[str]:
    """Return what starts the gateway with *models*, one *route*, further *flags*, and its state below *directory*."""
    routes = directory / "routes"
    routes.mkdir(parents=True, exist_ok=True)
    (routes / "breast-cancer.yaml").write_text(route, encoding="utf-8")
    given = {"workers": workers, "port": port, "admin-port": free_port(), "grpc-port": grpc_port, "models": models,
             "routes": routes, "state-dir": directory / "state"}  # fmt: skip
    return [
        sys.executable,
        "-m",
        "gateway",
        "serve",
        *(part for flag in given.items() for part in _flag(*flag)),
        *flags,
    ]


def _flag(name: str, value: object) -> tuple[str, str]:
    return f"--{name}", str(value)


def free_port() -> int:
    """Return a port on which nothing listens now, nor on the two after it.

    They are below those that the system gives to outgoing connections, so that none is gone before somebody listens.
    """
    while True:
        port = random.randrange(*PORTS)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for number in range(port, port + 3):
                held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    port: int,
    cores: Sequence[int],
    log: Path,
    ready_paths: Sequence[str] = READY_PATHS,
) -> Iterator[Server]:
    """Start *command* on *cores*, wait until it is ready on *port*, and stop it at the end. Raises NotMeasurable.

    ready_paths: all must answer 200.
    """
    environment = {key: text for key, text in os.environ.items() if not key.startswith("GATEWAY_")}
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            pinned, cwd=work.ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        try:
            _wait_until_ready(name, process, port, ready_paths, began, log)
            yield Server(name, port, process.pid, time.perf_counter() - began)
        finally:
            _stop(process)


def _wait_until_ready(
    name: str, process: subprocess.Popen[bytes], port: int, paths: Sequence[str], began: float, log: Path
) -> None:
    while not all(_is_ready(port, path) for path in paths):
        if process.poll() is not None:
            raise work.NotMeasurable(f"{name} ended with {process.returncode}:\n{_tail(log)}")
        if time.perf_counter() - began > START_TIMEOUT_SECONDS:
            raise work.NotMeasurable(f"{name} is not ready after {START_TIMEOUT_SECONDS:.0f} s:\n{_tail(log)}")
        time.sleep(POLL_SECONDS)


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the leader to end; what is left of its tree after that is killed."""
    members = proc.tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"process {process.pid} ignored SIGTERM for {STOP_TIMEOUT_SECONDS:.0f} s: killed", file=sys.stderr)
    for pid in members & proc.tree(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait(STOP_TIMEOUT_SECONDS)
